"""The methods, one a file; importing this package registers them, in the order in which they are listed."""

from headatlas.methods.ablation import Ablation as Ablation
from headatlas.methods.ablation import AblationResample as AblationResample
from headatlas.methods.ablation import AblationZero as AblationZero
from headatlas.methods.attribution import Attribution as Attribution
from headatlas.methods.attribution import IntegratedGradients as IntegratedGradients
from headatlas.methods.dla import DirectLogit as DirectLogit
from headatlas.methods.gates import GateGradient as GateGradient
from headatlas.methods.gates import HeadGating as HeadGating
from headatlas.methods.knockouts import Knockouts as Knockouts
from headatlas.methods.linear_probe import LinearProbe as LinearProbe
from headatlas.methods.probe import Probe as Probe
