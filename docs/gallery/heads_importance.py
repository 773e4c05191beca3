"""The heat maps: a panel a function, heads by layer."""

import sys
from pathlib import Path

import headatlas as ha

folder, picture = sys.argv[1], Path(sys.argv[2])
atlas = ha.load_atlas(folder)
figure = ha.heads_importance(atlas, method="ablation")
ha.save_figure(figure, picture.with_suffix(""), ["png"])
