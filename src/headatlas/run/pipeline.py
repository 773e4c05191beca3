"""The pipeline: a model and questions in, an atlas out.

1. Prompts are built, one a step.
2. One pass over the model fills the store with pooled z and the answers' log-probabilities (`capture`).
3. Classifiers that see only the surface of the questions are the controls of every probe.
4. Each method turns prompts and activations into samples of importance; `stats.reduce` makes them a map.
5. The maps, the controls and the provenance are one tree: the atlas.

It does not know what is drawn or written from the atlas, nor how the command line was typed.
"""

import json
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import headatlas.methods  # noqa: F401  (registers the methods)
from headatlas import stats
from headatlas.atlas import CHANCE, check_atlas, described
from headatlas.atlas.tree import SAMPLES, as_samples
from headatlas.atlas.variables import ABLATES, HEADS, INTERVAL, KIND, LABEL, LABELS, SIGN
from headatlas.controls import check_functions, control_predictions
from headatlas.errors import InputError
from headatlas.methods.base import Activations, Method
from headatlas.methods.base import methods as registered
from headatlas.methods.settings import named, parse_methods
from headatlas.models.head_model import HeadModel
from headatlas.prompts import AUTO, SHOTS, Asking, Prompt, build_prompts, digest_of
from headatlas.questions.schema import QuestionSet
from headatlas.run import jobs
from headatlas.run.ability import ability
from headatlas.run.jobs import Capture, capture, labels, measured
from headatlas.work.job import Report, Run

METHODS = ("ablation", "probe")
"""What is measured unless asked otherwise: what can be read from a head, and what the model loses without it."""


def measure(
    model: HeadModel,
    questions: QuestionSet,
    *,
    methods: str | Method | Sequence[str | Method] = METHODS,
    template: str = AUTO,
    tokens: str = "all",
    answers: str = "reference",
    chat: bool | None = None,
    shots: int = SHOTS,
    items: int | None = None,
    keep_unable: bool = False,
    seed: int = 0,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.DataTree:
    """Map which heads of `model` carry which function of `questions`.

    Parameters
    ----------
    model
        From `load_model`.
    questions
        From `load_questions`.
    methods
        Names ("probe", "ablation"), with settings if need be ("ablation(by=zero, positions=all)"), or configured
        methods (``Probe(refits=8)``); one alone, or several. Names may stand in one string: "probe,ablation". One
        method may come in several settings; its part of the atlas is then named with them.
    template, tokens, chat, shots
        How steps become prompts; see `prompts.Asking`.
    answers
        "reference" teacher-forces the reference answers; "generated" lets the model answer greedily first.
    items
        Of every task, map only the first so many items; the others say what the model does.
    keep_unable
        Map tasks that the model does not do as well (`run.ability`).
    seed
        The one seed; each method's own is drawn from it and the method's name.
    store
        Folder for the activations (``activations.zarr``) and each method's rows (``ablation.zarr``), so that a killed
        run continues; all that is written is in it. None keeps them in a temporary folder.
    report
        Called with (stage, done, total).

    Returns
    -------
    xarray.DataTree
        The atlas: one child a method (see `atlas.tree`; its variables: `atlas.variables`).

    Raises
    ------
    InputError
        A question set, template, method or step that can't be used.
    RunError
        NaN in z, no memory for a single prompt, or a full disk.
    """
    asking = Asking(template=template, tokens=tokens, answers=answers, chat=chat, shots=shots)
    planned = plan(model, questions, methods=methods, asking=asking, items=items, keep_unable=keep_unable, seed=seed)
    return execute(model, planned, store=store, report=report)


@dataclass(frozen=True)
class Plan:
    """A run that can be made: everything that is decided before the model runs.

    Attributes
    ----------
    questions, prompts
        What is asked, and its prompts.
    methods
        The configured methods by the names that their parts of the atlas get, in order.
    capture_key
        What makes two captures the same; a store with another key is never reused.
    seed
        The one seed.
    items, keep_unable
        Which of the items asked are mapped (see `measure`).
    """

    questions: QuestionSet
    prompts: list[Prompt]
    methods: dict[str, Method]
    capture_key: dict[str, Any]
    seed: int
    items: int | None = None
    keep_unable: bool = False

    @property
    def first(self) -> np.ndarray:
        """Which prompts are of the first `items` of their tasks: those that are mapped if the model does them."""
        if self.items is None:
            return np.ones(len(self.prompts), bool)
        first = {question.id for question in self.questions.first_items(self.items).questions}
        return np.array([prompt.group in first for prompt in self.prompts])

    @property
    def mapped_key(self) -> dict[str, Any]:
        """What makes two methods' rows the same, beside the method: the capture, and which of its items are mapped."""
        return {**self.capture_key, "items": self.items, "keep_unable": self.keep_unable}

    @property
    def key(self) -> dict[str, Any]:
        """What makes two runs the same, as it comes back from JSON."""
        parameters = {name: asdict(m) for name, m in self.methods.items()}  # type: ignore[call-overload]
        own = {f"{m.id} version": m.version for m in self.methods.values()}
        versions = {"statistics version": stats.VERSION, **own}
        key = {**self.mapped_key, **versions, "methods": parameters, "seed": self.seed}
        return dict(json.loads(json.dumps(key)))


def check_asked(questions: QuestionSet, *, items: int | None = None, seed: int = 0) -> None:
    """Raise `InputError` for what no model can be mapped with: too few items a task, functions or main questions, a
    negative seed.
    """
    if items is not None and items < 2:
        raise InputError(
            f"{items} {'item' if items == 1 else 'items'} a task can't be halved, so nothing would say how sure a map "
            "is. Give 2 or more."
        )
    if seed < 0:
        raise InputError(f"Seed {seed} is negative. Give --seed 0 or more.")
    steps = [(step.function, question.id) for question in questions.questions for step in question.steps]
    check_functions(*map(np.array, zip(*steps, strict=True)))


def plan(
    model: HeadModel,
    questions: QuestionSet,
    *,
    methods: str | Method | Sequence[str | Method] = METHODS,
    asking: Asking | None = None,
    items: int | None = None,
    keep_unable: bool = False,
    seed: int = 0,
) -> Plan:
    """Build the prompts and refuse, before anything is run or written, what no run can be made of.

    Parameters and errors are those of `measure`.
    """
    check_asked(questions, items=items, seed=seed)
    ask = (asking or Asking()).of(questions, model.tokenizer)
    prompts = build_prompts(
        questions,
        model.tokenizer,
        template=ask.template,
        tokens=ask.tokens,
        chat=ask.chat,
        shots=ask.shots,
        seed=seed,
        context=model.context,
    )
    key = {
        "model": model.name,
        "weights": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "prompts": digest_of(prompts),
        **asdict(ask),
        "capture version": jobs.VERSION,
    }
    return Plan(questions, prompts, _checked(methods, prompts), key, seed, items, keep_unable)


def execute(
    model: HeadModel, planned: Plan, *, store: str | Path | None = None, report: Report | None = None
) -> xr.DataTree:
    """Carry out a plan: capture, controls, methods, statistics; return the atlas (see `measure`)."""
    seed = planned.seed
    run = Run(planned.capture_key, seed, None if store is None else Path(store), report)
    captured = capture(model, planned.prompts, run)
    asked = ability(captured, planned.prompts, keep_unable=planned.keep_unable)
    run = replace(run, key=planned.mapped_key)
    mapped = asked.mapped & planned.first
    prompts = [prompt for prompt, kept in zip(planned.prompts, mapped, strict=True) if kept]
    captured = captured.part(mapped)
    run.told("controls", 0, 1)
    controls = control_predictions(prompts, *labels(prompts), seed=seed)
    run.told("controls", 1, 1)
    root = _item_statistics(captured, prompts, seed).merge(
        _control_statistics(controls, captured.activations, seed), join="exact"
    )
    root = root.merge(asked.table)
    nodes: dict[str, xr.Dataset] = {}
    design = design_of(prompts)
    for name, method in planned.methods.items():
        samples = measured(model, method, prompts, captured.activations, run, name=name)
        nodes[f"/{name}"] = _part(samples, method, captured.activations.functions, controls, seed, design)
        nodes[f"/{name}/{SAMPLES}"] = described(as_samples(samples.drop_attrs(deep=False)))
    maps = {name: nodes[f"/{name}"]["importance"] for name in planned.methods}
    root = root.merge(stats.agreement(maps, {n: m.default_sign for n, m in planned.methods.items()}), join="exact")
    root = root.assign_coords(layer=np.arange(model.n_layers), head=np.arange(model.n_heads))
    for dim, about in LABELS.items():
        if dim in root.coords:
            root[dim].attrs["long_name"] = about
    root.attrs = _provenance(model, planned)
    return check_atlas(xr.DataTree.from_dict({"/": described(root), **nodes}))


def _checked(methods: str | Method | Sequence[str | Method], prompts: Sequence[Prompt]) -> dict[str, Method]:
    """Return the methods to run, by name; raise InputError for an unknown, repeated or absent one, or too few functions
    or main questions.
    """
    given = [methods] if isinstance(methods, str | Method) else methods
    chosen = [one for m in given for one in _configured(m)]
    if not chosen:
        raise InputError(f"No method given. Known: {', '.join(registered)}.")
    by_name = named(chosen)
    check_functions(*labels(prompts))
    for method in chosen:
        method.check(prompts)
    return {name: method.resolved(prompts) for name, method in by_name.items()}


def _configured(method: str | Method) -> list[Method]:
    """Return the methods that a text names; a configured one as it is."""
    if isinstance(method, Method):
        return [method]
    if not isinstance(method, str):
        name = getattr(method, "__name__", "Probe")
        raise InputError(f"{method!r} is no method. Give a name ('probe') or a configured method ({name}()).")
    return parse_methods(method)


def _part(
    samples: xr.Dataset,
    method: Method,
    functions: tuple[str, ...],
    controls: dict[str, np.ndarray],
    seed: int,
    design: Mapping[str, Mapping[str, str]] | None = None,
) -> xr.Dataset:
    """Reduce one method's samples to its part of the atlas; add its accuracy beyond each control's, paired by item."""
    result = stats.reduce(samples, functions, sign=method.default_sign, seed=seed)
    result = result.merge(stats.split(samples, functions, seed=seed))
    result = result.merge(stats.validity(samples, functions, design, seed=seed))
    for name in map(str, samples.data_vars):
        if name != "importance" and "sample" in samples[name].dims:  # what a method says of heads beside it
            result[name] = (HEADS, stats.function_means(samples, name, functions))
    if "correct" in samples:
        probe, item = samples["correct"].values, samples["prediction_item"].values
        task = samples["prediction_task"].values if "prediction_task" in samples.coords else None
        unit = stats.units_of(samples["prediction_function"].values, samples["prediction_group"].values, task)
        excess = [stats.paired_excess(probe, correct[item], unit, seed=seed) for correct in controls.values()]
        for suffix, values in zip(_INTERVAL, np.array(excess).T, strict=True):
            result[f"excess{suffix}"] = ("control", values)
        result = result.assign_coords(control=list(controls))
    # what a method has no numbers for is absent
    empty = [n for n in result.data_vars if result[n].dtype.kind == "f" and result[n].isnull().all()]
    result.attrs = {
        SIGN: method.default_sign,
        LABEL: method.label,
        KIND: method.reads,
        ABLATES: int(method.ablates),
        INTERVAL: method.interval,
        "settings": json.dumps(asdict(method), sort_keys=True),  # type: ignore[call-overload]
        "notes": json.dumps(samples.attrs, sort_keys=True),
    }
    return described(result.drop_vars(empty), method.about_values.items())


def design_of(prompts: Sequence[Prompt]) -> dict[str, dict[str, str]]:
    """Return what a task's design names: factor -> task -> its commonest level among the task's items."""
    levels: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for prompt in prompts:
        for factor, level in prompt.design.items():
            if prompt.task:
                levels[factor][prompt.task].append(level)
    return {f: {t: max(set(own), key=own.count) for t, own in sorted(tasks.items())} for f, tasks in levels.items()}


def _item_statistics(captured: Capture, prompts: Sequence[Prompt], seed: int) -> xr.Dataset:
    """Return what is known of the items themselves: the model's own answers, item by item and by function."""
    act = captured.activations
    prefers = (captured.logprob > captured.foil_logprob).astype(np.float64)
    compared = ~np.isnan(captured.foil_logprob)
    unit = stats.units_of(act.function, act.group, act.task)
    rows: dict[str, list[float]] = defaultdict(list)
    for function in act.functions:
        own = act.function == function
        which = own & compared
        accuracy = _interval(prefers[which], unit[which], seed)
        for suffix, value in zip(_INTERVAL, accuracy, strict=True):
            rows["answer_accuracy" + suffix].append(value)
        rows["unable"].append(accuracy[1] <= CHANCE)
        rows["answer_logprob"].append(float(captured.logprob[own].mean()))
        rows["answer_exact"].append(float(captured.right[own].mean()))
        rows["n_items"].append(int(own.sum()))
    result = xr.Dataset({name: ("function", values) for name, values in rows.items()})
    for name, values in (("logprob", captured.logprob), ("foil_logprob", captured.foil_logprob)):
        result[f"item_{name}"] = ("item", values)
    result["item_exact"] = ("item", captured.right.astype(bool))
    named = {"function": act.function, "group": act.group, "task": act.task}
    labels = {f"item_{name}": ("item", label) for name, label in named.items() if label is not None}
    return result.assign_coords({"function": list(act.functions), "item": [p.id for p in prompts], **labels})


def _control_statistics(controls: dict[str, np.ndarray], act: Activations, seed: int) -> xr.Dataset:
    """Return every control's accuracy, by function and overall, with intervals."""
    result = xr.Dataset(coords={"control": list(controls), "function": list(act.functions)})
    unit = stats.units_of(act.function, act.group, act.task)
    overall = np.array([_interval(correct, unit, seed) for correct in controls.values()])
    each = np.array(
        [
            [_interval(correct[own], unit[own], seed) for own in (act.function == f for f in act.functions)]
            for correct in controls.values()
        ]
    )
    for at, suffix in enumerate(_INTERVAL):
        result[f"control_accuracy{suffix}"] = (("control", "function"), each[..., at])
        result[f"control_accuracy_overall{suffix}"] = ("control", overall[:, at])
    return result


_INTERVAL = ("", "_low", "_high")


def _interval(values: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float, float]:
    if not len(values):
        return (float("nan"),) * 3
    return stats.mean_interval(values, units, seed=seed)


def _provenance(model: HeadModel, planned: Plan) -> dict[str, Any]:
    """Return the atlas's attributes: all that is needed to repeat the run, structured values as JSON."""
    key, questions = planned.capture_key, planned.questions
    packages = ("headatlas", "torch", "transformers", "numpy", "scipy", "scikit-learn", "xarray", "zarr")
    values: dict[str, Any] = {
        "model": model.facts,
        "questions": {
            "name": questions.name,
            "digest": questions.digest,
            "questions": len(questions.questions),
            "steps": questions.n_steps,
            "left_out": questions.left_out,
        },
        "template": {k: key[k] for k in ("template", "tokens", "answers", "chat", "shots")},
        "methods": list(planned.methods),
        "parameters": planned.key["methods"],
        "seed": planned.seed,
        "versions": {**{p: version(p) for p in packages}, "python": platform.python_version()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {k: json.dumps(v, sort_keys=True) if isinstance(v, dict | list) else v for k, v in values.items()}
