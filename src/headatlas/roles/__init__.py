"""What heads look at: scores that need no labels (`scores`), true sentences hidden among others (`needles`)."""

from headatlas.roles.scores import ROLES as ROLES
from headatlas.roles.scores import load_roles as load_roles
from headatlas.roles.scores import measure_roles as measure_roles
from headatlas.roles.scores import save_roles as save_roles
