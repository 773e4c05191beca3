"""Low-order heads masked while a chain of steps is answered with the model's own earlier answers (arXiv 2512.10978,
Table 3).

1. A chained question's steps are answered in order. Each step sees the earlier ones with the answers that the model
   gave under the same condition.
2. Conditions: as it is; the first heads of the low-order functions masked, all together; as many random ones.
3. What reaches later steps through the answers is told from what the mask does there itself: *through answers* masks
   the low-order steps only, and *in place* the high-order steps only, earlier answers being those of the model as it
   is.
4. Scores are counted apart for low-order and high-order steps.

Low-order are retrieval, knowledge recall, semantic and syntactic understanding, as published.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from headatlas.answers import answers_to
from headatlas.answers.scoring import score, scores
from headatlas.atlas import provenance
from headatlas.errors import InputError
from headatlas.experiments.asked import run_of, z_of
from headatlas.experiments.heads import check_by, first_heads, functions_of, method_of, random_heads, removed
from headatlas.experiments.outcomes import outcomes
from headatlas.interventions.edits import Intervention
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt, build_prompts, templates
from headatlas.questions.schema import Question, QuestionSet
from headatlas.work.job import Report, Rows, Work, rows_of

LOW = ("retrieval", "knowledge_recall", "semantic_understanding", "syntactic_understanding")
PANELS = ("low-order steps", "high-order steps")
BATCH = 8
"""Questions answered side by side."""
NOTHING = "(none)"
"""What stands for an empty answer in later prompts."""


def chain(
    model: HeadModel,
    atlas: xr.DataTree,
    questions: QuestionSet,
    *,
    k: int = 10,
    draws: int = 2,
    by: str = "scale",
    positions: str = "answer",
    part: str = "whole",
    method: str | None = None,
    limit: int = 24,
    tokens: int = 24,
    seed: int = 0,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """Answer chains of steps with the model's own earlier answers, low-order heads masked or not.

    Parameters
    ----------
    model, atlas
        The model and its atlas.
    questions
        Chained ones are used: those of several steps, of which a high-order one follows a low-order one.
    k
        Heads of each low-order function of the atlas.
    draws
        Of as many random heads.
    by, positions, part, method
        As in `masks`.
    limit
        Main questions at most, the first.
    tokens
        New tokens an answer at most.
    seed
        Of random heads and resampling.
    store, report
        Folder for the rows, so that a killed run continues; called with (stage, done, total).

    Returns
    -------
    xarray.Dataset
        See `outcomes`; panels are low-order and high-order steps.

    Raises
    ------
    InputError
        No such question; no low-order function in the atlas; more heads than there are.
    """
    check_by(by)
    if draws < 1 or limit < 1:
        raise InputError(f"{draws} draws of random heads on {limit} questions show nothing. Give 1 or more of both.")
    method = method_of(atlas, method)
    known = functions_of(atlas, method)
    low = [f for f in LOW if f in known]
    if not low:
        raise InputError(
            f"The atlas has none of the low-order functions ({', '.join(LOW)}); it has: {', '.join(known)}."
        )
    chained = [q for q in questions.questions if q.chain and _low_then_high(q)][:limit]
    if not chained:
        raise InputError(
            "No question has a chain of steps in which a high-order one follows a low-order one. Give --questions with "
            "such a set, e.g. CogQA's file."
        )
    heads = tuple(sorted({h for f in low for h in first_heads(atlas, f, k, part=part, method=method)}))
    draw = np.random.default_rng([seed, 0])
    random = [random_heads(model, len(heads), heads, draw) for _ in range(draws)]
    chains = _Chains.like(model, atlas, tokens)
    mean = z_of(model, chains.prompts(chained)).mean(0) if by == "mean" else None
    masked, *others = (removed(of, by, mean, positions) for of in (heads, *random))
    every = {step.function for q in chained for step in q.steps}
    names = ["as it is", "low-order heads masked", "random heads masked", "through answers", "in place"]
    steps = [(q.id, i, step) for q in chained for i, step in enumerate(q.steps)]
    starts = np.cumsum([0, *(len(q.steps) for q in chained)])

    def make(first: int) -> Rows:
        some = chained[first : first + BATCH]
        plain = chains.answers(some, None, (), None)
        texts = [plain, chains.answers(some, masked, every, None)]
        texts += [chains.answers(some, other, every, None) for other in others]
        texts.append(chains.answers(some, masked, every & set(LOW), None))
        texts.append(chains.answers(some, masked, every - set(LOW), plain))
        values = np.array([
            [[score(s, answers[q][i], [step.answer]) for s in scores] for answers in texts]
            for q, question in enumerate(some) for i, step in enumerate(question.steps)
        ])  # fmt: skip
        averaged = values[:, 2 : 2 + draws].mean(1, keepdims=True)
        return {"scores": np.concatenate([values[:, :2], averaged, values[:, 2 + draws :]], 1).astype(np.float32)}

    firsts = list(range(0, len(chained), BATCH))
    parts = ((range(int(starts[a]), int(starts[min(a + BATCH, len(chained))])), partial(make, a)) for a in firsts)
    arrays = {"scores": {"condition": len(names), "score": len(list(scores))}}
    work = Work(len(steps), arrays, parts, lambda rows: xr.Dataset())
    key = {
        "k": k, "draws": draws, "by": by, "positions": positions, "tokens": tokens, "heads": [list(h) for h in heads],
        "random": [[list(h) for h in one] for one in random],
    }  # fmt: skip
    run = run_of(model, chains.prompts(chained), seed, store, report)
    rows = rows_of("chain", work, run, stage="answering chains", key=key)["scores"]
    found = outcomes(
        rows,
        np.array([PANELS[step.function not in LOW] for _, _, step in steps]),
        np.array([name for name, _, _ in steps]),
        panels=PANELS,
        conditions=names,
        scores=list(scores),
        seed=seed,
    )
    return found.assign_attrs(
        experiment="chain",
        read_by="f1",  # its answers are sentences
        model=model.name,
        title=f"Low-order heads masked ({len(heads)}), steps answered with the model's own earlier answers",
        about=f"{len(chained)} questions of '{questions.name}'; the first {k} heads each of {', '.join(low)} by "
        f"{method} ({part}); z by {by} at {positions}; {draws} draws of random heads",
    )


def _low_then_high(question: Question) -> bool:
    functions = [step.function in LOW for step in question.steps]
    return any(not low and any(functions[:i]) for i, low in enumerate(functions))


@dataclass(frozen=True)
class _Chains:
    """How chains are put to a model."""

    model: HeadModel
    template: str
    chat: bool | None
    tokens: int

    @classmethod
    def like(cls, model: HeadModel, atlas: xr.DataTree, tokens: int) -> "_Chains":
        """Return it as the atlas's steps were put, or by the short template where they were no chains."""
        made = provenance(atlas, "template", {})
        own = made.get("template", "short")
        if own not in templates or templates.get(own).item:
            return cls(model, "short", None, tokens)
        return cls(model, own, made.get("chat"), tokens)

    @property
    def stop(self) -> str:
        """What ends an answer."""
        return templates.get(self.template).stop

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the prompts of all steps."""
        return build_prompts(
            QuestionSet(tuple(questions), "chains"),
            self.model.tokenizer,
            template=self.template,
            chat=self.chat,
            context=self.model.context,
        )

    def answers(
        self,
        questions: Sequence[Question],
        edit: Intervention | None,
        where: Collection[str],
        earlier: Sequence[Sequence[str]] | None,
    ) -> list[list[str]]:
        """Return every question's answers, step by step.

        `where` are the functions in whose steps the edit holds; `earlier` are the answers that later steps see, None
        for those just given.
        """
        given: list[list[str]] = [[] for _ in questions]
        for number in range(max(len(q.steps) for q in questions)):
            prompts = {}
            for i, question in enumerate(questions):
                if len(question.steps) > number:
                    seen = (given if earlier is None else earlier)[i][:number]
                    prompts[i] = self._prefix(question, number, seen)
            holds = {i: edit is not None and questions[i].steps[number].function in where for i in prompts}
            for edited in (True, False):
                some = [i for i in prompts if holds[i] == edited]
                if some:
                    new = answers_to(
                        self.model, [prompts[i] for i in some], edit if edited else None,
                        max_new_tokens=self.tokens, stop=self.stop,
                    )  # fmt: skip
                    for i, one in zip(some, new, strict=True):
                        text = self.model.tokenizer.decode(one, skip_special_tokens=True)
                        given[i].append(text.split(self.stop)[0].strip())
        return given

    def _prefix(self, question: Question, number: int, seen: Sequence[str]) -> np.ndarray:
        """Return the prompt of a step after earlier ones with these answers."""
        steps = [
            step.model_copy(update={"answer": answer or NOTHING, "foil": None})
            for step, answer in zip(question.steps, seen, strict=False)
        ]
        cut = question.model_copy(update={"steps": (*steps, question.steps[number])})
        return self.prompts([cut])[number].prefix
