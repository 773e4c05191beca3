"""A chat endpoint that is asked patiently and within its caps; the only file that knows the `openai` client.

1. Answered before: the journal's answer is returned. Else the request is booked (`journal`), sent, and the raw answer
   or the fault kept. The client's own retries are off: it would send what is not booked.
2. A passing fault is tried again (tenacity) after the pause that the endpoint asks for, or one that doubles, with
   jitter. Refused forms of request give way to smaller ones (`dialect`) until one is answered; that one is kept.
3. What stays without an answer is given up. Too many in a row, with no answer between, stop the run: three where this
   build never got an answer (the endpoint is not there, or takes nothing of ours), ten unanswered where it did (the
   endpoint has gone).

The key is read from the environment, is sent to the endpoint, and leaves this file in no other way: it is cut out of
whatever the endpoint says. This module does not know questions, steps or functions.
"""

import hashlib
import json
import os
import random
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from headatlas.building.dialect import Dialect
from headatlas.building.faults import Fault, GivenUp, one_line, status_fault
from headatlas.building.journal import Answer, Caps, Journal, Tokens
from headatlas.errors import InputError, RunError

Sleep = Callable[[float], object]

NEVER_ANSWERED, GONE = 3, 10
"""Requests given up in a row that stop a run: before the first answer of a build, and after it."""
NO_KEY = "none"
"""Sent to endpoints where no key is set: the client insists on one, local servers ignore it."""
SECRET = 8
"""Characters that a key has at least; shorter ones ("none", "EMPTY") are words, and stay where they stand."""
_EXAMPLE = "Give an address such as http://localhost:8000/v1; the key is read from the environment (--key-env)."


@dataclass(frozen=True)
class Patience:
    """How long and how often an endpoint is asked.

    Attributes
    ----------
    attempts
        How often a request is sent before it is given up.
    timeout
        Seconds without a byte before a request counts as lost.
    first_pause, longest_pause
        Seconds: of the pause after the first attempt, and what doubling ends at.
    """

    attempts: int = 6
    timeout: float = 120.0
    first_pause: float = 1.0
    longest_pause: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InputError(f"--attempts {self.attempts} asks nothing. Give 1 or more.")
        if not self.timeout > 0:
            raise InputError(f"--timeout {self.timeout:g} waits for nothing. Give seconds above 0.")


@dataclass(frozen=True)
class Request:
    """What is asked of which model: the chat, the JSON schema of the reply, and what it is about, for the journal."""

    model: str
    messages: list[dict[str, str]]
    schema: dict[str, Any]
    about: str

    @property
    def digest(self) -> str:
        """What it is known by: the model and the messages."""
        return hashlib.sha256(json.dumps([self.model, self.messages]).encode()).hexdigest()


def check_url(url: str) -> str:
    """Return `url` without what the client adds itself.

    Raises
    ------
    InputError
        Not http(s), no host, or something in it that may be a secret (user, password, query).
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError(f"--endpoint is no URL. {_EXAMPLE}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError(f"--endpoint holds a user or password, which would end up in files. {_EXAMPLE}")
    if parts.query or parts.fragment:
        raise InputError(f"--endpoint has something after '?' or '#', which may be a key. {_EXAMPLE}")
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"--endpoint '{one_line(url, 80)}' is not http:// or https://. {_EXAMPLE}")
    at = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{at}{f':{port}' if port else ''}{path}"


def is_exposed(url: str) -> bool:
    """Say whether what is sent to `url` leaves this machine unencrypted."""
    host = urlsplit(url).hostname or ""
    return url.startswith("http:") and host not in ("localhost", "::1") and not host.startswith("127.")


def read_key(variable: str | None) -> tuple[str, str]:
    """Return the key in the environment variable (OPENAI_API_KEY for None), and what to type for another.

    Raises
    ------
    InputError
        A variable that was named is not set, or what it holds can't be sent.
    """
    name = variable or "OPENAI_API_KEY"
    key = os.environ.get(name, "").strip()
    if not key:
        if variable:
            raise InputError(f"The environment variable {variable} is not set. Type: export {variable}=...")
        return NO_KEY, f"{name} is not set. Type: export {name}=..., or name another variable with --key-env."
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"The key in {name} holds a character that can't be sent. Copy it anew.")
    return key, f"The key is the one in {name}. Set a valid one, or name another variable with --key-env."


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """One endpoint, for all workers at once, open inside a ``with`` (most attributes as in `build.Builder`).

    Nothing is sent once `stopped` is set. `sleep` waits the given seconds, by default until `stopped` at most; `say`
    is told of pauses that a person would wonder about.
    """

    url: str
    key_env: str | None
    journal: Journal
    caps: Caps
    stopped: threading.Event
    allowance: int
    patience: Patience
    sleep: Sleep | None
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._key, self._advice = read_key(self.key_env)
        self._locks: dict[str, threading.Lock] = {}
        self._settled: set[str] = set()
        self._given_up = 0

    def __enter__(self) -> "Endpoint":
        try:
            import openai
            import tenacity
        except ImportError as error:
            advice = 'Type: pip install "headatlas[builder]"'
            raise InputError(f"Building questions needs the package {error.name}. {advice}") from None
        if self._key != NO_KEY and is_exposed(self.url):
            self.say(f"The key goes to {self.url} unencrypted: anyone on the way can read it. Use https://.")
        self._client = openai.OpenAI(base_url=self.url, api_key=self._key, max_retries=0, timeout=self.patience.timeout)
        self._doubling = tenacity.wait_exponential(self.patience.first_pause, self.patience.longest_pause)
        sleep: Any = self.sleep or self.stopped.wait
        self._insist = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.patience.attempts),
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Fault) and error.action == "again"),
            wait=self._pause,
            sleep=sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def ask(self, request: Request) -> Answer:
        """Return the answer to `request`, from the journal where it is there.

        Raises
        ------
        GivenUp
            This request gets no answer now ("unanswered"), or never ("refused").
        RunError
            The run can't go on: access refused, no such model, a cap, nothing answered at all.
        Stopped
            Another worker ended the run.
        """
        with self._alone(request.digest):  # the same question twice in a source is asked once
            kept = self.journal.answer(request.digest)
            if kept and (kept.finish != "length" or kept.allowance >= self.allowance):
                return kept
            try:
                answer = self._insist(self._in_some_dialect, request)
            except Fault as fault:
                raise self._end(fault) from None
            self._given_up = 0
            return answer

    def _pause(self, state: Any) -> float:
        """Return the seconds to wait after an attempt; never less than the endpoint asked for."""
        asked_for = state.outcome.exception().wait
        if asked_for is not None:
            return float(asked_for * random.uniform(1, 1.1))
        return float(self._doubling(state) * random.uniform(0.5, 1))

    def _tell(self, state: Any) -> None:
        if (seconds := state.next_action.sleep) >= 5:
            fault = one_line(str(state.outcome.exception()), 100)
            self.say(f"{fault}: asking again in {seconds:.0f} s (attempt {state.attempt_number + 1})")

    def _end(self, fault: Fault) -> Exception:
        """Return what to raise for a request that is given up: why, or what ends the run."""
        if fault.action == "stop":
            return RunError(str(fault))
        known = self.journal.counts()["answered"] > 0
        if fault.action == "refused":
            given_up = GivenUp("refused", f"the endpoint refuses it: {fault}")
            if known:  # it is the question, not the endpoint
                return given_up
        else:
            times = f"{self.patience.attempts} attempt{'s' if self.patience.attempts > 1 else ''}"
            given_up = GivenUp("unanswered", f"no answer after {times}, the last: {fault}")
        with self._alone("given up"):
            self._given_up += 1
            if self._given_up < (GONE if known else NEVER_ANSWERED):
                return given_up
            return RunError(f"{self.url} answers nothing: {self._given_up} requests in a row, {given_up}.")

    def _in_some_dialect(self, request: Request) -> Answer:
        """Send in the form that is known to be taken; until one is, one worker tries and the others wait."""
        name = f"dialect of {request.model}"
        with self._alone(name) if request.model not in self._settled else nullcontext():
            dialect: Dialect | None = Dialect(**self.journal.noted(name) or {})
            while dialect:
                try:
                    answer = self._once(request, dialect)
                except Fault as fault:
                    if fault.action != "refused" or request.model in self._settled:
                        raise
                    dialect = dialect.smaller(str(fault))
                    if dialect is None:  # so it was not the form
                        raise
                else:
                    self._settled.add(request.model)
                    self.journal.note(name, asdict(dialect))
                    return answer
        raise AssertionError("the last form is answered or raises")

    def _once(self, request: Request, dialect: Dialect) -> Answer:
        most = Tokens(len(json.dumps([request.messages, request.schema]).encode()), self.allowance, 1)
        arguments = dialect.arguments(request.schema, self.allowance)
        with self.journal.request(request.digest, request.about, most, caps=self.caps, stopped=self.stopped) as number:
            try:
                body, choice = self._send(request, arguments)
            except Fault as fault:
                cost = most if fault.billed else Tokens()
                self.journal.settle(number, cost, fault=fault.kind, reason=str(fault))
                raise
            self.journal.settle(
                number,
                _usage(body) or most,
                content=self._hide(_content(choice)),
                finish=one_line(self._hide(str(choice.get("finish_reason") or ""))),
                served_by=one_line(self._hide(str(body.get("model") or request.model))),
                allowance=self.allowance,
                shape=dialect.shape,
                endpoint=self.url,
            )
        answer = self.journal.answer(request.digest)
        assert answer, "just settled"
        return answer

    def _send(self, request: Request, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a response's decoded body and its first choice, or raise the `Fault` that it is."""
        import openai

        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            raw = create(model=request.model, messages=request.messages, **arguments)
            text = raw.http_response.content.decode("utf-8", "replace")
        except openai.APITimeoutError as error:
            waited = f"nothing for {self.patience.timeout:g} s"
            raise Fault("timeout", f"timed out ({waited}; --timeout)", billed=_was_sent(error)) from None
        except openai.APIConnectionError as error:
            why = one_line(self._hide(str(error.__cause__ or error)))
            raise Fault("connection", f"connection failed ({why})", billed=_was_sent(error)) from None
        except openai.APIStatusError as error:
            status, headers, body = error.status_code, error.response.headers, error.body
            about = {"model": request.model, "url": self.url, "key": self._advice}
            raise status_fault(status, headers, body, hide=self._hide, **about) from None
        except openai.OpenAIError as error:
            raise Fault("client", one_line(self._hide(str(error))), billed=True) from None
        try:
            body = json.loads(text)
            choice = body["choices"][0]
            if not isinstance(choice["message"], dict):
                raise TypeError
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            said = one_line(self._hide(text), 60)
            raise Fault("garbage", f"the body is no chat completion ('{said}')", billed=True) from None
        return body, choice

    def _alone(self, name: str) -> threading.Lock:
        """Return the lock of that name, made on first use."""
        return self._locks.setdefault(name, threading.Lock())

    def _hide(self, text: str) -> str:
        """Return `text` without the key and without half surrogate pairs, which no file can hold."""
        text = text.encode("utf-8", "replace").decode()
        return text.replace(self._key, "[key]") if len(self._key) >= SECRET else text


def _was_sent(error: Exception) -> bool:
    """Say whether a request may have reached the endpoint: not where no connection was made."""
    return not type(error.__cause__).__name__.startswith("Connect")  # ConnectError, ConnectTimeout


def _content(choice: dict[str, Any]) -> str:
    """Return the text of a choice; some servers send it in parts, and a refusal is text as well."""
    content = choice["message"].get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or choice["message"].get("refusal") or "")


def _usage(body: dict[str, Any]) -> Tokens | None:
    """Return the usage that the endpoint reports; None where it reports none that makes sense."""
    usage = body.get("usage")
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else [None]
    return Tokens(*counts) if all(isinstance(n, int) and 0 <= n < 2**40 for n in counts) else None
