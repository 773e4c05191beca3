"""Text files line by line, whatever their bytes: a line that is not UTF-8 is marked, not fatal."""

from collections.abc import Iterator
from pathlib import Path


def read_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, text, what is wrong with its bytes or ""); undecodable bytes become U+FFFD."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            try:
                yield number, raw.decode(encoding), ""
            except UnicodeDecodeError as error:
                wrong = f"not UTF-8 ({error.reason} at byte {error.start}: 0x{raw[error.start]:02x})"
                yield number, raw.decode(encoding, errors="replace"), f"{wrong}. Save the file as UTF-8."
