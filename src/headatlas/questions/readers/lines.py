"""Text files line by line, whatever their bytes (a line that is not UTF-8 is marked, not fatal), and JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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


class LongInteger(Exception):
    """An integer of more digits than Python reads, and the line of the text that it stands on."""

    def __init__(self, digits: int, line: int) -> None:
        super().__init__(f"holds an integer of {digits} digits. Write it as text, in quotes.")
        self.line = line


def decode_json(text: str) -> Any:
    """Decode `text`; raises `LongInteger` beside what `json.loads` does."""

    def read(digits: str) -> int:
        try:
            return int(digits)
        except ValueError:
            raise LongInteger(len(digits.lstrip("-")), text.count("\n", 0, text.find(digits)) + 1) from None

    return json.loads(text, parse_int=read)
