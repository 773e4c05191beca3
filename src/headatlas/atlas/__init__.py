"""The atlas: an xarray.DataTree, one child a method (`tree`), its variables (`variables`), its file (`files`)."""

from headatlas.atlas.files import load_atlas as load_atlas
from headatlas.atlas.files import save_atlas as save_atlas
from headatlas.atlas.tree import absent_functions as absent_functions
from headatlas.atlas.tree import as_atlas as as_atlas
from headatlas.atlas.tree import check_atlas as check_atlas
from headatlas.atlas.tree import check_weights as check_weights
from headatlas.atlas.tree import described as described
from headatlas.atlas.tree import method_part as method_part
from headatlas.atlas.tree import methods_of as methods_of
from headatlas.atlas.tree import model_facts as model_facts
from headatlas.atlas.tree import pick_methods as pick_methods
from headatlas.atlas.tree import provenance as provenance
from headatlas.atlas.tree import samples_of as samples_of
from headatlas.atlas.tree import unable_functions as unable_functions
from headatlas.atlas.variables import CHANCE as CHANCE
