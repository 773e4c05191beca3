"""What each function's heads, removed together, cost each function's held-out tasks: one matrix.

Rows: whose heads are removed; columns: whose tasks are asked; last row: as many matched random heads, by column. A cell
in bold has an interval above 0; a frame marks a function whose heads cost its own tasks more than random ones do.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.errors import InputError
from headatlas.figures.frame import SMALL, STYLE, literal
from headatlas.questions.functions import function_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = {"logit_diff": "logit difference, logits", "logprob": "log-probability, nats a token"}


def dissociation(
    validation: xr.Dataset, *, what: str = "specific", k: int | None = None, outcome: str | None = None
) -> "Figure":
    """Draw the dissociation matrix of a validation.

    Parameters
    ----------
    validation
        From `validation.validate`.
    what
        "specific" or "whole": which heads.
    k
        How many; by default the middle one.
    outcome
        By default the first.

    Raises
    ------
    InputError
        Not among what was measured.
    """
    import matplotlib as mpl
    from matplotlib.patches import Rectangle

    from headatlas.figures.canvas import Figure

    part, at, outcome = chosen_part(validation, what=what, k=k, outcome=outcome)
    functions = [str(f) for f in part["function"].values]
    values, low = (
        part[name].sel(what=what).transpose("function", "measured").values for name in ("effect", "effect_low")
    )
    random = np.diagonal(part["effect"].sel(what="random").transpose("function", "measured").values)
    beats = part["excess_low"].sel(tested=what).values > 0
    shown = np.vstack([values, random])
    limit = float(np.abs(shown).max()) or 1.0
    names = [function_title(f) for f in functions]
    with mpl.rc_context(STYLE):
        size = max(len(names), 5)
        figure = Figure(figsize=(1.9 + 0.56 * size, 1.7 + 0.42 * size), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        for i, row in enumerate(shown):
            for j, value in enumerate(row):
                bold = i < len(low) and low[i, j] > 0
                axis.text(
                    j, i, f"{value:.2f}", ha="center", va="center", fontsize=SMALL,
                    weight="bold" if bold else "normal", color="white" if abs(value) > 0.6 * limit else "black",
                )  # fmt: skip
        for i in np.flatnonzero(beats).tolist():
            axis.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.4))
        axis.axhline(len(names) - 0.5, color="black", linewidth=0.8)
        axis.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(names) + 1), [*names, "Random, matched"])
        axis.set_xlabel("Tasks asked (none of which chose heads)")
        axis.set_ylabel("Heads removed together")
        which = "most specific" if what == "specific" else "most important"
        axis.set_title(f"The {at} {which} heads of each function, removed together", loc="left")
        figure.colorbar(image, ax=axis, label=f"Drop in the {UNITS.get(outcome, outcome)}", shrink=0.9)
        model, method = (literal(validation.attrs.get(name)) for name in ("model", "method"))
        figure.supxlabel(
            f"Model: {model}; heads chosen by {method} on other tasks. Bold: 95% interval (tasks, items) above 0.\n"
            "Framed: beyond matched random heads. Last row: random heads matched with the column's own.",
            x=0.01, ha="left", fontsize=SMALL, color="#555555",
        )  # fmt: skip
    return figure


def chosen_part(
    validation: xr.Dataset, *, what: str, k: int | None, outcome: str | None
) -> tuple[xr.Dataset, int, str]:
    """Return a validation at one k and outcome, and which; raise `InputError` for what was not measured."""
    if "effect" not in validation:
        raise InputError("This is no validation. Make one with: headatlas validate ATLAS")
    at = int(validation.attrs["k_of_matrix"]) if k is None else k
    outcome = str(validation["outcome"].values[0]) if outcome is None else outcome
    for name, value in (("k", at), ("outcome", outcome), ("tested", what)):
        known = validation[name].values.tolist()
        if value not in known:
            raise InputError(f"No {name} {value} was measured. Known: {', '.join(map(str, known))}.")
    return validation.sel(k=at, outcome=outcome), at, outcome
