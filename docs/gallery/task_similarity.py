"""Which tasks depend on like heads."""

import sys
from pathlib import Path

import headatlas as ha

folder, picture = sys.argv[1], Path(sys.argv[2])
atlas = ha.load_atlas(folder)
figure = ha.figures.task_similarity(atlas)
ha.save_figure(figure, picture.with_suffix(""), ["png"])
