"""The methods, one a file; importing this package registers them, in the order in which they are listed."""

from headatlas.methods import ablation as ablation
from headatlas.methods import attribution as attribution
from headatlas.methods import dla as dla
from headatlas.methods import gates as gates
from headatlas.methods import linear_probe as linear_probe
from headatlas.methods import probe as probe
