"""A chat endpoint that is asked patiently and within its caps; the only file that knows the `openai` client.

1. Answered before: the journal's answer is returned. Else the request is booked (`journal`), sent, and the raw answer
   or the fault kept. The client's own retries are off: it would send what is not booked.
2. A passing fault (408, 409, 425, 429, 5xx, a timeout, a dropped connection, a body that is no chat completion) is
   tried again (tenacity) after the pause that the endpoint asks for, or one that doubles, with jitter.
3. A refused key, no credit, no such model or address, or a wait of more than ten minutes stops the run at once.
4. Any other 4xx refuses the form of the request: smaller ones are tried (`Dialect`) until one is answered; it is kept.
5. What stays without an answer is given up. Too many in a row, with no answer between, stop the run: three where this
   build never got an answer (the endpoint is not there, or takes nothing of ours), ten unanswered where it did (the
   endpoint has gone).

The key is read from the environment, is sent to the endpoint, and leaves this file in no other way: it is cut out of
whatever the endpoint says. This module does not know questions, steps or functions.
"""

import hashlib
import json
import os
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from headatlas.building.faults import Fault, GivenUp, complaint, one_line, retry_after
from headatlas.building.journal import COST, Journal
from headatlas.errors import InputError, RunError

Sleep = Callable[[float], object]

NEVER_ANSWERED, GONE = 3, 10
"""Requests given up in a row that stop a run: before the first answer of a build, and after it."""
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PATIENCE = 1.0, 60.0, 600.0
"""Seconds: the pause after a first attempt, what doubling ends at, and the wait that is come back after by hand."""
NO_KEY = "none"
"""Sent to endpoints where no key is set: the client insists on one, local servers ignore it."""
SECRET = 8
"""Characters that a key has at least; shorter ones ("none", "EMPTY") are words, and stay where they stand."""
SHAPES = ("json_schema", "json_object", "plain")
_EXAMPLE = "Give an address such as http://localhost:8000/v1; the key is read from the environment (--key-env)."


@dataclass(frozen=True)
class Patience:
    """How often a request is sent before it is given up, and after how many seconds without a byte it is lost."""

    attempts: int = 6
    timeout: float = 120.0

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


@dataclass(frozen=True)
class Dialect:
    """One form of a request: how JSON is asked for, what bounds the answer, whether temperature 0 is asked for.

    Servers that ignore what they do not know (`transformers serve`) never refuse; answers are checked anyway.
    """

    shape: str = SHAPES[0]
    length: str = "max_tokens"
    temperature: bool = True

    def arguments(self, schema: dict[str, Any], allowance: int) -> dict[str, Any]:
        """Return the parameters of a request beside model and messages."""
        arguments: dict[str, Any] = {self.length: allowance}
        if self.temperature:  # some models take their own only
            arguments["temperature"] = 0
        if self.shape == "json_schema":
            form = {"name": schema["title"], "schema": schema, "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": form}
        elif self.shape == "json_object":
            arguments["response_format"] = {"type": "json_object"}
        return arguments

    def smaller(self, said: str) -> "Dialect | None":
        """Return the form to try after a refusal with this message; None when there is none left.

        What the message names is renamed or left out; else the schema gives way to "some JSON object" and that to
        plain instructions, which the prompts carry in any case.
        """
        said = said.lower()
        if self.length == "max_tokens" and "max_completion_tokens" in said:
            return replace(self, length="max_completion_tokens")
        if self.temperature and "temperature" in said:
            return replace(self, temperature=False)
        if self.shape != SHAPES[-1]:
            return replace(self, shape=SHAPES[SHAPES.index(self.shape) + 1])
        return None


def check_url(url: str) -> str:
    """Return `url` without what the client adds itself; raise `InputError` where it is none, or may hold a secret."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InputError(f"--endpoint is no URL. {_EXAMPLE}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError(f"--endpoint holds a user or password, which would end up in files. {_EXAMPLE}")
    if parts.query or parts.fragment:
        raise InputError(f"--endpoint has something after '?' or '#', which may be a key. {_EXAMPLE}")
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"--endpoint '{one_line(url, 80)}' is not http:// or https://. {_EXAMPLE}")
    return parts._replace(path=parts.path.rstrip("/").removesuffix("/chat/completions")).geturl()


def is_exposed(url: str) -> bool:
    """Say whether what is sent to `url` leaves this machine unencrypted."""
    host = urlsplit(url).hostname or ""
    return url.startswith("http:") and host not in ("localhost", "::1") and not host.startswith("127.")


def read_key(variable: str | None) -> tuple[str, str]:
    """Return the key in the environment variable (OPENAI_API_KEY for None), and what to type for another."""
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
    """One endpoint, for all workers at once, until it is closed (most attributes as in `build.Builder`).

    `sleep` waits the given seconds, by default until the journal is stopped at most; `say` is told of pauses that a
    person would wonder about.
    """

    url: str
    key_env: str | None
    journal: Journal
    allowance: int
    patience: Patience
    sleep: Sleep | None
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._key, self._advice = read_key(self.key_env)
        self._locks: dict[str, threading.Lock] = {}
        self._settled: set[str] = set()
        self._given_up = 0
        try:
            import openai
            import tenacity
        except ImportError as error:
            advice = 'Type: pip install "headatlas[builder]"'
            raise InputError(f"Building questions needs the package {error.name}. {advice}") from None
        if self._key != NO_KEY and is_exposed(self.url):
            self.say(f"The key goes to {self.url} unencrypted: anyone on the way can read it. Use https://.")
        self._client = openai.OpenAI(base_url=self.url, api_key=self._key, max_retries=0, timeout=self.patience.timeout)
        self._doubling = tenacity.wait_exponential(FIRST_PAUSE, LONGEST_PAUSE)
        sleep: Any = self.sleep or self.journal.stopped.wait
        self._insist = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.patience.attempts),
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Fault) and error.action == "again"),
            wait=self._pause,
            sleep=sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        self.close = self._client.close

    def ask(self, request: Request) -> sqlite3.Row:
        """Return the answer to `request` as the journal's row, from there where it is.

        Raises `GivenUp` where this request gets no answer now ("unanswered") or never ("refused"), `RunError` where
        the run can't go on, `journal.Stopped` where another worker ended it.
        """
        with self._alone(request.digest):  # the same question twice in a source is asked once
            answer = self.journal.answer(request.digest)
            if answer and (answer["finish"] != "length" or answer["allowance"] >= self.allowance):
                return answer
            try:
                self._insist(self._in_some_dialect, request)
            except Fault as fault:
                raise self._end(fault) from None
            self._given_up = 0
            answer = self.journal.answer(request.digest)
            assert answer, "just settled"
            return answer

    def _alone(self, name: str) -> threading.Lock:
        """Return the lock of that name, made on first use."""
        return self._locks.setdefault(name, threading.Lock())

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

    def _in_some_dialect(self, request: Request) -> None:
        """Send in the form that is known to be taken; until one is, one worker tries and the others wait."""
        name = f"dialect of {request.model}"
        with self._alone(name) if request.model not in self._settled else nullcontext():
            dialect = Dialect(**self.journal.noted(name) or {})
            while True:
                try:
                    self._once(request, dialect)
                    break
                except Fault as fault:
                    smaller = dialect.smaller(str(fault)) if fault.action == "refused" else None
                    if smaller is None or request.model in self._settled:  # so it was not the form
                        raise
                    dialect = smaller
            self._settled.add(request.model)
            self.journal.note(name, asdict(dialect))

    def _once(self, request: Request, dialect: Dialect) -> None:
        """Book, send and settle one request."""
        size = len(json.dumps([request.messages, request.schema]).encode())
        most = dict(zip(COST, (size, self.allowance, 1), strict=True))
        with self.journal.request(request.digest, request.about, most) as number:
            try:
                answer = self._send(request, dialect.arguments(request.schema, self.allowance))
            except Fault as fault:
                cost = most if fault.billed else dict.fromkeys(COST, 0)
                self.journal.settle(number, **cost, fault=fault.kind, reason=str(fault))
                raise
            form = {"allowance": self.allowance, "shape": dialect.shape, "endpoint": self.url}
            self.journal.settle(number, **{**most, **answer, **form})

    def _send(self, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return what a response says, as columns of the journal, or raise the `Fault` that it is."""
        import openai

        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            raw = create(model=request.model, messages=request.messages, **arguments)
            text = raw.http_response.content.decode("utf-8", "replace")
        except openai.OpenAIError as error:
            raise self._fault(error, request.model) from None
        try:
            body = json.loads(text)
            choice = body["choices"][0]
            content = choice["message"].get("content") or choice["message"].get("refusal")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            said = one_line(self._hide(text), 60)
            raise Fault("garbage", f"the body is no chat completion ('{said}')", billed=True) from None
        if isinstance(content, list):  # some servers send it in parts
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        return {
            "content": self._hide(content or ""),
            "finish": one_line(self._hide(choice.get("finish_reason") or "")),
            "served_by": one_line(self._hide(body.get("model") or request.model)),
            **_usage(body.get("usage")),
        }

    def _fault(self, error: Any, model: str) -> Fault:
        """Return what a client's error means."""
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._status_fault(error, model)
        sent = not type(error.__cause__).__name__.startswith("Connect")  # ConnectError, ConnectTimeout: it never left
        if isinstance(error, openai.APITimeoutError):
            return Fault("timeout", f"timed out (nothing for {self.patience.timeout:g} s; --timeout)", billed=sent)
        why = one_line(self._hide(error.__cause__ or error))
        if isinstance(error, openai.APIConnectionError):
            return Fault("connection", f"connection failed ({why})", billed=sent)
        return Fault("client", why, billed=True)

    def _status_fault(self, error: Any, model: str) -> Fault:
        status, kind = error.status_code, str(error.status_code)
        said = one_line(self._hide(complaint(error.body)))
        reason = f"{kind} ({said})" if said else kind
        if status in (401, 403):
            return Fault(kind, f"The endpoint refused access: {reason}. {self._advice}", "stop")
        if status == 402 or (status == 429 and "insufficient_quota" in str(error.body)):
            advice = "Top it up; the same command continues."
            return Fault(kind, f"The endpoint has no credit left: {reason}. {advice}", "stop")
        if status == 404 and "support" not in said.lower():  # a router may have no server that supports the form
            advice = "Check --model, and --endpoint: it mostly ends in /v1."
            return Fault(kind, f"Nothing at {self.url} for model '{model}': {reason}. {advice}", "stop")
        if status not in (408, 409, 425, 429) and (status < 500 or status == 501):
            return Fault(kind, reason, "refused")
        wait = retry_after(error.response.headers)
        if wait is not None and wait > LONGEST_PATIENCE:
            reason = f"The endpoint asks to wait {wait:.0f} s: {reason}. The same command continues later."
            return Fault(kind, reason, "stop")
        return Fault(kind, reason, wait=wait)

    def _hide(self, said: object) -> str:
        """Return `said` as text without the key and without half surrogate pairs, which no file can hold."""
        text = str(said).encode("utf-8", "replace").decode()
        return text.replace(self._key, "[key]") if len(self._key) >= SECRET else text


def _usage(reported: Any) -> dict[str, int]:
    """Return the tokens that an endpoint reports, as columns of the journal; none where it makes no sense."""
    usage = reported if isinstance(reported, dict) else {}
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens"), 0]
    sound = [count for count in counts if isinstance(count, int) and 0 <= count < 2**40]
    return dict(zip(COST, sound, strict=True)) if sound == counts else {}
