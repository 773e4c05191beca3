"""What each function's tasks lose as more and more of its heads are removed: one panel a function.

Lines: its own heads, those that matter most to it, matched random ones and the least important, with 95% intervals.
"""

from typing import TYPE_CHECKING

import xarray as xr

from headatlas.figures.dissociation import UNITS, chosen_part
from headatlas.figures.frame import SMALL, STYLE, literal
from headatlas.questions.functions import function_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = (
    ("specific", "its own heads", "#AA3377", "-"),
    ("whole", "most important to it", "#EE6677", "--"),
    ("random", "random, matched", "#777777", "-"),
    ("least", "least important", "#4477AA", ":"),
)


def ablation_curves(validation: xr.Dataset, *, outcome: str | None = None) -> "Figure":
    """Draw the deletion curves of a validation, two rows of panels.

    Raises
    ------
    InputError
        Not a validation, or an outcome that was not measured.
    """
    import matplotlib as mpl

    from headatlas.figures.canvas import Figure

    _, _, outcome = chosen_part(validation, what="specific", k=None, outcome=outcome)
    part = validation.sel(outcome=outcome)
    functions = [str(f) for f in part["function"].values]
    columns = -(-len(functions) // 2)
    ks = [0, *(int(k) for k in part["k"].values)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.75 * columns + 0.4, 4.4), layout="constrained")
        axes = figure.subplots(2, columns, sharex=True, squeeze=False).reshape(-1)
        for axis, name in zip(axes, functions, strict=False):
            for what, label, colour, style in LINES:
                own = part.sel(what=what, function=name, measured=name)
                mean, low, high = ([0, *own[v].values] for v in ("effect", "effect_low", "effect_high"))
                axis.plot(ks, mean, style, color=colour, label=label, linewidth=1.2, marker="o", markersize=2)
                axis.fill_between(ks, low, high, color=colour, alpha=0.12, linewidth=0)
            axis.axhline(0, color="black", linewidth=0.4)
            axis.set_title(function_title(name))
            axis.set_xscale("symlog", linthresh=ks[1])
            axis.set_xticks(ks, [str(k) for k in ks])
            axis.minorticks_off()
        for axis in axes[len(functions) :]:
            axis.set_visible(False)
        figure.supylabel(f"Drop in the {UNITS.get(outcome, outcome)}", fontsize=STYLE["font.size"])
        figure.supxlabel(
            f"Heads removed together. Model: {literal(validation.attrs.get('model'))}; heads chosen by "
            f"{literal(validation.attrs.get('method'))} on other tasks than are asked.",
            fontsize=SMALL, color="#555555",
        )  # fmt: skip
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(LINES), frameon=False)
    return figure
