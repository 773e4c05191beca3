"""What can go wrong with a request, and what servers say of it. It does not know how requests are sent."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal


class GivenUp(Exception):
    """A question that a pass came to nothing for.

    ``kind`` is "unusable" (the model never kept to the schema), "refused" (in every form) or "unanswered" (another
    run may get an answer).
    """

    def __init__(self, kind: Literal["unusable", "refused", "unanswered"], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(eq=False)
class Fault(Exception):
    """A request that brought no answer."""

    kind: str
    """The HTTP status, or "timeout", "connection", "garbage": what reports count by."""
    reason: str
    action: Literal["again", "refused", "stop"] = "again"
    """After a pause; in this form; the whole run."""
    wait: float | None = None
    """Seconds that the endpoint asked for."""
    billed: bool = False
    """Whether its answer was only lost on the way, and may have cost something all the same."""

    def __str__(self) -> str:
        return self.reason


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for (a number, or a date); None where it says nothing usable.

    The client's own reading of it passes over waits above two minutes.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if seconds == seconds:  # not NaN
            return max(seconds, 0.0)
    return None


def complaint(body: Any) -> str:
    """Return the message in an error's body, whatever the server's way to say it."""
    for _ in range(3):
        if isinstance(body, dict):
            body = next((body[k] for k in ("error", "message", "detail") if body.get(k)), "")
    return str(body or "")


def one_line(text: str, longest: int = 200) -> str:
    """Return `text` on one line without control characters, cut at `longest`."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
