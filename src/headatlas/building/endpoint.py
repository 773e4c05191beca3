"""A chat endpoint that is asked patiently and within its caps; the only file that knows the `openai` client.

1. A request is known by the digest of its model and messages. Answered before: the journal's answer is returned.
2. Else a budget is reserved, the request noted and sent, and the raw answer (or the fault) kept. The client's own
   retries are off, so that every request is counted.
3. A passing fault is tried again after the pause that the endpoint asks for, or after one that doubles, with jitter.
   Refused forms of request give way to smaller ones (`dialect`) until one is answered; that one is kept.
4. What stays without an answer is given up: `Unanswered` or `Refused`. Too many in a row, with no answer between, stop
   the run: three where this build never got an answer (the endpoint is not there, or takes nothing of ours), ten
   unanswered where it did (the endpoint has gone).

The key is read from the environment, is sent to the endpoint, and leaves this file in no other way: it is cut out of
whatever the endpoint says. This module does not know questions, steps or functions.
"""

import hashlib
import json
import os
import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from headatlas.building.budget import Budget, Stopped
from headatlas.building.dialect import Dialect
from headatlas.building.faults import Fault, one_line, status_fault
from headatlas.building.journal import Answer, Journal, Tokens, now
from headatlas.errors import InputError, RunError

Message = dict[str, str]
Sleep = Callable[[float], object]

NEVER_ANSWERED, GONE = 3, 10
"""Requests given up in a row that stop a run: before the first answer of a build, and after it."""
NO_KEY = "none"
"""Sent to endpoints where no key is set: the client insists on one, local servers ignore it."""
SECRET = 8
"""Characters that a key has at least; shorter ones ("none", "EMPTY") are words, and stay where they stand."""


class Unanswered(Exception):
    """The endpoint gave no answer to a request; another run may get one."""


class Refused(Exception):
    """The endpoint refuses a request in every form."""


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

    def pause(self, turn: int, asked_for: float | None) -> float:
        """Return the seconds to wait after attempt `turn` (from 1); never less than the endpoint asked for."""
        if asked_for is not None:
            return asked_for * (1 + 0.1 * random.random())
        return min(self.first_pause * 2 ** (turn - 1), self.longest_pause) * (0.5 + 0.5 * random.random())


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
        raise InputError(f"--endpoint is no URL. {_example()}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError(f"--endpoint holds a user or password, which would end up in files. {_example()}")
    if parts.query or parts.fragment:
        raise InputError(f"--endpoint has something after '?' or '#', which may be a key. {_example()}")
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"--endpoint '{one_line(url, 80)}' is not http:// or https://. {_example()}")
    at = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{at}{f':{port}' if port else ''}{path}"


def is_exposed(url: str) -> bool:
    """Say whether what is sent to `url` leaves this machine unencrypted."""
    host = urlsplit(url).hostname or ""
    return url.startswith("http:") and host not in ("localhost", "::1") and not host.startswith("127.")


def _example() -> str:
    return "Give an address such as http://localhost:8000/v1; the key is read from the environment (--key-env)."


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


class Endpoint:
    """One endpoint, for all workers at once.

    Parameters
    ----------
    url
        Base address, as `check_url` returns it.
    key_env
        The environment variable that holds the key; None: OPENAI_API_KEY, or no key where that is not set.
    journal, budget
        Where requests and answers are kept; what may be asked.
    stopped
        Set by whatever ends the run; nothing is sent after that.
    allowance
        Tokens that an answer may have.
    patience
        Attempts, pauses, timeout.
    sleep
        Waits the given seconds; by default until `stopped`, at most.
    say
        Told of pauses that a person would wonder about.
    """

    def __init__(
        self,
        url: str,
        *,
        key_env: str | None,
        journal: Journal,
        budget: Budget,
        stopped: threading.Event,
        allowance: int,
        patience: Patience,
        sleep: Sleep | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.url = url
        self._key, self._advice = read_key(key_env)
        self._journal = journal
        self._budget = budget
        self._stopped = stopped
        self._allowance = allowance
        self._patience = patience
        self._sleep = sleep or stopped.wait
        self._say = say or (lambda message: None)
        self._lock = threading.RLock()
        self._locks: dict[str, Any] = {}
        self._settled: set[str] = set()
        self._given_up = 0
        self._client: Any = None

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._client is not None:
            self._client.close()

    def ask(self, messages: list[Message], *, model: str, schema: dict[str, Any], about: str) -> Answer:
        """Return the answer to `messages`, from the journal where it is there.

        Raises
        ------
        Unanswered, Refused
            This request gets no answer now, or never.
        RunError
            The run can't go on: access refused, no such model, a cap, nothing answered at all.
        Stopped
            Another worker ended the run.
        """
        request = hashlib.sha256(json.dumps([model, messages]).encode()).hexdigest()
        with self._alone(request):  # the same question twice in a source is asked once
            kept = self._journal.answers.get(request)
            if kept and (kept.finish != "length" or kept.allowance >= self._allowance):
                return kept
            return self._insist(request, messages, model, schema, about)

    def _insist(self, request: str, messages: list[Message], model: str, schema: dict[str, Any], about: str) -> Answer:
        for turn in range(1, self._patience.attempts + 1):
            try:
                answer = self._in_some_dialect(request, messages, model, schema, about)
            except Fault as fault:
                if fault.action == "stop":
                    raise RunError(str(fault)) from None
                if fault.action == "refused":
                    raise self._give_up(Refused(f"the endpoint refuses it: {fault}")) from None
                if turn == self._patience.attempts:
                    times = f"{turn} attempt{'s' if turn > 1 else ''}"
                    raise self._give_up(Unanswered(f"no answer after {times}, the last: {fault}")) from None
                self._pause(turn, fault)
            else:
                with self._lock:
                    self._given_up = 0
                return answer
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self, reason: Exception) -> Exception:
        """Return what to raise for a request that is given up: `reason`, or what ends the run."""
        with self._lock:
            known = bool(self._journal.answers)
            if known and isinstance(reason, Refused):  # it is the question, not the endpoint
                return reason
            self._given_up += 1
            if self._given_up < (GONE if known else NEVER_ANSWERED):
                return reason
        return RunError(f"{self.url} answers nothing: {self._given_up} requests in a row, {reason}.")

    def _pause(self, turn: int, fault: Fault) -> None:
        seconds = self._patience.pause(turn, fault.wait)
        if seconds >= 5:
            self._say(f"{one_line(str(fault), 100)}: asking again in {seconds:.0f} s (attempt {turn + 1})")
        self._sleep(seconds)

    def _in_some_dialect(
        self, request: str, messages: list[Message], model: str, schema: dict[str, Any], about: str
    ) -> Answer:
        """Send in the form that is known to be taken; until one is, one worker tries and the others wait."""
        with self._alone(f"dialect of {model}") if model not in self._settled else nullcontext():
            kept = self._journal.dialects.get(model)
            dialect = Dialect(**kept) if kept else Dialect()
            while True:
                try:
                    answer = self._once(request, messages, model, schema, about, dialect)
                except Fault as fault:
                    if fault.action != "refused" or model in self._settled:
                        raise
                    smaller = dialect.smaller(str(fault))
                    if smaller is None:  # so it was not the form
                        raise
                    dialect = smaller
                else:
                    self._settled.add(model)
                    self._journal.note_dialect(model, asdict(dialect))
                    return answer

    def _once(
        self,
        request: str,
        messages: list[Message],
        model: str,
        schema: dict[str, Any],
        about: str,
        dialect: Dialect,
    ) -> Answer:
        if self._stopped.is_set():
            raise Stopped
        client = self._connect()
        most = Tokens(len(json.dumps([messages, schema]).encode()), self._allowance, 1)
        self._budget.reserve(most)
        cost = most
        try:
            number = self._journal.sent(request, about, most)
            try:
                arguments = dialect.arguments(schema, self._allowance)
                body, choice = self._send(client, model, messages, arguments)
            except Fault as fault:
                cost = most if fault.billed else Tokens()
                self._journal.fault(number, fault.kind, str(fault), cost)
                raise
            cost = _usage(body) or most
            answer = Answer(
                request=request,
                about=about,
                content=self._hide(_content(choice)),
                finish=one_line(self._hide(str(choice.get("finish_reason") or ""))),
                served_by=one_line(self._hide(str(body.get("model") or model))),
                tokens=cost,
                allowance=self._allowance,
                shape=dialect.shape,
                endpoint=self.url,
                when=now(),
            )
            self._journal.answered(number, answer)
            return answer
        finally:
            self._budget.settle(most, cost)

    def _send(
        self, client: Any, model: str, messages: list[Message], arguments: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a response's decoded body and its first choice, or raise the `Fault` that it is."""
        import openai

        try:
            raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, **arguments)
            text = raw.http_response.content.decode("utf-8", "replace")
        except openai.APITimeoutError as error:
            waited = f"nothing for {self._patience.timeout:g} s"
            raise Fault("timeout", f"timed out ({waited}; --timeout)", billed=_was_sent(error)) from None
        except openai.APIConnectionError as error:
            why = one_line(self._hide(str(error.__cause__ or error)))
            raise Fault("connection", f"connection failed ({why})", billed=_was_sent(error)) from None
        except openai.APIStatusError as error:
            body = json.loads(self._hide(json.dumps(error.body)))
            raise status_fault(
                error.status_code, error.response.headers, body, model=model, url=self.url, key=self._advice
            ) from None
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

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    import openai
                except ImportError:
                    raise InputError(
                        'Building questions needs the openai client. Type: pip install "headatlas[builder]"'
                    ) from None
                if self._key != NO_KEY and is_exposed(self.url):
                    self._say(f"The key goes to {self.url} unencrypted: anyone on the way can read it. Use https://.")
                self._client = openai.OpenAI(
                    base_url=self.url, api_key=self._key, max_retries=0, timeout=self._patience.timeout
                )
            return self._client

    def _alone(self, name: str) -> AbstractContextManager[Any]:
        """Return the lock of that name, made on first use."""
        with self._lock:
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
    message = choice["message"]
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or message.get("refusal") or "")


def _usage(body: dict[str, Any]) -> Tokens | None:
    """Return the usage that the endpoint reports; None where it reports none that makes sense."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (isinstance(prompt, int) and isinstance(completion, int)) or min(prompt, completion) < 0:
        return None
    return Tokens(int(prompt), int(completion))
