"""What an OpenAI-compatible endpoint takes: the names and forms in which servers differ.

1. A request starts in the fullest form: an answer bound to a JSON schema, `max_tokens`, temperature 0.
2. A server that refuses it (400, 422, 501) is asked again in a smaller form: the parameter that its message names is
   renamed or left out, or else the schema gives way to "some JSON object" and that to plain instructions, which the
   prompts carry in any case.
3. Servers that ignore what they do not know (`transformers serve`) never refuse; answers are checked anyway.

It does not know connections or retries.
"""

from dataclasses import dataclass, replace
from typing import Any

SHAPES = ("json_schema", "json_object", "plain")


@dataclass(frozen=True)
class Dialect:
    """One form of a request: how JSON is asked for, what bounds the answer, whether temperature 0 is asked for."""

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

    def smaller(self, complaint: str) -> "Dialect | None":
        """Return the form to try after a refusal with this message; None when there is none left."""
        complaint = complaint.lower()
        if self.length == "max_tokens" and "max_completion_tokens" in complaint:
            return replace(self, length="max_completion_tokens")
        if self.temperature and "temperature" in complaint:
            return replace(self, temperature=False)
        if self.shape != SHAPES[-1]:
            return replace(self, shape=SHAPES[SHAPES.index(self.shape) + 1])
        return None
