"""What an atlas was made of, asked again: its own items, refused where the model or the questions are others."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.atlas import check_weights, methods_of, provenance, samples_of
from headatlas.errors import InputError
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt, build_prompts, templates
from headatlas.questions.functions import order_functions
from headatlas.questions.schema import QuestionSet


@dataclass(frozen=True)
class Setting:
    """What an atlas was made of, asked again.

    Attributes
    ----------
    prompts
        The items that were mapped, in the atlas's order.
    function, unit
        Of every item; the unit is its task, or its main question where the set names no tasks.
    by_task
        Whether units are tasks.
    functions
        In the figure's order.
    effects
        The single-head effects of the method that chooses, (item, layer, head).
    stop
        What ends a generated answer.
    """

    prompts: list[Prompt]
    function: np.ndarray
    unit: np.ndarray
    by_task: bool
    functions: tuple[str, ...]
    effects: Float[np.ndarray, "item layer head"]
    stop: str = "\n"


def setting(
    model: HeadModel, atlas: xr.DataTree, questions: QuestionSet, *, method: str | None = None, force: bool = False
) -> Setting:
    """Build the prompts that an atlas was made of.

    Raises
    ------
    InputError
        The atlas is of another model (unless `force`) or of other questions, or its method has no effects by item.
    """
    if not force:
        check_weights(atlas, model.name, model.digest)
    asked, template = provenance(atlas, "questions", {}), provenance(atlas, "template", {})
    if template.get("answers") != "reference":
        raise InputError("Only maps of reference answers can be validated; this one is of the model's own answers.")
    same = _same(questions, asked)
    prompts = build_prompts(
        same,
        model.tokenizer,
        template=template["template"],
        tokens=template["tokens"],
        chat=template["chat"],
        shots=template.get("shots", 0),
        seed=int(atlas.attrs.get("seed", 0)),
        context=model.context,
    )
    by_id = {p.id: p for p in prompts}
    items = [str(i) for i in atlas.to_dataset()["item"].values]
    if missing := [i for i in items if i not in by_id]:
        raise InputError(f"Item {missing[0]} of the atlas is not among these questions. Give those it was made of.")
    own = [by_id[i] for i in items]
    name = method or methods_of(atlas)[0]
    samples = samples_of(atlas, name)
    if samples.sizes["sample"] != len(items) or list(samples["group"].values) != [p.group for p in own]:
        raise InputError(f"The samples of '{name}' are not one an item, so heads can't be chosen on some of them.")
    tasks = np.array([p.task for p in own])
    by_task = bool((tasks != "").all())
    function = np.array([p.function for p in own])
    return Setting(
        own,
        function,
        tasks if by_task else np.array([p.group for p in own]),
        by_task,
        order_functions(function),
        samples["importance"].transpose("sample", "layer", "head").values,
        templates.get(template["template"]).stop,
    )


def _same(questions: QuestionSet, asked: dict[str, object]) -> QuestionSet:
    """Return the set, or the first items of its tasks, that has the digest."""
    most = max(questions.items_of_tasks.values(), default=0)
    for some in (questions, *(questions.first_items(n) for n in range(most, 0, -1))):
        if some.digest == asked.get("digest"):
            return some
    raise InputError(
        f"The atlas was made of '{asked.get('name')}' (digest {str(asked.get('digest'))[:12]}), and these questions "
        f"are others ('{questions.name}', digest {questions.digest[:12]}). Give --questions with that set."
    )
