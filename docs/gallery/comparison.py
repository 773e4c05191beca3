"""Two models: which tasks share heads in each, and how far that agrees."""

import sys
from pathlib import Path

import xarray as xr

import headatlas as ha

folder, picture = Path(sys.argv[1]), Path(sys.argv[2])
found = xr.load_dataset(folder / "compare.nc", engine="h5netcdf")  # headatlas compare A B --out ATLAS
figure = ha.figures.comparison(found)
ha.save_figure(figure, picture.with_suffix(""), ["png"])
