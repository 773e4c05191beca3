"""Caps on requests and on spend, kept exactly however many workers ask.

1. Before a request leaves, its worst case is reserved: one request, a token a byte of the prompt, and the whole
   allowance of the answer. A reservation that would pass a cap is not given.
2. When the answer is there, the reservation is replaced by the usage that the endpoint reports. Where it reports
   none, or where an answer was lost on the way and may have been billed, the worst case stays, and is counted as an
   estimate.
3. Where only reservations under way stand against the spend cap, the next request waits for them to settle.

Caps are on the whole build, earlier runs of it included: a restart gets no new budget. It does not know what is
asked.
"""

import math
import threading
from dataclasses import dataclass

from headatlas.building.journal import Tokens
from headatlas.errors import InputError, RunError


class CapReached(RunError):
    """A cap on requests or on spend was reached; what was answered is kept."""


class Stopped(Exception):
    """Another worker stopped the run."""


@dataclass(frozen=True)
class Caps:
    """What a build may cost.

    Attributes
    ----------
    max_requests
        Requests, retries included; None for no cap.
    max_spend
        US dollars; needs both prices.
    price_in, price_out
        US dollars per million tokens of prompt and of answer.
    """

    max_requests: int | None = None
    max_spend: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.max_requests is not None and self.max_requests < 1:
            raise InputError(f"--max-requests {self.max_requests} allows no request. Give 1 or more.")
        for name in ("max_spend", "price_in", "price_out"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"--{name.replace('_', '-')} {value} is no sum of money. Give 0 or more.")
        if (self.price_in is None) != (self.price_out is None):
            raise InputError("Give both --price-in and --price-out (US dollars per million tokens), or neither.")
        if self.max_spend is not None and self.price_in is None:
            raise InputError("--max-spend needs the endpoint's prices: give --price-in and --price-out as well.")

    def cost(self, tokens: Tokens) -> float | None:
        """Return what `tokens` cost in US dollars; None without prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens.prompt * self.price_in + tokens.completion * self.price_out) / 1e6


class Budget:
    """What is left of the caps, for all workers at once.

    Parameters
    ----------
    caps
        The caps.
    requests, spent
        What earlier runs of this build used.
    stopped
        Set when the run is to end; whoever waits here then raises `Stopped`.
    """

    def __init__(self, caps: Caps, requests: int, spent: Tokens, stopped: threading.Event) -> None:
        self._caps = caps
        self._requests = requests
        self._spent = spent
        self._reserved = Tokens()
        self._stopped = stopped
        self._change = threading.Condition()

    def reserve(self, most: Tokens) -> None:
        """Take one request that costs at most `most`; raises `CapReached`, or `Stopped`."""
        caps = self._caps
        with self._change:
            while True:
                if self._stopped.is_set():
                    raise Stopped
                if caps.max_requests is not None and self._requests >= caps.max_requests:
                    raise CapReached(f"Stopped at --max-requests {caps.max_requests}.")
                if caps.max_spend is None or self._cost(self._reserved + most) <= caps.max_spend:
                    break
                if not self._reserved.prompt:
                    raise CapReached(
                        f"Stopped before --max-spend {caps.max_spend:g}: {self._cost(Tokens()):.4f} USD are spent, and "
                        f"the next request could cost {caps.cost(most):.4f}."
                    )
                self._change.wait(0.5)
            self._requests += 1
            self._reserved += most

    def settle(self, most: Tokens, cost: Tokens) -> None:
        """Replace the reservation `most` by what the request did cost."""
        with self._change:
            self._reserved += Tokens(-most.prompt, -most.completion, -most.estimated)
            self._spent += cost
            self._change.notify_all()

    def _cost(self, more: Tokens) -> float:
        return self._caps.cost(self._spent + more) or 0.0
