"""``python -m headatlas.cli``."""

from headatlas.cli.main import entry

entry()
