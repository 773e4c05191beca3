"""What experiments ask: prompts put as an atlas's were, accepted answers, and the run that keeps rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.atlas import provenance
from headatlas.methods.base import packs_of
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt, build_prompts, digest_of, templates
from headatlas.questions.schema import QuestionSet
from headatlas.work.job import Report, Run


def prompts_like(model: HeadModel, atlas: xr.DataTree, questions: QuestionSet) -> tuple[list[Prompt], str]:
    """Return the prompts of a set, put as those of the atlas were where they can be, and what ends an answer."""
    made = provenance(atlas, "template", {})
    template = made.get("template", "auto")
    if template == "examples" and not questions.demonstrations:
        template = "auto"  # there is nothing to show
    prompts = build_prompts(
        questions,
        model.tokenizer,
        template=template,
        chat=made.get("chat") if template != "auto" else None,
        shots=made.get("shots", 3),
        seed=int(atlas.attrs.get("seed", 0)),
        context=model.context,
    )
    used = template if template != "auto" else ("examples" if questions.demonstrations else "short")
    return prompts, templates.get(used).stop


def accepted(questions: QuestionSet) -> dict[str, list[str]]:
    """Return main question -> all answers that count as right, where a question says so."""
    found = {}
    for question in questions.questions:
        texts = (question.model_extra or {}).get("accepted")
        if isinstance(texts, list) and texts:
            found[question.id] = [str(text) for text in texts]
    return found


def tasks_not_done(atlas: xr.DataTree) -> set[str]:
    """Return the tasks that were asked for the atlas and that the model does not do."""
    data = atlas.to_dataset()
    if "asked_done" not in data:
        return set()
    return {str(t) for t, done in zip(data["asked_task"].values, data["asked_done"].values, strict=True) if not done}


def run_of(
    model: HeadModel, prompts: Sequence[Prompt], seed: int, store: str | Path | None, report: Report | None
) -> Run:
    """Return the run that the rows of these prompts belong to."""
    key = {
        "model": model.name,
        "weights": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "prompts": digest_of(prompts),
        "answers": "reference",
    }
    return Run(key, seed, None if store is None else Path(store), report)


def z_of(model: HeadModel, prompts: Sequence[Prompt]) -> Float[np.ndarray, "item layer head head_dim"]:
    """Return the items' mean z over the tokens of their answers."""
    return np.concatenate([model.capture([prompts[i] for i in pack]).z for pack in packs_of(prompts)])
