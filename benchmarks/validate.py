"""What the whole of `headatlas validate` takes on an atlas of the default model and the built-in set.

python benchmarks/validate.py ATLAS      (a folder that `make map` made; nothing is written into it)
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _line import line


def main() -> None:
    if len(sys.argv) < 2:
        print("headatlas_validate_seconds - not measured: give the folder of an atlas")
        return
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        command = [Path(sys.executable).with_name("headatlas"), "validate", sys.argv[1], "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        line("headatlas_validate_seconds", time.perf_counter() - start, at_most=600)


if __name__ == "__main__":
    main()
