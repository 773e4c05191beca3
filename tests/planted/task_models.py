"""Planted models that do tasks of two functions: in one the functions have heads of their own, in the other none has.

1. A prompt is a list of words, one of them marked, with a *cue* at its end that names the task. The answer is the
   content of the marked word, the foil that of another, which stands in the text as well. All tasks ask the same, of
   texts of their own: nothing but the cue, and the heads that know it, tells them apart.
2. A planted head rests at the first token, whose value is nothing, unless the last token is a cue that it knows. Then
   it attends to the marked word and writes its content (`_reads`).
3. Heads that know all cues are *general*; those that know the cues of one function are that function's; a task's own
   know one cue. `two_functions` has all three kinds. In `no_function` no head knows the cues of one function: what a
   task needs beside the general heads is its own. All others are distractors (`causal_models`).

Which heads are what is drawn by seed. `Tasks.gains` says what each head adds to the answer's logit in each task: what a
perfect method would find. This module does not know methods or statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from headatlas.models.head_model import HeadModel
from headatlas.questions.schema import Question, QuestionSet, Step
from tests.planted.causal_models import BOS, HEADS, LAYERS, SAME, SHARP, VOCAB, Board, _each, _onto, _unit

FUNCTIONS = ("retrieval", "inference")
KINDS = ("animal", "name", "tool")
"""A task's kind of answer is named in turn, in either function alike, and is of no consequence."""

OPENING, UNKNOWN = "[START]", "[UNK]"
PLAIN = ("hen", "cow", "pig", "dog", "cat")
MARKED = tuple(word.upper() for word in PLAIN)
CUES = tuple(f"cue{i}" for i in range(12))
WORDS = (OPENING, UNKNOWN, *PLAIN, *MARKED, *CUES)
"""The vocabulary, in order."""

GENERAL, SHARED, OWN = 2.0, 4.0, 3.0
"""What a head of each kind adds to the answer's logit."""


@dataclass(frozen=True)
class Tasks:
    """A model, what it is asked, and what each head does for each task.

    Attributes
    ----------
    gains
        Task -> what its heads add to the answer's logit, (layer, head); 0 for distractors.
    functions
        Task -> its function.
    """

    model: HeadModel
    questions: QuestionSet
    gains: dict[str, np.ndarray]
    functions: dict[str, str]


def two_functions(*, tasks: int = 3, items: int = 8, seed: int = 0) -> Tasks:
    """Return a model in which three heads do each function, and every task has a head of its own beside them."""
    return _planted(tasks, items, seed, shared=3, own=1)


def no_function(*, tasks: int = 3, items: int = 8, seed: int = 0) -> Tasks:
    """Return a model in which no head does a function: a task has three heads of its own, or one of many tasks."""
    return _planted(tasks, items, seed, shared=0, own=3 if tasks <= 3 else 1)


def _planted(tasks: int, items: int, seed: int, *, shared: int, own: int) -> Tasks:
    """Wire a model of `tasks` tasks a function: two general heads, `shared` a function and `own` a task."""
    assert len(WORDS) == VOCAB and WORDS[BOS] == OPENING
    names = [f"{function} {i}" for function in FUNCTIONS for i in range(tasks)]
    cues = CUES[: len(names)]
    board = Board(seed=seed)
    free = iter(np.random.default_rng(seed).permutation(LAYERS * HEADS).tolist())
    gains = {name: np.zeros((LAYERS, HEADS)) for name in names}
    general = [(cues, GENERAL)] * 2
    of_functions = [(cues[:tasks], SHARED), (cues[tasks:], SHARED)] * shared
    of_tasks = [((cue,), OWN) for cue in cues] * own
    for known, gain in [*general, *of_functions, *of_tasks]:
        layer, head = divmod(next(free), HEADS)
        _reads(board, layer, head, known, gain)
        for cue in known:
            gains[names[cues.index(cue)]][layer, head] = gain
    model = HeadModel(board.gpt2, _tokenizer(), "planted-tasks")
    functions = {name: name.rsplit(" ", 1)[0] for name in names}
    return Tasks(model, _questions(dict(zip(names, cues, strict=True)), functions, items, seed), gains, functions)


def _reads(board: Board, layer: int, head: int, cues: Sequence[str], gain: float) -> None:
    """Wire a head that writes the content of the marked word after a cue that it knows, and rests otherwise."""
    contents = dict(zip(_ids(MARKED).tolist(), _ids(PLAIN).tolist(), strict=True))
    board.head(
        layer, head, query={"token": 2 * SHARP * _onto(_ids(cues), 0)}, always=SHARP * _unit(1),
        key={"token": _onto(_ids(MARKED), 0) + _onto(np.array([BOS]), 1)}, value={"token": _each(contents)},
        write={"out": gain * SAME},
    )  # fmt: skip


def _ids(words: Sequence[str]) -> np.ndarray:
    return np.array([WORDS.index(word) for word in words], dtype=np.int64)


def _questions(cues: dict[str, str], functions: dict[str, str], items: int, seed: int) -> QuestionSet:
    """Return the items of every task, and a demonstration: one is never shown here, but lets its items run together."""
    draw = np.random.default_rng([seed, 1])
    shown, asked = [], []
    for at, (task, cue) in enumerate(cues.items()):
        for i in range(items + 1):
            words = draw.permutation(PLAIN)[: draw.integers(3, 6) if i < items else 2].tolist()
            answer, foil = draw.permutation(words)[:2].tolist()
            text = " ".join([*(word.upper() if word == answer else word for word in words), cue])
            step = Step(
                subquestion=text, answer=answer, foil=foil, function=functions[task], task=task, form="completion",
                kind=KINDS[at % len(KINDS)],
            )  # fmt: skip
            question = Question(id=f"{task}, {i}", question=text, steps=(step,), demonstration=i == items)
            (shown if question.demonstration else asked).append(question)
    return QuestionSet(tuple(asked), "planted tasks", demonstrations=tuple(shown))


def _tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token a word, which opens every text with the first token."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{OPENING} $A", special_tokens=[(OPENING, BOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=UNKNOWN, bos_token=OPENING, eos_token=OPENING, pad_token=OPENING
    )
