"""Steps -> prompts: token ids with the exact span of the answer. The only module that tokenises.

1. A `Template` writes the user's message for a step: the main question, the earlier steps with their answers
   as prior knowledge (where the question set chains them), the subquestion, and what form of answer is
   wanted; and the words the assistant's turn opens and closes with. Where a set has demonstrations, some of the
   step's task come first, answered, in the same form (`deal`): no text says what is wanted.
2. The tokenizer's chat template wraps it, where there is one; otherwise plain text does.
3. The reference answer follows as the assistant's words (teacher-forced); its tokens are found so that
   decoding the span gives the answer, under any tokenizer (`_answer_tokens`).
4. A foil, a wrong answer, stands beside it, so that "does the model do this at all?" has an answer: the step's own,
   or the answer to a like question about another passage.
5. `tokens=` chooses which answer tokens count: all, content (no stop words or punctuation), first, last.

Positions: the token at index i is *predicted* at index i - 1. The positions that predict the answer run from
the last prompt token to the one before the last answer token.

It does not know models: only tokenizers and a context length.
"""

import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int

from headatlas._registry import Registry
from headatlas.errors import InputError, PromptError
from headatlas.questions.schema import Question, QuestionSet, Step, foil_stands_in, words

TokenChoice = Literal["all", "content", "first", "last"]
AnswersFrom = Literal["reference", "generated"]
"""Whose answers are run: the questions' own (teacher-forced), or the model's (greedy)."""
TOKEN_CHOICES: tuple[TokenChoice, ...] = ("all", "content", "first", "last")


@dataclass(frozen=True, eq=False)
class Prompt:
    """One step, ready for a model.

    Attributes
    ----------
    id
        Question id and step number, e.g. "market-3/2".
    tokens
        Token ids of the whole text, prompt and reference answer.
    answer_start
        Index of the answer's first token; the answer runs to the end of `tokens`.
    chosen
        Positions whose z is pooled: those that predict the chosen answer tokens, (chosen,).
    function, group, step
        The step's function, its main question's id, and its place among the steps.
    task
        The task that the step is an instance of; "" where the set names none.
    design
        What else the step's design names: "form" and "kind" (of answer), and "lure", whether a designed foil stands in
        the text that is asked.
    pack
        Prompts of one pack share a beginning and are run together.
    passage, subquestion, answer
        The texts, for baselines and reports.
    foil
        Token ids of a wrong answer to compare with: the step's own (`designed`), else another main question's answer
        to a like question; empty where there is none.
    own
        Token ids of the whole text with the model's own, generated answer, if it gave one; `chosen` refers
        to it then.
    """

    id: str
    tokens: Int[np.ndarray, " length"]
    answer_start: int
    chosen: Int[np.ndarray, " chosen"]
    function: str
    group: str
    step: int
    passage: str
    subquestion: str
    answer: str
    foil: Int[np.ndarray, " foil"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    own: Int[np.ndarray, " own"] | None = None
    task: str = ""
    designed: bool = False
    design: Mapping[str, str] = field(default_factory=dict)
    pack: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pack", self.pack or self.group)

    @property
    def prefix(self) -> Int[np.ndarray, " prefix"]:
        """Token ids of all that comes before the answer."""
        return self.tokens[: self.answer_start]

    @property
    def pooled(self) -> Int[np.ndarray, " pooled"]:
        """Token ids of the text whose z is pooled: the model's own answer where there is one."""
        return self.tokens if self.own is None else self.own

    @property
    def predicting(self) -> Int[np.ndarray, " answer"]:
        """Positions that predict the answer's tokens."""
        return np.arange(self.answer_start - 1, len(self.tokens) - 1)

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Token ids of the answer."""
        return self.tokens[self.answer_start :]


@dataclass(frozen=True)
class Template:
    """How a step is put to the model.

    ``message`` gets ``{question}``, ``{prior}`` (each earlier step by ``prior``, or nothing) and
    ``{subquestion}``; ``opening`` starts the assistant's turn; ``stop`` ends a generated answer.
    What is shared by the steps of a question comes first, so that token trees can share it.

    ``item``, where it is given, writes demonstrations and, without its answer, the step itself, one under the other.
    It gets ``{passage}`` (with a line's end), ``{subquestion}`` and ``{answer}``; ``completion`` does the same for
    steps of that form. Such a text is no chat unless one is asked for.
    """

    message: str = ""
    prior: str = ""
    opening: str = ""
    stop: str = "\n"
    item: str = ""
    completion: str = ""

    def render(self, question: Question, step: Step, *, answered: bool = False) -> str:
        """Return a step as `item` or `completion` writes it."""
        passage = f"{question.passage}\n" if question.passage else ""
        written = self.completion if self.completion and step.form == "completion" else self.item
        answer = f" {step.answer}" if answered else ""
        return written.format(passage=passage, subquestion=step.subquestion, answer=answer)

    @property
    def chat(self) -> bool:
        """Whether it is wrapped in a chat template where there is one."""
        return not self.item


templates: Registry[Template] = Registry("template")
templates.register(
    "short",
    Template(
        message="Answer the last question in a few words.\n\n{question}\n\n{prior}Q: {subquestion}",
        prior="Q: {subquestion}\nA: {answer}\n",
        opening="Answer:",  # without it small chat models open with "The answer is …": see docs/architecture.md
    ),
)
templates.register(
    "published",
    Template(
        message=(
            "You solve a main question one part at a time. You are given the main question, what is already "
            "known from its earlier parts, and the part to solve now. Solve only that part. Keep the answer as "
            "short as it can be without losing its meaning, and rely on the prior knowledge where it helps.\n\n"
            "Main question:\n{question}\n\n"
            "Prior knowledge:\n{prior}\n"
            "Part to solve now:\n{subquestion}\n\n"
            'Reply with one JSON object and nothing else, in the form {{"answer": "your answer"}}.'
        ),
        prior="Q{number}: {subquestion}\nA{number}: {answer}\n",
        opening='{"answer": "',
        stop='"',
    ),
)


templates.register(
    "examples",
    Template(item="{passage}Q: {subquestion}\nA:{answer}", completion="{passage}{subquestion}{answer}"),
)

AUTO = "auto"
SHOTS = 3


@dataclass(frozen=True)
class Asking:
    """How steps are asked, and whose answers are read.

    Attributes
    ----------
    template
        A registered template: "examples", "short" or "published"; "auto" is "examples" for a set with demonstrations,
        else "short".
    tokens
        Which answer tokens are pooled: "all", "content", "first" or "last".
    answers
        "reference" teacher-forces the reference answers; "generated" lets the model answer greedily first.
    chat
        Wrap the message in the tokenizer's chat template; None does so where it has one, unless the template is
        "examples", which shows what is wanted.
    shots
        How many demonstrations stand before a step, if its task has any.

    Raises
    ------
    InputError
        An unknown template, token choice or answers; a negative number of demonstrations.
    """

    template: str = AUTO
    tokens: str = "all"
    answers: str = "reference"
    chat: bool | None = None
    shots: int = SHOTS

    def __post_init__(self) -> None:
        if self.template != AUTO:
            templates.get(self.template)
        if self.shots < 0:
            raise InputError(f"{self.shots} demonstrations can't be shown. Give --shots 0 or more.")
        check_token_choice(self.tokens)
        if self.answers not in get_args(AnswersFrom):
            raise InputError(f"Unknown answers '{self.answers}'. Give reference or generated.")

    def of(self, questions: QuestionSet, tokenizer: Any) -> "Asking":
        """Return what this comes to for a question set and a tokenizer: nothing is left open."""
        template = self.template
        if template == AUTO:
            template = "examples" if questions.demonstrations else "short"
        has_chat = bool(getattr(tokenizer, "chat_template", None))
        chat = has_chat and templates.get(template).chat if self.chat is None else self.chat
        return replace(self, template=template, chat=chat)


def check_token_choice(tokens: str) -> None:
    """Raise `InputError` unless `tokens` is one of `TOKEN_CHOICES`."""
    if tokens not in TOKEN_CHOICES:
        raise InputError(f"Unknown token choice '{tokens}'. Give one of: {', '.join(TOKEN_CHOICES)}.")


def build_prompts(
    questions: QuestionSet,
    tokenizer: Any,
    *,
    template: str = AUTO,
    tokens: str = "all",
    chat: bool | None = None,
    shots: int = SHOTS,
    seed: int = 0,
    context: int | None = None,
) -> list[Prompt]:
    """Render and tokenise every step of `questions`.

    Parameters
    ----------
    questions
        The question set.
    tokenizer
        A Hugging Face tokenizer.
    template, tokens, chat, shots
        How steps are asked: see `Asking`.
    seed
        Deals demonstrations to steps (`deal`).
    context
        Longest prompt the model takes, in tokens.

    Returns
    -------
    list of Prompt
        In the order of the questions and their steps; the steps of a task that is demonstrated stand together, by
        demonstrations.

    Raises
    ------
    PromptError
        No chat template where `chat` is True; a step longer than `context`; an answer without tokens.
    """
    asking = Asking(template=template, tokens=tokens, chat=chat, shots=shots).of(questions, tokenizer)
    form = templates.get(asking.template)
    if asking.chat and not getattr(tokenizer, "chat_template", None):
        raise PromptError("This tokenizer has no chat template. Leave out --chat: plain text is used then.")
    shown = deal(questions, shots=shots, seed=seed) if form.item else {}
    prompts = []
    for question, number, examples in _in_order(questions, shown):
        step = question.steps[number]
        before = "".join(form.render(q, s, answered=True) + "\n\n" for q in examples for s in q.steps)
        message = before + form.render(question, step) if form.item else _message(form, question, number)
        prefix = _prefix_tokens(message, form, tokenizer, bool(asking.chat))
        answer = _answer_tokens(prefix, step.answer, tokenizer, f"{question.id}/{number}")
        pack = step.task if f"{question.id}/{number}" in shown else None
        prompts.append(_prompt(question, number, step, prefix, answer, tokens, tokenizer, pack or question.id))
        _check_length(prompts[-1], context)
    return _with_foils(prompts, questions, tokenizer, context)


def deal(questions: QuestionSet, *, shots: int, seed: int) -> dict[str, tuple[Question, ...]]:
    """Return, for every step of a demonstrated task ("id/number"), the demonstrations that stand before it.

    A task's demonstrations are shuffled and cut into sets of `shots`, as many as there are; its steps are dealt to the
    sets evenly, at random. So no map hangs on one choice of demonstrations, and steps of one set share a beginning.
    """
    of_task: dict[str, list[Question]] = defaultdict(list)
    for question in questions.demonstrations:
        for task in dict.fromkeys(str(step.task) for step in question.steps):
            of_task[task].append(question)
    steps: dict[str, list[str]] = defaultdict(list)
    for question in questions.questions:
        for number, step in enumerate(question.steps):
            if step.task in of_task:
                steps[step.task].append(f"{question.id}/{number}")
    shown: dict[str, tuple[Question, ...]] = {}
    for task, own in steps.items():
        draw = np.random.default_rng([seed, zlib.crc32(task.encode())])
        pool = [of_task[task][i] for i in draw.permutation(len(of_task[task]))]
        sets = [tuple(pool[i : i + shots]) for i in range(0, len(pool) - shots + 1, shots)] if shots else [()]
        sets = sets or [tuple(pool)]
        for place, i in enumerate(draw.permutation(len(own))):
            shown[own[i]] = sets[place % len(sets)]
    return shown


def _in_order(
    questions: QuestionSet, shown: Mapping[str, tuple[Question, ...]]
) -> list[tuple[Question, int, tuple[Question, ...]]]:
    """Return every step with its demonstrations; those of a demonstrated task together, by demonstrations."""
    steps = [(q, i, shown.get(f"{q.id}/{i}", ())) for q in questions.questions for i in range(len(q.steps))]
    keys: list[tuple[object, object]] = []
    for question, number, examples in steps:
        task = question.steps[number].task if f"{question.id}/{number}" in shown else None
        keys.append((task or (question.id, number), tuple(q.id for q in examples)))
    tasks: dict[object, int] = {}
    sets: dict[object, int] = {}
    for at, key in enumerate(keys):
        tasks.setdefault(key[0], at)
        sets.setdefault(key, at)
    return [steps[i] for i in sorted(range(len(steps)), key=lambda i: (tasks[keys[i][0]], sets[keys[i]]))]


def _with_foils(prompts: list[Prompt], questions: QuestionSet, tokenizer: Any, context: int | None) -> list[Prompt]:
    """Give each prompt a wrong answer: its step's own, else the answer to a like question about another passage.

    Like means of the same function, and opening with the same two words, else one word, else any; the draw
    depends on the prompts only. A model that can't tell it from the right answer does not do the step.
    """
    own = {f"{q.id}/{i}": step.foil for q in questions.questions for i, step in enumerate(q.steps)}
    pools: dict[tuple[str, ...], list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        for n in (2, 1, 0):
            pools[(prompt.function, *_opening_words(prompt, n))].append(prompt)
    draw = np.random.default_rng(0)
    result = []
    for prompt in prompts:
        foil = own[prompt.id]
        for n in (2, 1, 0) if foil is None else ():
            others = pools[(prompt.function, *_opening_words(prompt, n))]
            likes = [p for p in others if p.group != prompt.group and words(p.answer) != words(prompt.answer)]
            if likes:
                foil = likes[int(draw.integers(len(likes)))].answer
                break
        if foil is not None:
            tokens = _answer_tokens(prompt.prefix, foil, tokenizer, prompt.id)
            if context is None or len(prompt.prefix) + len(tokens) <= context:
                prompt = replace(prompt, foil=tokens, designed=own[prompt.id] is not None)
        result.append(prompt)
    return result


def _opening_words(prompt: Prompt, n: int) -> tuple[str, ...]:
    return tuple(prompt.subquestion.lower().split()[:n]) if n else ()


def same_answer(a: str, b: str) -> bool:
    """Say whether two answers are the same words, whatever their case and punctuation."""
    return words(a) == words(b)


def with_answer(prompt: Prompt, answer: Int[np.ndarray, " new"], tokenizer: Any, tokens: str) -> Prompt:
    """Return `prompt` with the token ids `answer` as the model's own answer, whose z is to be pooled."""
    answer = np.asarray(answer, dtype=np.int64)
    kept = _choose(answer, tokens, tokenizer)
    return replace(prompt, own=np.concatenate([prompt.prefix, answer]), chosen=kept + prompt.answer_start - 1)


def digest_of(prompts: Sequence[Prompt]) -> str:
    """Return a sha256 over everything of `prompts` that moves a number: tokens, spans, labels, groups."""
    state = hashlib.sha256()
    for p in prompts:
        state.update(f"{p.id}|{p.function}|{p.group}|{p.answer_start}".encode())
        state.update(f"|{p.task}".encode() if p.task else b"")
        state.update(p.tokens.astype(np.int64).tobytes() + b"|" + p.chosen.astype(np.int64).tobytes())
        state.update(b"|" + p.foil.astype(np.int64).tobytes())
    return state.hexdigest()


def _message(form: Template, question: Question, number: int) -> str:
    earlier = question.steps[:number] if question.chain else ()
    prior = "".join(
        form.prior.format(number=i + 1, subquestion=s.subquestion, answer=s.answer) for i, s in enumerate(earlier)
    )
    if not prior and "Prior knowledge" in form.message:
        prior = "(none)\n"
    return form.message.format(question=question.question, prior=prior, subquestion=question.steps[number].subquestion)


def _prefix_tokens(message: str, form: Template, tokenizer: Any, chat: bool) -> Int[np.ndarray, " length"]:
    """Tokenise all that comes before the answer."""
    if chat:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
        )
        # the chat template writes the special tokens itself
        return _encode(tokenizer, text + form.opening, special=False)
    return _encode(tokenizer, message if form.item else f"{message}\n{form.opening or 'Answer:'}", special=True)


def _encode(tokenizer: Any, text: str, *, special: bool) -> Int[np.ndarray, " length"]:
    ids = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
    if special and ids and len(ids) > 1 and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]  # some tokenizers close the text; the answer must follow
    return np.array(ids, dtype=np.int64)


def _answer_tokens(
    prefix: Int[np.ndarray, " length"], answer: str, tokenizer: Any, where: str
) -> Int[np.ndarray, " answer"]:
    """Return the answer's tokens as they would follow `prefix`; decoding them gives `answer`.

    Tokenised after the last piece of the prefix, so that tokenizers which mark word starts see what comes
    before; where a merge would cross the border the answer is tokenised on its own, as a model that generates
    it would have to write it.
    """
    tail = tokenizer.decode(prefix[-8:], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    space = "" if tail.endswith((" ", "\n", '"')) or _ends_special(prefix, tokenizer) else " "
    before = tokenizer(tail, add_special_tokens=False, verbose=False)["input_ids"]
    together = tokenizer(tail + space + answer, add_special_tokens=False, verbose=False)["input_ids"]
    candidates = []
    if together[: len(before)] == before:
        candidates.append(together[len(before) :])
    candidates += [
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in (space + answer, answer)
    ]
    for ids in candidates:
        if ids and _same_text(tokenizer.decode(ids, clean_up_tokenization_spaces=False), answer):
            return np.array(ids, dtype=np.int64)
    raise PromptError(
        f"{where}: the answer {answer!r} has no tokens that decode to it with this tokenizer "
        f"(got {tokenizer.decode(candidates[-1])!r}). Change the answer's characters."
    )


def _ends_special(prefix: Int[np.ndarray, " length"], tokenizer: Any) -> bool:
    return len(prefix) > 0 and int(prefix[-1]) in set(tokenizer.all_special_ids)


def _same_text(decoded: str, answer: str) -> bool:
    return decoded.strip() == answer.strip()


def _prompt(
    question: Question,
    number: int,
    step: Step,
    prefix: Int[np.ndarray, " length"],
    answer: Int[np.ndarray, " answer"],
    tokens: str,
    tokenizer: Any,
    pack: str,
) -> Prompt:
    kept = _choose(answer, tokens, tokenizer)
    return Prompt(
        id=f"{question.id}/{number}",
        tokens=np.concatenate([prefix, answer]),
        answer_start=len(prefix),
        chosen=kept + len(prefix) - 1,
        function=step.function,
        group=question.id,
        step=number,
        passage=question.question,
        subquestion=step.subquestion,
        answer=step.answer,
        task=step.task or "",
        design=_design(question, step),
        pack=pack,
    )


def _design(question: Question, step: Step) -> dict[str, str]:
    """Return what the step's design names beside its function and task."""
    named = {name: value for name, value in (("form", step.form), ("kind", step.kind)) if value is not None}
    if step.foil is None:
        return named
    return {**named, "lure": "yes" if foil_stands_in(question, step) else "no"}


def _check_length(prompt: Prompt, context: int | None) -> None:
    if context is not None and len(prompt.tokens) > context:
        raise PromptError(
            f"{prompt.id} is {len(prompt.tokens)} tokens long, the model takes {context}. "
            "Shorten that question, or leave it out."
        )


def _choose(answer: Int[np.ndarray, " answer"], tokens: str, tokenizer: Any) -> Int[np.ndarray, " kept"]:
    """Return the indices into `answer` that count; never empty."""
    everything = np.arange(len(answer))
    if tokens == "first":
        return everything[:1]
    if tokens == "last":
        return everything[-1:]
    if tokens == "content":
        kept = np.flatnonzero(_is_content(answer, tokenizer))
        return kept if len(kept) else everything
    return everything


def _is_content(answer: Int[np.ndarray, " answer"], tokenizer: Any) -> np.ndarray:
    """Say of each token whether it touches a word that is no stop word."""
    said = [tokenizer.decode(answer[: i + 1], clean_up_tokenization_spaces=False) for i in range(len(answer))]
    whole = [0, *(len(part.rstrip("\ufffd")) for part in said)]
    text = tokenizer.decode(answer, clean_up_tokenization_spaces=False)
    content = np.zeros(len(text) + 1, dtype=bool)
    for word in re.finditer(r"\w+(?:['’.,-]\w+)*", text):
        if word.group().lower() not in _stop_words():
            content[word.start() : word.end()] = True
    # a token that ends inside a character (byte-level tokenizers) touches that character
    cut = [part.endswith("\ufffd") for part in said]
    return np.array([bool(content[a : b + c].any()) for a, b, c in zip(whole[:-1], whole[1:], cut, strict=True)])


@cache
def _stop_words() -> frozenset[str]:
    """scikit-learn's English list, without the words that can be a whole answer: negations and numbers."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    answers = (
        "no not none nobody nothing never neither nor one two three four five six eight nine ten eleven twelve "
        "fifteen twenty forty fifty sixty hundred first third both all most least less more before after above "
        "below up down front back top bottom empty full"
    )
    return frozenset(ENGLISH_STOP_WORDS - set(answers.split()))
