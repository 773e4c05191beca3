"""The command line: `main` and what its commands share (`terminal`)."""

from headatlas.cli.main import entry as entry
from headatlas.cli.main import main as main
