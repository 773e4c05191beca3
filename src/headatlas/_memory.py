"""Memory that the C library keeps for itself, given back."""

import ctypes
import functools
from typing import Any


def give_back() -> None:
    """Give memory that is free back to the system, where the C library would keep it (glibc).

    Products of matrices of ever other shapes ask for kernels and arrays of ever other sizes; what stays free between
    them comes to half a gigabyte in a default run.
    """
    if trim := getattr(_libc(), "malloc_trim", None):
        trim(0)


@functools.cache
def _libc() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # no C library to ask, e.g. on Windows
        return None
