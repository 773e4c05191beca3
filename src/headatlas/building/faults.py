"""What can go wrong with a request, and what is done about it.

1. Asked again after a pause: 408, 409, 425, 429 and 5xx, timeouts, dropped connections, and bodies that are no chat
   completion (a proxy's error page).
2. Stops the run at once: a refused key (401, 403), no credit (402, or 429 with "insufficient_quota"), no such model
   or address (404), or a wait of more than ten minutes asked for.
3. Refused: any other 4xx. Another form of the request may do (`dialect`); else the question is given up.

A request whose answer was lost (timeout, dropped connection, garbage) may have been billed. It does not know how
requests are sent.
"""

import time
from email.utils import parsedate_to_datetime
from typing import Any, Literal

AGAIN = (408, 409, 425, 429)
LONGEST_PATIENCE = 600.0
"""Seconds; an endpoint that asks for a longer wait is come back to by hand."""

Action = Literal["again", "refused", "stop"]


class Fault(Exception):
    """A request that brought no answer.

    Attributes
    ----------
    kind
        The HTTP status, or "timeout", "connection", "garbage": what reports count by.
    action
        "again" (after a pause), "refused" (in this form) or "stop" (the whole run).
    wait
        Seconds that the endpoint asked for; None where it did not.
    billed
        Whether it may have cost something all the same.
    """

    def __init__(
        self, kind: str, reason: str, action: Action = "again", *, wait: float | None = None, billed: bool = False
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.action = action
        self.wait = wait
        self.billed = billed


def status_fault(status: int, headers: Any, body: Any, *, model: str, url: str, key: str) -> Fault:
    """Return the fault that an HTTP error is.

    Parameters
    ----------
    status, headers, body
        Of the response; `body` decoded where it is JSON.
    model, url, key
        For the advice: what was asked for, where, and what to type for the key.
    """
    said = complaint(body)
    kind = str(status)
    reason = f"{kind}{f' ({said})' if said else ''}"
    if status in (401, 403):
        return Fault(kind, f"The endpoint refused access: {reason}. {key}", "stop")
    if status == 402 or (status == 429 and "insufficient_quota" in str(body)):
        return Fault(kind, f"The endpoint has no credit left: {reason}. Top it up; the same command continues.", "stop")
    if status == 404 and "support" not in said.lower():  # a router may have no server that supports the form
        return Fault(
            kind,
            f"Nothing at {url} for model '{model}': {reason}. Check --model, and --endpoint: it mostly ends in /v1.",
            "stop",
        )
    if status in AGAIN or (status >= 500 and status != 501):
        wait = retry_after(headers)
        if wait is not None and wait > LONGEST_PATIENCE:
            return Fault(
                kind, f"The endpoint asks to wait {wait:.0f} s: {reason}. The same command continues later.", "stop"
            )
        return Fault(kind, reason, wait=wait)
    return Fault(kind, reason, "refused")


def retry_after(headers: Any) -> float | None:
    """Return the seconds that Retry-After asks for (a number, or a date); None where it says nothing usable."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = str(headers.get(name, "")).strip()
        if not text:
            continue
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
    """Return the message in an error's body, whatever the server's way to say it, on one short line."""
    found = body
    for _ in range(3):
        if not isinstance(found, dict):
            break
        found = next((found[k] for k in ("error", "message", "detail") if found.get(k)), "")
    return one_line(str(found or ""))


def one_line(text: str, longest: int = 200) -> str:
    """Return `text` on one line without control characters, cut at `longest`."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
