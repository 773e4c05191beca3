"""What every function loses without another one's heads."""

import sys
from pathlib import Path

import headatlas as ha
from headatlas.validation import load_validation

folder, picture = sys.argv[1], Path(sys.argv[2])
validation = load_validation(folder)  # headatlas validate ATLAS
figure = ha.figures.dissociation(validation)
ha.save_figure(figure, picture.with_suffix(""), ["png"])
