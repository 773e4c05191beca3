"""What heads look at: scores that need no labels (`scores`), true sentences hidden among others (`needles`)."""

from typing import TYPE_CHECKING

from headatlas._lazy import from_homes

if TYPE_CHECKING:
    from headatlas.roles.definitions import ROLES as ROLES
    from headatlas.roles.files import load_roles as load_roles
    from headatlas.roles.files import save_roles as save_roles
    from headatlas.roles.scores import measure_roles as measure_roles

_HOMES = {"ROLES": "definitions", "load_roles": "files", "measure_roles": "scores", "save_roles": "files"}
__all__ = sorted(_HOMES)
__getattr__ = from_homes("headatlas.roles", _HOMES)
