"""Every head in the colour of its strongest role."""

import sys
from pathlib import Path

import headatlas as ha
from headatlas.roles.files import load_roles

folder, picture = Path(sys.argv[1]), Path(sys.argv[2])
roles = load_roles(folder / "roles.nc")  # headatlas roles MODEL --out ATLAS/roles.nc
figure = ha.figures.head_roles(roles)
ha.save_figure(figure, picture.with_suffix(""), ["png"])
