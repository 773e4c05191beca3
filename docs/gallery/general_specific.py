"""What all functions share, and what is a function's own."""

import sys
from pathlib import Path

import headatlas as ha

folder, picture = sys.argv[1], Path(sys.argv[2])
atlas = ha.load_atlas(folder)
figure = ha.figures.general_specific(atlas, method="ablation")
ha.save_figure(figure, picture.with_suffix(""), ["png"])
