"""In which layers a function's mass lies."""

import sys
from pathlib import Path

import headatlas as ha

folder, picture = sys.argv[1], Path(sys.argv[2])
atlas = ha.load_atlas(folder)
figure = ha.figures.layer_profiles(atlas)
ha.save_figure(figure, picture.with_suffix(""), ["png"])
