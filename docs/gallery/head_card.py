"""One head: its importance for every function by every method, and its tasks."""

import sys
from pathlib import Path

import headatlas as ha

folder, picture = sys.argv[1], Path(sys.argv[2])
atlas = ha.load_atlas(folder)
highest = ha.to_frame(atlas).sort_values("importance").iloc[-1]
figure = ha.figures.head_card(atlas, (int(highest["layer"]), int(highest["head"])))
ha.save_figure(figure, picture.with_suffix(""), ["png"])
