"""The Method contract and its laws.

A method turns prompts (and, if it reads them, their pooled activations) into *samples* of importance. It
never averages over items and never makes an interval: that is done in one place, `stats`.

It does not know where activations are kept, how prompts were made, or what is drawn from its numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas._registry import Registry
from headatlas.errors import InputError
from headatlas.models.tree import MAX_NODES, plan_packs
from headatlas.stats.sign import Sign as Sign
from headatlas.work.clock import seconds_of, seconds_of_all
from headatlas.work.job import Rows as Rows
from headatlas.work.job import Work as Work

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.prompts import Prompt


TRAINED_INTERVAL = (
    "95% bootstrap over held-out main questions (tasks, where they are named) and refits; how another training sample "
    "would change the probe is not in it"
)
"""`Method.interval` of methods that train on the items."""


@dataclass(frozen=True)
class Activations:
    """What one pass over the model leaves for the methods that read pooled z.

    Attributes
    ----------
    z
        Mean z over the chosen answer positions of every item, (item, layer, head, head_dim), float32.
        May be a read-only memory map.
    function
        Function id of every item, (item,), str.
    group
        Main-question id of every item, (item,), str: items of one group never straddle a fold.
    functions
        The functions in the figure's order; every entry of `function` is one of them.
    task
        Task of every item, (item,), str; None where the questions name none.
    """

    z: Float[np.ndarray, "item layer head head_dim"]
    function: np.ndarray
    group: np.ndarray
    functions: tuple[str, ...]
    task: np.ndarray | None = None

    def labels(self, rows: np.ndarray | slice = slice(None)) -> dict[str, tuple[str, np.ndarray]]:
        """Return the coordinates of samples that speak of these items, one each: function, group and, if any, task."""
        named = {"function": self.function, "group": self.group, "task": self.task}
        return {name: ("sample", label[rows]) for name, label in named.items() if label is not None}


M = TypeVar("M", bound="Method")
F = TypeVar("F", bound="FittedMethod")


class Method(ABC):
    """A way to score every head for every function. Subclasses are frozen dataclasses: fields are parameters.

    Laws (tested over the registry)
    -------------------------------
    - The call is stateless; the same arguments and seed give the same samples.
    - Higher = the head supports the function more. Values are signed where a sign exists.
    - The result is a Dataset with ``importance(sample, layer, head)``, float32 and finite, and two
      coordinates on ``sample``: ``function`` (the function the sample speaks of) and ``group`` (the main
      question it comes from); optionally ``task`` and ``refit`` (int). Every function has at least two groups.
    - A function's map is the mean of its samples. Optional coordinates say otherwise: of samples with a ``weight``
      it is the weighted mean; of samples in several ``part``s (0, 1, …; 0 are the function's own), the sum of the
      parts' means; ``items`` is how many items a sample speaks of, if not one.
    - Optionally ``null(null_sample, layer, head)`` with the coordinate ``null_function``: the *function-level
      mean* importance a head gets where there is nothing to find (shuffled labels), one per null refit.
    - Optionally ``correct(prediction)``, float, with coordinates ``function``/``group`` named
      ``prediction_function``/``prediction_group`` and ``prediction_item``: held-out accuracy of a probe.
    - Attributes of the Dataset are the method's own findings about itself (flat, JSON-serialisable).
    - Results do not depend on the order of items beyond the seed's draw, nor on batch or chunk size.
    - `version` is raised whenever the numbers change that the same arguments and seed give: rows of two versions are
      never mixed, and a run of another version is never found done.
    """

    name: ClassVar[str]
    reads: ClassVar[Literal["activations", "model"]]
    default_sign: ClassVar[Sign] = "signed"
    version: ClassVar[int] = 1
    """Of the algorithm; part of every key by which stores and runs are known again."""
    ablates: ClassVar[bool] = False
    """Whether it takes heads' z away and reads what the model loses: what tests use, not what can be decoded."""
    interval: ClassVar[str] = "95% bootstrap over main questions (tasks, where they are named)"
    """What its intervals rest on, for captions and findings."""

    @property
    def about_values(self) -> Mapping[str, str]:
        """What its values beside importance are: name -> a sentence. A class attribute where it is always the same."""
        return {}

    @property
    @abstractmethod
    def label(self) -> str:
        """What one unit of importance is, for colourbars and findings: e.g. "mean gradient x activation". A class
        attribute where it is always the same.
        """

    @abstractmethod
    def __call__(
        self, model: "HeadModel | None", prompts: Any, activations: Activations | None, *, seed: int
    ) -> xr.Dataset:
        """Return the samples of importance described in the class's laws."""

    def work(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Work | None:
        """Return what the method asks of the model; None where it reads activations only, and is called."""
        return None

    def seconds(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> float | None:
        """Return about how long it takes, in seconds, timed on a little of it; None where nothing is known.

        `activations` need not be true: of the shape and labels of all `prompts`, with any values.
        """
        return None

    @property
    def id(self) -> str:
        """The name that its part of an atlas has, unless another setting of it is in the same run."""
        return self.name

    def settings(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults."""
        given = asdict(self)  # type: ignore[call-overload]
        return {f.name: given[f.name] for f in fields(self) if given[f.name] != f.default}  # type: ignore[arg-type]

    def resolved(self: M, prompts: "Sequence[Prompt]") -> M:
        """Return the method with all settled that it leaves to the prompts; called once, before anything is run.

        What was settled is then a parameter, and so in the keys of runs and stores.
        """
        return self

    def check(self, prompts: "Sequence[Prompt]") -> None:  # noqa: B027  (most can score all prompts)
        """Raise `InputError` where these prompts can't be scored; called before anything is run."""


class ModelMethod(Method):
    """A method that runs the model: it scores packs of prompts, and its rows stream into a store.

    Further laws (tested over the registry)
    ---------------------------------------
    - `rows` of a pack depend on its prompts, the activations and the seed, not on what else is in the pack.
    - The rows of all packs, put together, give the samples: `samples` runs nothing.
    """

    reads: ClassVar[Literal["activations", "model"]] = "model"

    @property
    def values(self) -> tuple[str, ...]:
        """What `rows` gives of every head; "importance" is the first. A class attribute where it is always the same."""
        return ("importance",)

    @abstractmethod
    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Score every head on every one of `prompts`, steps of one main question."""

    def samples(
        self,
        rows: Float[np.ndarray, "prompt layer head value"],
        prompts: "Sequence[Prompt]",
        activations: Activations,
    ) -> xr.Dataset:
        """Return the samples of importance: one a prompt, with the other values beside it."""
        dims = ("sample", "layer", "head")
        variables = {name: (dims, np.ascontiguousarray(rows[..., i])) for i, name in enumerate(self.values)}
        return xr.Dataset(variables, coords=activations.labels(), attrs=self.about(activations))

    def about(self, activations: Activations) -> dict[str, Any]:
        """Return what the samples' attributes say of the method."""
        return {}

    def seconds(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> float | None:
        """Return about how long the rows of all prompts take, timed on a few of them."""
        settled = self.resolved(prompts)

        def score(few: "Sequence[Prompt]") -> None:
            settled.rows(model, few, activations, seed=seed)

        return seconds_of_all(typical_packs(prompts), score, len(prompts))

    def work(self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int) -> Work:
        """Return one part a pack of prompts, whose rows are the prompts'."""
        settled = self.resolved(prompts)

        def make(pack: range) -> Rows:
            rows = settled.rows(model, [prompts[i] for i in pack], activations, seed=seed)
            return {"effects": rows.astype(np.float32)}

        arrays = {"effects": {"layer": model.n_layers, "head": model.n_heads, "value": len(settled.values)}}
        parts = ((pack, partial(make, pack)) for pack in packs_of(prompts))
        return Work(len(prompts), arrays, parts, lambda rows: settled.samples(rows["effects"], prompts, activations))

    def __call__(
        self, model: "HeadModel | None", prompts: Any, activations: Activations | None, *, seed: int
    ) -> xr.Dataset:
        """Return the samples, pack by pack and without a store."""
        assert model is not None and activations is not None, "a method that reads the model is given one"
        self.check(prompts)
        return self.work(model, prompts, activations, seed=seed).done()


class FittedMethod(Method):
    """A method that fits something to parts of the prompts: its fits stream into a store, one a row.

    Further laws
    ------------
    - A fit depends on what `fits` says of it, not on the fits before it.
    - The arrays of all fits, put together, give the samples: `samples` runs nothing.
    """

    reads: ClassVar[Literal["activations", "model"]] = "model"

    @abstractmethod
    def fits(self, prompts: "Sequence[Prompt]", *, seed: int) -> Sequence[Any]:
        """Return the fits to make, in an order that only the prompts and the seed decide."""

    @abstractmethod
    def arrays(self, model: "HeadModel") -> dict[str, dict[str, int]]:
        """Return what a fit leaves: array name -> dimension -> size."""

    @abstractmethod
    def fit(self, model: "HeadModel", one: Any) -> dict[str, np.ndarray]:
        """Make one of the fits; return its arrays."""

    @abstractmethod
    def samples(self, rows: Mapping[str, np.ndarray], fits: Sequence[Any]) -> xr.Dataset:
        """Return the samples of importance from the arrays of all fits, a fit a row."""

    @property
    def trial(self: F) -> tuple[F, float]:
        """A cheaper setting of it, and how many times as long a fit of this one takes."""
        return self, 1

    def seconds(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> float | None:
        """Return about how long all fits take, timed on one (see `trial`)."""
        cheaper, times = self.resolved(prompts).trial
        fits = cheaper.fits(prompts, seed=seed)
        return seconds_of(lambda: cheaper.fit(model, fits[0])) * times * len(fits)

    def __call__(
        self, model: "HeadModel | None", prompts: Any, activations: Activations | None, *, seed: int
    ) -> xr.Dataset:
        """Return the samples, fit by fit and without a store."""
        if model is None:
            raise InputError(f"{self.name} runs the model, and got none.")
        self.check(prompts)
        return self.work(model, prompts, activations, seed=seed).done()

    def work(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations | None, *, seed: int
    ) -> Work:
        """Return one part a fit, whose one row is what the fit leaves."""
        settled = self.resolved(prompts)
        fits = settled.fits(prompts, seed=seed)

        def make(one: Any) -> Rows:
            return {name: np.asarray(array, np.float32)[None] for name, array in settled.fit(model, one).items()}

        parts = ((range(i, i + 1), partial(make, one)) for i, one in enumerate(fits))
        return Work(len(fits), settled.arrays(model), parts, lambda rows: settled.samples(rows, fits), chunk=1)


def packs_of(prompts: "Sequence[Prompt]") -> Iterable[range]:
    """Return the runs of prompts that are packed as one token tree: steps of one main question."""
    return plan_packs([p.tokens for p in prompts], [p.pack for p in prompts], max_nodes=MAX_NODES)


def typical_packs(prompts: "Sequence[Prompt]", n: int = 3) -> "list[Sequence[Prompt]]":
    """Return up to `n` packs that stand for all: of middle length, then of short and long."""
    packs = [[prompts[i] for i in pack] for pack in packs_of(prompts)]
    packs.sort(key=lambda pack: sum(len(p.tokens) for p in pack) / len(pack))
    at = dict.fromkeys(len(packs) * (2 * k + 1) // (2 * n) for k in range(n))
    return [packs[i] for i in sorted(at, key=lambda i: abs(i - len(packs) // 2))]


methods: Registry["Callable[..., Method]"] = Registry("method")
"""Name -> what makes the method of that name, given its parameters: its class, or a setting of it."""
