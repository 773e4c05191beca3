"""What can go wrong with a request, and what is done about it.

1. Asked again after a pause: 408, 409, 425, 429 and 5xx, timeouts, dropped connections, and bodies that are no chat
   completion (a proxy's error page).
2. Stops the run at once: a refused key (401, 403), no credit (402, or 429 with "insufficient_quota"), no such model
   or address (404), or a wait of more than ten minutes asked for.
3. Refused: any other 4xx. Another form of the request may do (`dialect`); else the question is given up.

It does not know how requests are sent.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

AGAIN = (408, 409, 425, 429)
LONGEST_PATIENCE = 600.0
"""Seconds; an endpoint that asks for a longer wait is come back to by hand."""


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
    """A request that brought no answer.

    Attributes
    ----------
    kind
        The HTTP status, or "timeout", "connection", "garbage": what reports count by.
    reason
        For people.
    action
        "again" (after a pause), "refused" (in this form) or "stop" (the whole run).
    wait
        Seconds that the endpoint asked for; None where it did not.
    billed
        Whether its answer was only lost on the way, and may have cost something all the same.
    """

    kind: str
    reason: str
    action: Literal["again", "refused", "stop"] = "again"
    wait: float | None = None
    billed: bool = False

    def __str__(self) -> str:
        return self.reason


def status_fault(
    status: int, headers: Any, body: Any, *, hide: Callable[[str], str], model: str, url: str, key: str
) -> Fault:
    """Return the fault that an HTTP error is; `hide` takes the key out of what its body says.

    `model`, `url` and `key` are for the advice: what was asked for, where, and what to type for the key.
    """
    said = one_line(hide(complaint(body)))
    kind = str(status)
    reason = f"{kind}{f' ({said})' if said else ''}"
    if status in (401, 403):
        return Fault(kind, f"The endpoint refused access: {reason}. {key}", "stop")
    if status == 402 or (status == 429 and "insufficient_quota" in str(body)):
        return Fault(kind, f"The endpoint has no credit left: {reason}. Top it up; the same command continues.", "stop")
    if status == 404 and "support" not in said.lower():  # a router may have no server that supports the form
        advice = "Check --model, and --endpoint: it mostly ends in /v1."
        return Fault(kind, f"Nothing at {url} for model '{model}': {reason}. {advice}", "stop")
    if status not in AGAIN and (status < 500 or status == 501):
        return Fault(kind, reason, "refused")
    wait = retry_after(headers)
    if wait is not None and wait > LONGEST_PATIENCE:
        reason = f"The endpoint asks to wait {wait:.0f} s: {reason}. The same command continues later."
        return Fault(kind, reason, "stop")
    return Fault(kind, reason, wait=wait)


def retry_after(headers: Any) -> float | None:
    """Return the seconds that Retry-After asks for (a number, or a date); None where it says nothing usable.

    The client's own reading of it passes over waits above two minutes.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = str(headers.get(name, "")).strip()
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
