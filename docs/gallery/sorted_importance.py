"""Heads from the highest down, beside what chance gives."""

import sys
from pathlib import Path

import headatlas as ha

folder, picture = sys.argv[1], Path(sys.argv[2])
atlas = ha.load_atlas(folder)
figure = ha.figures.sorted_importance(atlas)
ha.save_figure(figure, picture.with_suffix(""), ["png"])
