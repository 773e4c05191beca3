"""One map of what heads attend to: every head in the colour of the role it scores highest in, against other heads.

A head's standing in a role is its score's share of the role's highest; it is coloured by its best, from `LEAST` up, the
stronger the fuller. Roles that are measured in tokens or nats, where high is the rule, are left out.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.errors import InputError
from headatlas.figures.frame import COLOURS, FONT, SMALL, STYLE, model_name, say_below
from headatlas.figures.heads_importance import index_ticks
from headatlas.roles.definitions import ROLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 0.3
LEFT_OUT = ("first_token_sink", "local_share", "global_share")
"""What nearly every head does to some degree: they would colour the whole map."""


def head_roles(found: xr.Dataset) -> "Figure":
    """Draw every head's strongest role.

    Parameters
    ----------
    found
        What `headatlas.roles.measure_roles` returned.

    Raises
    ------
    InputError
        A Dataset without such roles.
    """
    names = [n for n, role in ROLES.items() if n in found and role.units == "share" and n not in LEFT_OUT]
    if not names:
        raise InputError("This Dataset holds no roles to colour heads by. Measure them with: headatlas roles MODEL.")
    import matplotlib as mpl
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    from headatlas.figures.canvas import Figure

    values = np.nan_to_num(np.stack([found[n].transpose("layer", "head").values for n in names]).astype(np.float64))
    top = values.max(axis=(1, 2), keepdims=True)
    standing = values / np.where(top > 0, top, 1)
    best, size = standing.argmax(0), standing.max(0)
    colours = np.array([to_rgb(COLOURS[i % len(COLOURS)]) for i in range(len(names))])
    depth = np.where(size >= LEAST, size, 0)[..., None]
    image = 1 - depth * (1 - colours[best])
    layers, heads = best.shape
    with mpl.rc_context(STYLE):
        height = float(np.clip(3.0 * layers / heads, 2.2, 5.0))
        figure = Figure(figsize=(3.4, height + 1.1), layout="constrained")
        axis = figure.subplots()
        axis.imshow(image, origin="lower", aspect="auto", interpolation="none", extent=(0, heads, 0, layers))
        for one, n, label in ((axis.xaxis, heads, "Head"), (axis.yaxis, layers, "Layer (0 = input side)")):
            ticks = index_ticks(n)
            middle = 0.5 if n <= 12 else 0.0
            one.set_ticks([t + middle for t in ticks], [str(t) for t in ticks])
            one.set_label_text(label, fontsize=FONT)
        axis.tick_params(labelsize=SMALL, length=2)
        counts = [int(((best == i) & (size >= LEAST)).sum()) for i in range(len(names))]
        figure.legend(
            handles=[
                Patch(color=COLOURS[i % len(COLOURS)], label=f"{ROLES[n].title} ({counts[i]})")
                for i, n in enumerate(names)
            ],
            loc="outside upper center", ncols=2, fontsize=SMALL, frameon=False,
        )  # fmt: skip
        say_below(
            figure,
            f"Model: {model_name(found)}. Every head by the role it scores highest in,\nrelative to the role's "
            f"highest head (from {LEAST:.0%} up; white: none).",
        )
    return figure
