"""Names of a package that are loaded on first use, so that importing it costs next to nothing."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def from_homes(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``: a name's home, a module inside it, is imported when the name is asked for."""

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'. It has: {', '.join(homes)}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
