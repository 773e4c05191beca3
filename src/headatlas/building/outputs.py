"""The three files of a build, and whose they are.

1. ``NAME.jsonl`` (the questions), ``NAME.journal`` beside it, ``NAME.report.json`` (written last).
2. A build writes over files that its own journal knows, and nothing else: no journal, another build's journal, or
   questions that were changed by hand since, are refused with what to type.

It does not know what is in the files.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headatlas._files import write_text
from headatlas.building.journal import Journal
from headatlas.errors import InputError


@dataclass(frozen=True)
class Outputs:
    """The paths that go with ``--out``."""

    questions: Path

    def __post_init__(self) -> None:
        if self.questions.suffix.lower() != ".jsonl":
            raise InputError(f"--out {self.questions} must end in .jsonl, as question sets do.")
        if self.questions.is_dir():
            raise InputError(f"--out {self.questions} is a folder. Give a file in it.")

    @property
    def journal(self) -> Path:
        """Where requests and raw answers are kept."""
        return self.questions.with_suffix(".journal")

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return self.questions.with_suffix(".report.json")

    def claim(self, key: dict[str, Any]) -> Journal:
        """Open the journal of the build `key`; raise `InputError`, touching nothing, where a file is another's."""
        others = [path for path in (self.questions, self.report) if path.exists()]
        if others and not self.journal.exists():
            raise InputError(
                f"{others[0]} exists, and no {self.journal.name} beside it says that a build made it. Give another "
                f"--out, or move it away: mv {others[0]} {others[0]}.old"
            )
        journal = Journal(self.journal, key)
        if self.questions.exists() and not journal.noted(_digest(self.questions.read_bytes())):
            journal.close()
            raise InputError(
                f"{self.questions} was changed since it was built. Keep it under another name, then type the same "
                f"command: mv {self.questions} {self.questions.with_suffix('.edited.jsonl')}"
            )
        return journal

    def write(self, journal: Journal, records: list[dict[str, Any]], report: dict[str, Any]) -> None:
        """Write the questions, then the report; the journal knows the questions' digest before they are there."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        journal.note(_digest(text.encode()), "written")
        write_text(self.questions, text)
        write_text(self.report, json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
