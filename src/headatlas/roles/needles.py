"""Needles in context: a true sentence hidden among sentences of other passages, and the question it answers.

1. The *needle* of a retrieval step is the sentence of its passage that holds the answer and shares the most words
   with the subquestion. Steps without one such sentence are left out.
2. The *hay* is sentences of other passages (of another topic, where the questions name one), drawn at random. No hay
   sentence holds the answer, or three or more of the subquestion's longer words.
3. The needle stands at a random depth, never first, so that its words have a space before them as the answer has.
4. `headatlas.prompts` makes the token ids: hay and needle as passage, the subquestion, the reference answer
   teacher-forced. The needle's tokens are found in them; those equal to an answer token are what copying it would
   attend to. Items in which no answer token stands in the needle are left out.

Everything is drawn from one seed. It does not know models.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from headatlas.errors import InputError
from headatlas.prompts import Prompt, build_prompts
from headatlas.questions.schema import Question, QuestionSet, Step

RETRIEVAL = "retrieval"
"""The function whose steps are asked."""
SHARED = 3
"""Hay shares fewer of the subquestion's longer words than this."""


@dataclass(frozen=True, eq=False)
class Needle:
    """One item.

    Attributes
    ----------
    prompt
        The prompt with its reference answer.
    span
        First token of the needle, and one past its last.
    wanted
        Position that predicts an answer token -> the positions in the needle of that same token.
    """

    prompt: Prompt
    span: tuple[int, int]
    wanted: dict[int, Int[np.ndarray, " _"]]

    @property
    def answers(self) -> dict[int, int]:
        """Position that predicts an answer token -> that token, where the needle holds it."""
        return {position: int(self.prompt.tokens[position + 1]) for position in self.wanted}


def build_needles(
    questions: QuestionSet,
    tokenizer: Any,
    *,
    n: int = 96,
    sentences: int = 8,
    context: int | None = None,
    seed: int = 0,
) -> list[Needle]:
    """Make at most `n` needle items.

    Parameters
    ----------
    questions
        Passages with retrieval steps.
    tokenizer
        A Hugging Face tokenizer.
    n
        Items wanted; fewer where the steps don't give as many.
    sentences
        Sentences of an item's passage, the needle among them.
    context
        Longest prompt the model takes, in tokens.
    seed
        Of the draw of steps, hay and depth.

    Returns
    -------
    list of Needle
        The same for the same arguments.

    Raises
    ------
    InputError
        No item could be made.
    PromptError
        An item is longer than `context`.
    """
    draw = np.random.default_rng(seed)
    steps = [(q, step) for q in questions.questions for step in q.steps if step.function == RETRIEVAL]
    hay = [(q, sentence) for q in questions.questions for sentence in split_sentences(q.question)]
    needles: list[Needle] = []
    for number in draw.permutation(len(steps)):
        question, step = steps[number]
        needle = find_needle(question.question, step)
        others = [s for q, s in hay if _apart(q, question) and needle and _is_hay(s, step)]
        if needle is None or len(set(others)) < sentences - 1:
            continue
        passage = [str(s) for s in draw.choice(sorted(set(others)), sentences - 1, replace=False)]
        passage.insert(int(draw.integers(1, sentences)), needle)
        item = Question(id=f"{question.id}/needle", question=" ".join(passage), steps=(step,), chain=False)
        prompt = build_prompts(QuestionSet((item,), "needles"), tokenizer, context=context)[0]
        if (made := _locate(prompt, needle, tokenizer)) is not None:
            needles.append(made)
        if len(needles) == n:
            break
    if not needles:
        raise InputError(
            f"'{questions.name}' gives no needle item: none of its {len(steps)} retrieval steps has an answer that "
            "stands word for word in one sentence of its passage, with other passages to hide it in. "
            "Give questions that have some, e.g. the built-in set."
        )
    return needles


def split_sentences(passage: str) -> list[str]:
    """Return a passage's sentences, each so that it can stand anywhere: no "Also,", no opening up to a colon."""
    found = []
    for number, sentence in enumerate(re.split(r"(?<=[.!?])\s+", passage.strip())):
        plain = re.sub(r"^(Also|Finally), ", "", sentence)
        if number == 0:
            plain = re.sub(r'^[^:"]{1,80}: ', "", plain)
        if plain:
            found.append(plain[0].upper() + plain[1:])
    return found


def find_needle(passage: str, step: Step) -> str | None:
    """Return the one sentence that holds the answer and shares the most words with the subquestion, if any."""
    asked = _words(step.subquestion)
    holding = [s for s in split_sentences(passage) if _holds(s, step.answer)]
    shared = [len(asked & _words(s)) for s in holding]
    best = [s for s, count in zip(holding, shared, strict=True) if count == max(shared) and count > 0]
    return best[0] if len(best) == 1 else None


def _apart(other: Question, question: Question) -> bool:
    """Say whether a question's sentences may be another's hay."""
    topics = [(q.model_extra or {}).get("topic") for q in (other, question)]
    return other.id != question.id and (topics[0] is None or topics[0] != topics[1])


def _is_hay(sentence: str, step: Step) -> bool:
    """Say whether a sentence leaves the step's answer to the needle alone."""
    return not _holds(sentence, step.answer) and len(_words(sentence) & _words(step.subquestion)) < SHARED


def _holds(text: str, answer: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer.lower())}(?!\w)", text.lower()) is not None


def _words(text: str) -> set[str]:
    """Return the longer words of a text, in lower case."""
    return set(re.findall(r"\w{4,}", text.lower()))


def _locate(prompt: Prompt, needle: str, tokenizer: Any) -> Needle | None:
    """Find the needle's tokens in the prompt and the answer's among them; None if there are none."""
    ends = _Ends(prompt.prefix, tokenizer)
    where = ends.text.find(needle)
    if where < 0 or needle in ends.text[where + 1 :]:
        return None
    span = ends.first_beyond(where), ends.first_beyond(where + len(needle) - 1) + 1
    inside = np.arange(*span)
    wanted = {
        int(position): inside[prompt.tokens[inside] == token]
        for position, token in zip(prompt.predicting, prompt.answer_tokens, strict=True)
    }
    wanted = {position: keys for position, keys in wanted.items() if len(keys)}
    return Needle(prompt, span, wanted) if wanted else None


class _Ends:
    """Where in the text of some tokens each token ends."""

    def __init__(self, tokens: Int[np.ndarray, " length"], tokenizer: Any) -> None:
        self._tokens, self._tokenizer = tokens, tokenizer
        self.text = self._said(len(tokens))

    def _said(self, n: int) -> str:
        text: str = self._tokenizer.decode(
            self._tokens[:n], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def first_beyond(self, character: int) -> int:
        """Return the first token by whose end the text reaches beyond `character`."""
        low, high = 1, len(self._tokens)
        while low < high:
            middle = (low + high) // 2
            if len(self._said(middle)) > character:
                high = middle
            else:
                low = middle + 1
        return low - 1


def sequences(needles: Sequence[Needle]) -> Iterator[Int[np.ndarray, " length"]]:
    """Yield what the model is run on: all tokens but the answer's last, which predicts nothing here."""
    for needle in needles:
        yield needle.prompt.tokens[:-1]
