"""An OpenAI-compatible chat server on 127.0.0.1 that answers well, or fails as its script says.

1. A healthy answer is worked out from the prompt alone: a decomposition of a question depends on its text only, and a
   judgement agrees with it but for what is planted (`LABEL_DISPUTED`, `ANSWER_DISPUTED` in the question).
2. `script` gives a fault to each request in the order of arrival; `fault` decides by the request. "ok" is no fault.
3. Every request is kept, with its headers: tests count here, not on the side that is tested.

By hand: python tests/faulty_server.py --port 8123 [--fault 429]
"""

import argparse
import json
import re
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FUNCTIONS = (
    "knowledge_recall", "retrieval", "logical_reasoning", "decision_making",
    "semantic_understanding", "syntactic_understanding", "inference", "math_calculation",
)  # fmt: skip
LABEL_DISPUTED = "tricky"
ANSWER_DISPUTED = "doubtful"


def steps_of(question):
    """Return the healthy decomposition of a question: 2 to 4 steps with functions by its length."""
    n = len(question)
    return [
        {
            "subquestion": f"What is part {i} of {n}?",
            "function": FUNCTIONS[(n + i) % len(FUNCTIONS)],
            "answer": f"{n + i} parts",
        }
        for i in range(2 + n % 3)
    ]


def judgements_of(question):
    """Return the second judgement of the same steps; the last one is disputed where the question says so."""
    rows = [
        {"number": i, "function": step["function"], "answer": f"It is {step['answer'].split()[0]}.0 parts"}
        for i, step in enumerate(steps_of(question), start=1)
    ]
    for row in rows:
        row["answer"] = row["answer"].removeprefix("It is ")
    if LABEL_DISPUTED in question:
        at = FUNCTIONS.index(rows[-1]["function"])
        rows[-1]["function"] = FUNCTIONS[(at + 1) % len(FUNCTIONS)]
    if ANSWER_DISPUTED in question:
        rows[-1]["answer"] = "something else"
    return rows


def asked(body):
    """Return ("decompose" or "verify", the question) of a request's body."""
    text = next(m["content"] for m in body["messages"] if m["role"] == "user")
    stage = "verify" if "\n\nSubquestions:\n" in text else "decompose"
    question = re.split(r"\n\n(?:Subquestions|Reference answer)", text.removeprefix("Question:\n"))[0]
    return stage, question


def healthy(body):
    """Return the reply's text that a good model would give."""
    stage, question = asked(body)
    return json.dumps({"steps": steps_of(question) if stage == "decompose" else judgements_of(question)})


def completion(body, content, *, usage=True, finish="stop"):
    """Return the body of a chat completion."""
    made = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": f"{body['model']}-as-served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}],
    }
    if usage:
        made["usage"] = {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600}
    return made


# Faults in the reply's text: the completion is well-formed, what the model says is not.
TEXTS = {
    "no json": "I would rather talk about the weather.",
    "no steps": '{"answer": "42"}',
    "bad schema": '{"steps": [{"subquestion": "What?", "function": "retrieval"}]}',
    "bad label": '{"steps": [{"subquestion": "What?", "function": "guessing", "answer": "42"}]}',
    "surrogate": '{"steps": [{"subquestion": "What is \\ud800?", "function": "retrieval", "answer": "\\udfff"}]}',
}

# Faults in the HTTP answer: status, headers, body.
STATUSES = {
    "429": (429, {"Retry-After": "7"}, {"error": {"message": "Rate limit reached"}}),
    "429 at once": (429, {"Retry-After": "0"}, {"error": {"message": "Rate limit reached"}}),
    "429 an hour": (429, {"Retry-After": "3600"}, {"error": {"message": "Rate limit reached"}}),
    "429 no credit": (429, {}, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}),
    "400": (400, {}, {"error": {"message": "This prompt is not to my taste"}}),
    "401": (401, {}, {"error": {"message": "Incorrect API key provided"}}),
    "403": (403, {}, {"error": {"message": "Not for you"}}),
    "404": (404, {}, {"error": {"message": "The model does not exist"}}),
    "408": (408, {}, {"detail": "too slow"}),
    "500": (500, {}, {"error": "out of memory"}),
    "503": (503, {"Retry-After": "0"}, {"message": "loading"}),
}

# Bodies that are sent with status 200 and are no chat completion.
BODIES = {
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "bytes": b"\x80\xff\x00\x01",
    "empty": b"",
    "list": b"[1, 2]",
    "no choices": b'{"id": "x", "choices": []}',
    "error 200": b'{"error": {"message": "upstream failed"}}',
    "deep": b"[" * 100_000,
}


class FaultyServer:
    """The server, running from construction to the end of the ``with``.

    Parameters
    ----------
    script
        Faults, one a request; after the last one all is well.
    fault
        Called with (number of the request from 0, its body); returns a fault, or None to go by the script.
    reply
        Called with the body; returns the text of a good reply.
    usage
        Whether completions say what they used.
    takes
        Called with the body; returns an error message for a form of request that is refused with 400, or None.
    """

    def __init__(self, script=(), *, fault=None, reply=healthy, usage=True, takes=None, port=0):
        self.script = list(script)
        self.fault = fault or (lambda number, body: None)
        self.reply = reply
        self.usage = usage
        self.takes = takes or (lambda body: None)
        self.requests = []
        self.headers = []
        self.held = threading.Semaphore(0)
        self._free = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                server._answer(self)

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._free.set()
        self._http.shutdown()
        self._http.server_close()

    def release(self):
        """Let requests that hang go on (to a dropped connection)."""
        self._free.set()

    def counts(self):
        """Return how often each (stage, question, number of messages) was asked."""
        return Counter((*asked(body), len(body["messages"])) for body in self.requests)

    def _answer(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            fault = self.fault(number, body) or (self.script.pop(0) if self.script else "ok")
        if complaint := self.takes(body):
            self._send(handler, 400, {"error": {"message": complaint}})
        elif fault == "hang":
            self.held.release()
            self._free.wait(60)
            handler.close_connection = True
        elif fault == "drop":
            self._drop(handler, body)
        elif fault in STATUSES:
            status, headers, payload = STATUSES[fault]
            self._send(handler, status, payload, headers)
        elif fault in BODIES:
            self._send(handler, 200, BODIES[fault])
        elif fault == "cut":
            self._send(handler, 200, completion(body, healthy(body)[:30], usage=self.usage, finish="length"))
        else:
            text = self.reply(body) if fault == "ok" else TEXTS[fault]
            self._send(handler, 200, completion(body, text, usage=self.usage))

    def _send(self, handler, status, payload, headers=()):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _drop(self, handler, body):
        """Promise a whole answer, send half of it, and hang up."""
        data = json.dumps(completion(body, healthy(body))).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server with scripted faults.")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--fault", action="append", default=[], help="fault of the next request; may be repeated")
    options = parser.parse_args()
    with FaultyServer(options.fault, port=options.port) as running:
        print(f"{running.url} (Ctrl-C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"{len(running.requests)} requests")
