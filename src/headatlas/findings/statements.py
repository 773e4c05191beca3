"""The statements that findings are made of, each with the numbers under it.

1. `View` is one method's part of an atlas: its maps, the threshold, how its values are written.
2. `function_finding`: one function's peak, layers, depth, and how its mass is spread.
3. `map_findings`: over the functions, how large and spread the scores are, which maps are alike, which stand
   apart, which quarters of the grid are empty.

A statement whose numbers are missing is not made. This module does not know Markdown or JSON, nor causes: it
describes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from headatlas.atlas.map_numbers import (
    ALPHA,
    MIN_ALIKE,
    MIN_GAP,
    QUADRANTS,
    Band,
    Contrast,
    Maps,
    band,
    band_p,
    contrast,
    gini,
    heads_for_half,
    quadrants,
    top_heads,
    write_number,
)
from headatlas.findings.wording import interval, names, percent, plain, round_number, run, span, verb
from headatlas.questions.functions import function_title

NOT_ALIKE = "not alike on the whole"
CLOSE = 0.7
"""Mean correlation from which maps are called closely alike."""
FEW_HEADS = 0.05
"""Half of the mass in a smaller share of heads is concentrated; a head with a larger share dominates."""
EMPTY = 0.05
"""A quarter of the grid with at most this share of the top heads is called empty (if chance is ruled out)."""
QUARTER_TEXT = {
    "shallow_low": "shallow layers, low head indices (lower left of the figure)",
    "shallow_high": "shallow layers, high head indices (lower right of the figure)",
    "deep_low": "deep layers, low head indices (upper left of the figure)",
    "deep_high": "deep layers, high head indices (upper right of the figure)",
}


@dataclass(frozen=True)
class Finding:
    """One statement and the numbers under it.

    Attributes
    ----------
    id
        Stable: "function.<function>", "scale", "spread", "alike", "apart", "regions", "negative",
        "controls", "reliability", "ability".
    topic
        "maps" (over all functions), "function" (one of them) or "reach" (how far the numbers carry).
    statement
        Plain text, not escaped.
    numbers
        JSON-serialisable; None where the atlas has no number.
    """

    id: str
    method: str
    topic: Literal["validity", "maps", "function", "reach"]
    statement: str
    numbers: Mapping[str, Any]
    function: str | None = None


@dataclass(frozen=True)
class View:
    """What the statements of one method are made from."""

    data: xr.Dataset
    maps: Maps
    threshold: float
    places: int | None

    @property
    def units(self) -> str:
        """What the statistics draw anew, halve and flip: tasks where every function has several (`stats.units_of`)."""
        named = "item_task" in self.data.coords
        return "tasks" if named and all(len(own) > 1 for own in self.tasks.values()) else "questions"

    @property
    def tasks(self) -> dict[str, Counter[str]]:
        """Function -> its tasks -> how many of their items are mapped; empty where items are not labelled."""
        if "item_task" not in self.data.coords or "item_function" not in self.data.coords:
            return {}
        found: dict[str, Counter[str]] = {function: Counter() for function in self.maps.functions}
        for function, task in zip(self.data["item_function"].values, self.data["item_task"].values, strict=True):
            if str(function) in found:
                found[str(function)][str(task)] += 1
        return found

    def number(self, name: str, function: str | None = None) -> float | None:
        """Return one value of a variable, or None if the atlas has none (or NaN)."""
        if name not in self.data:
            return None
        value = self._of(name, function)
        return float(value) if np.isfinite(value).all() else None

    def at(self, name: str, function: str, layer: int, head: int) -> float | None:
        """Return one head's value of a variable, by position, or None."""
        if name not in self.data:
            return None
        array = self._of(name, function)
        return float(array[layer, head]) if np.isfinite(array[layer, head]) else None

    def _of(self, name: str, function: str | None) -> np.ndarray:
        """Return a function's values of a variable (``sel``, asked hundreds of times, is a tenth of a second)."""
        variable = self.data.variables[name].transpose(..., "layer", "head", missing_dims="ignore")
        if function is None:
            return np.asarray(variable.values)
        at = self.data.get_index("function").get_loc(function)
        return np.asarray(np.take(variable.values, at, variable.dims.index("function")))

    def say(self, value: float) -> str:
        """Write a value of importance."""
        return write_number(value, self.places)

    def title(self, i: int) -> str:
        """Return a function's display name."""
        return function_title(self.maps.functions[i])


def least_p(units: float) -> float:
    """Return the smallest p that flipping the signs of so many units can give: all alike, two-sided."""
    return float(0.5 ** (units - 1))


def _band_numbers(view: View, found: Band, numbers: tuple[int, ...]) -> dict[str, Any]:
    return {
        "first": numbers[found.first],
        "last": numbers[found.last],
        "share": found.share,
        "even": found.even,
        "p": found.p,
    }


def function_finding(view: View, i: int) -> Finding:
    """Return the finding on one function's map."""
    maps, function = view.maps, view.maps.functions[i]
    mass = maps.mass[i]
    total = float(mass.sum())
    if total == 0:
        why = "no value is positive" if maps.sign == "positive" else "every value is 0"
        text = f"{view.title(i)}: nothing to place, {why} (largest mass 0)."
        return Finding(f"function.{function}", maps.method, "function", text, {"largest": 0.0}, function=function)
    layer, head = (int(j) for j in np.unravel_index(int(maps.ranked[i].argmax()), mass.shape))
    shares = mass.sum(axis=1) / total
    if "layer_share" in view.data:
        stored = view.data["layer_share"].sel({"function": function}).values
        shares = stored if np.isfinite(stored).all() else shares
    depth = view.number("depth", function)
    if depth is None:
        depth = float(shares @ np.arange(len(shares)) / max(1, len(shares) - 1))
    by_layer = band(shares, band_p(mass, seed=i))
    by_head = band(mass.sum(axis=0) / total, band_p(mass.T, seed=i))
    q = view.data["q_value"].sel({"function": function}).values if "q_value" in view.data else None
    significant = int((q < ALPHA).sum()) if q is not None and np.isfinite(q).all() else None
    numbers: dict[str, Any] = {
        "largest": float(mass.max()),
        "peak": {
            "head": maps.head_name(layer, head),
            "layer": maps.layers[layer],
            "value": float(maps.shown[i, layer, head]),
            "low": view.at("ci_low", function, layer, head),
            "high": view.at("ci_high", function, layer, head),
            "mass_share": float(mass.max() / total),
        },
        "depth": {
            "centre": depth,
            "low": view.number("depth_low", function),
            "high": view.number("depth_high", function),
        },
        "layers": _band_numbers(view, by_layer, maps.layers),
        "heads": _band_numbers(view, by_head, maps.heads),
        "below_threshold": float((mass < view.threshold).mean()),
        "heads_for_half": heads_for_half(mass),
        "n_heads": mass.size,
        "gini": gini(mass),
        "significant": significant,
    }
    text = _function_statement(view, i, numbers)
    return Finding(f"function.{function}", maps.method, "function", text, numbers, function=function)


def _function_statement(view: View, i: int, n: Mapping[str, Any]) -> str:
    """Return the sentences on one function's map."""
    peak, layers, heads, depth = n["peak"], n["layers"], n["heads"], n["depth"]
    text = f"{view.title(i)}: the peak is {peak['head']} at {view.say(peak['value'])}"
    text += interval(peak["low"], peak["high"], view.say) + ". "
    if layers["p"] < ALPHA:
        text += (
            f"{run('Layer', layers)} {verb('hold', layers)} {percent(layers['share'])} of the mass "
            f"(an even spread would give {percent(layers['even'])}, p = {layers['p']:.3f})"
        )
        if heads["p"] < ALPHA:
            text += f", in the figure at {run('head', heads)}"
    else:
        text += f"No band of layers holds more of the mass than chance gives (p = {layers['p']:.2f})"
    text += f"; the centre of mass is at depth {depth['centre']:.2f}"
    text += interval(depth["low"], depth["high"], lambda x: f"{x:.2f}") + ". "
    text += (
        f"{percent(n['below_threshold'])} of the heads are below {round_number(view.threshold)}; "
        f"half of the mass lies in {n['heads_for_half']} of {n['n_heads']} heads."
    )
    if n["significant"] is not None:
        one = n["significant"] == 1
        text += f" {n['significant']} {'head has' if one else 'heads have'} q below 0.05"
        units = view.number("n_units", view.maps.functions[i])
        few = view.units == "tasks" and units is not None and least_p(units) * n["n_heads"] > ALPHA
        nothing = ", as few tasks can't show for a head alone." if few else ": chance alone can give this map."
        text += "." if n["significant"] else nothing
    return text


# -- over the functions --------------------------------------------------------------------------------------


def map_findings(view: View, found: list[Finding]) -> list[Finding]:
    """Return the findings over all functions, given those on each; functions without mass take no part."""
    some = [i for i, f in enumerate(found) if f.numbers["largest"] > 0]
    if not some:
        return _negative(view)
    parts = [_scale(view), _spread(view, found, some), *_likeness(view, found, some), *_regions(view, some)]
    return [*parts, *_negative(view)]


def _scale(view: View) -> Finding:
    """Return how large the values are."""
    maps = view.maps
    i, layer, head = (int(j) for j in np.unravel_index(int(maps.mass.argmax()), maps.mass.shape))
    numbers: dict[str, Any] = {
        "largest": float(maps.mass.max()),
        "largest_head": maps.head_name(layer, head),
        "largest_function": maps.functions[i],
        "median": float(np.median(maps.mass)),
        "threshold": view.threshold,
        "below_threshold": float((maps.mass < view.threshold).mean()),
        "n_values": maps.mass.size,
    }
    text = (
        f"Most scores are low: {percent(numbers['below_threshold'])} of all {maps.mass.size} are below "
        f"{round_number(view.threshold)}; the median is {view.say(numbers['median'])}, the largest "
        f"{view.say(numbers['largest'])} ({numbers['largest_head']}, {view.title(i)})."
    )
    if numbers["below_threshold"] <= 0.5:
        text = text.replace("Most scores are low: ", "", 1)
    return Finding("scale", maps.method, "maps", text, numbers)


def _spread(view: View, found: list[Finding], some: list[int]) -> Finding:
    """Return how concentrated the maps are."""
    mass = view.maps.mass[some]
    half = [heads_for_half(m) for m in mass]
    top = [float(m.max() / m.sum()) for m in mass]
    uneven = [gini(m) for m in mass]
    size = mass[0].size
    middle = float(np.median(half)) / size
    word = "concentrated" if middle < FEW_HEADS else "distributed" if max(top) < FEW_HEADS else "in between"
    numbers: dict[str, Any] = {
        "word": word,
        "heads_for_half": [min(half), max(half)],
        "heads_for_half_share": [min(half) / size, max(half) / size],
        "largest_head_share": max(top),
        "gini": [min(uneven), max(uneven)],
    }
    lead = {
        "concentrated": "Importance is concentrated in few heads",
        "distributed": "Importance is distributed, no single head dominates",
        "in between": "Importance is neither concentrated nor evenly distributed",
    }[word]
    text = (
        f"{lead}: half of a map's mass takes {span(half)} of {size} heads ({percent(min(half) / size)} to "
        f"{percent(max(half) / size)}; an even spread would take 50%), and the largest share of one head is "
        f"{percent(max(top))} (Gini {min(uneven):.2f} to {max(uneven):.2f})."
    )
    banded = sum(found[i].numbers["layers"]["p"] < ALPHA for i in some)
    numbers["maps_with_band"] = banded
    if not banded:
        text += f" {banded} of {len(some)} maps show a band of layers: noise alone looks like this, too."
    return Finding("spread", view.maps.method, "maps", text, numbers)


def _likeness(view: View, found: list[Finding], some: list[int]) -> list[Finding]:
    """Return which maps are alike and which stand apart."""
    maps = view.maps
    part = replace(maps, functions=tuple(maps.functions[i] for i in some), values=maps.values[some])
    rel = [view.number("reliability", f) for f in part.functions]
    reliability = None if None in rel else np.array(rel, float)
    result = contrast(part, reliability=reliability)
    if result is None:
        return []
    own = [found[i] for i in some]
    rest = [i for i in range(len(some)) if i not in result.apart]
    alike = _alike(view, part, result, own, rest)
    out = [alike, _apart(view, part, result, own, rest, alike.numbers["word"])]
    return out


def _alike(view: View, part: Maps, result: Contrast, own: list[Finding], rest: list[int]) -> Finding:
    """Return how alike the maps that do not stand apart are."""
    pairs = [(i, j) for i in rest for j in rest if i < j]
    by_head = [float(result.by_head[i, j]) for i, j in pairs]
    by_layer = [float(result.by_layer[i, j]) for i, j in pairs]
    best = max(np.mean(by_head), np.mean(by_layer))
    word = "closely alike" if best >= CLOSE else "alike" if best >= MIN_ALIKE else NOT_ALIKE
    if word != NOT_ALIKE and np.mean(by_head) < MIN_ALIKE:
        word = "alike in which layers they use, not head by head"
    k = _top_k(part)
    tops = [set(top_heads(part.ranked[i], k).tolist()) for i in range(len(own))]
    shared = [len(tops[i] & tops[j]) / k for i, j in pairs]
    peaks = [own[i].numbers["peak"]["head"] for i in rest]
    common = max(sorted(set(peaks)), key=peaks.count)
    numbers: dict[str, Any] = {
        "word": word,
        "functions": [part.functions[i] for i in rest],
        "spearman_over_heads": {"mean": np.mean(by_head), "low": min(by_head), "high": max(by_head)},
        "layer_profile": {"mean": np.mean(by_layer), "low": min(by_layer), "high": max(by_layer)},
        "top_heads": k,
        "top_heads_shared": np.mean(shared),
        "top_heads_shared_by_chance": k / part.mass[0].size,
        "commonest_peak": common,
        "commonest_peak_count": peaks.count(common),
    }
    who = names([function_title(part.functions[i]) for i in rest])
    if len(rest) == len(own):
        who = f"The {len(rest)} maps" if word == NOT_ALIKE else f"All {len(rest)} maps"
    text = (
        f"{who} are {word}: between pairs of their maps the mean Spearman correlation over heads is "
        f"{np.mean(by_head):.2f} ({min(by_head):.2f} to {max(by_head):.2f}), the mean correlation of layer "
        f"profiles {np.mean(by_layer):.2f}, and they share {percent(float(np.mean(shared)))} of their "
        f"top {k} heads (chance: {percent(k / part.mass[0].size)})."
    )
    stored = _stored_similarity(view, part, pairs)
    numbers["similarity_in_atlas"] = stored
    if stored:
        text += f" The least alike pair is {function_title(stored['pair'][0])} and "
        text += f"{function_title(stored['pair'][1])}: {stored['value']:.2f}"
        text += interval(stored["low"], stored["high"], lambda x: f"{x:.2f}") + "."
    if peaks.count(common) > 1:
        text += f" {peaks.count(common)} of {len(rest)} have their peak at {common}."
    return Finding("alike", part.method, "maps", text, plain(numbers))


def _stored_similarity(view: View, part: Maps, pairs: list[tuple[int, int]]) -> dict[str, Any] | None:
    """Return the atlas's own similarity of the least alike of `pairs`, with its interval, if it has any."""

    def look(name: str, pair: tuple[int, int]) -> float | None:
        if name not in view.data:
            return None
        one, other = (part.functions[i] for i in pair)
        value = float(view.data[name].sel({"function": one, "other_function": other}))
        return value if np.isfinite(value) else None

    known = {pair: value for pair in pairs if (value := look("similarity", pair)) is not None}
    if not known:
        return None
    least = min(known, key=lambda pair: known[pair])
    return {
        "pair": [part.functions[i] for i in least],
        "value": known[least],
        "low": look("similarity_low", least),
        "high": look("similarity_high", least),
    }


def _apart(view: View, part: Maps, result: Contrast, own: list[Finding], rest: list[int], word: str) -> Finding:
    """Return which functions stand apart, or that none does."""
    table = {
        f: {
            "gap_over_heads": result.gaps["by_head"][i],
            "gap_over_heads_corrected": None if result.corrected is None else result.corrected[i],
            "p_over_heads": result.p["by_head"][i],
            "gap_layer_profile": result.gaps["by_layer"][i],
            "p_layer_profile": result.p["by_layer"][i],
            "p_own_structure": result.own_p[i],
            "mean_spearman_with_rest": np.mean([result.by_head[i, j] for j in rest if j != i]),
            "mean_layer_profile_with_rest": np.mean([result.by_layer[i, j] for j in rest if j != i]),
        }
        for i, f in enumerate(part.functions)
    }
    numbers = plain(
        {
            "apart": [part.functions[i] for i in result.apart],
            "unproven": [part.functions[i] for i in result.unproven],
            "least_gap": MIN_GAP,
            "functions": table,
        }
    )
    parts = [_apart_statement(part, own, rest, i, table[part.functions[i]]) for i in result.apart]
    if not parts:
        reason = ", as there is no common pattern" if word == NOT_ALIKE else ""
        parts = [
            f"No function stands apart{reason}. The largest gap, the others' agreement with each other minus "
            f"that with it, is {_gap(part, result, 'by_head')} over heads and "
            f"{_gap(part, result, 'by_layer')} in layer profiles."
        ]
    for i in result.unproven:
        parts.append(
            f"{function_title(part.functions[i])} is less like the others (gap "
            f"{result.gaps['by_head'][i]:.2f} over heads, {result.gaps['by_layer'][i]:.2f} in layer "
            f"profiles), but what the others leave unexplained in its map shows no band of layers (p = "
            f"{result.own_p[i]:.2f}): noise can do this, so it is not called apart."
        )
    return Finding("apart", part.method, "maps", " ".join(parts), numbers)


def _apart_statement(part: Maps, own: list[Finding], rest: list[int], i: int, row: Mapping[str, Any]) -> str:
    """Return the sentence on one function that stands apart."""
    layers, peak = own[i].numbers["layers"], own[i].numbers["peak"]
    depth, others = own[i].numbers["depth"]["centre"], [own[j].numbers["depth"]["centre"] for j in rest]
    where = " deeper than all others" if depth > max(others) else ""
    where = " shallower than all others" if depth < min(others) else where
    fixed = row["gap_over_heads_corrected"]
    corrected = "" if fixed is None else f"; {fixed:.2f} corrected for reliability"
    held = f", with {percent(layers['share'])} of its mass in {run('layer', layers)}"
    held = held if layers["p"] < ALPHA else ""
    by_head, by_layer = row["mean_spearman_with_rest"], row["mean_layer_profile_with_rest"]
    return (
        f"{function_title(part.functions[i])} stands apart: its mean Spearman correlation with the other "
        f"maps is {by_head:.2f}, a gap of {row['gap_over_heads']:.2f} to their own "
        f"(p = {row['p_over_heads']:.3f}{corrected}); of layer profiles {by_layer:.2f}, a gap of "
        f"{row['gap_layer_profile']:.2f} (p = {row['p_layer_profile']:.3f}). It lies{where} at depth "
        f"{depth:.2f} (others {min(others):.2f} to {max(others):.2f}){held}, and peaks at {peak['head']}."
    )


def _gap(part: Maps, result: Contrast, measure: str) -> str:
    """Return the largest gap on a measure, and whose it is."""
    i = int(np.argmax(result.gaps[measure]))
    return f"{result.gaps[measure][i]:.2f} ({function_title(part.functions[i])}, p = {result.p[measure][i]:.3f})"


def _top_k(maps: Maps) -> int:
    """Return how many heads count as a map's top: 5%, but at least 24 and at most a quarter of all.

    With fewer than about 24, an empty quarter can't be told from chance for eight functions.
    """
    size = maps.mass[0].size
    return max(1, min(size // 4, max(24, round(0.05 * size))))


def _regions(view: View, some: list[int]) -> list[Finding]:
    """Return which quarters of the grid hold none of the top heads."""
    maps, k = view.maps, _top_k(view.maps)
    if min(len(maps.layers), len(maps.heads)) < 2:
        return []
    found = [quadrants(maps.ranked[i], k) for i in some]
    limit = ALPHA / (len(QUADRANTS) * len(some))
    table: dict[str, Any] = {}
    for name in QUADRANTS:
        rows = [f[name] for f in found]
        empty = [r["top"] <= EMPTY and r["p"] < limit for r in rows]
        mass = [float(_quarter(maps.mass[i], name).sum() / maps.mass[i].sum()) for i in some]
        table[name] = {
            "empty_in": [maps.functions[i] for i, e in zip(some, empty, strict=True) if e],
            "not_empty_in": [maps.functions[i] for i, e in zip(some, empty, strict=True) if not e],
            "top_heads": [min(r["top"] for r in rows), max(r["top"] for r in rows)],
            "mass": [min(mass), max(mass)],
        }
    most = [q for q in reversed(QUADRANTS) if 2 * len(table[q]["empty_in"]) > len(some)]
    most.sort(key=lambda q: -len(table[q]["empty_in"]))
    parts = []
    for name in most:
        row = table[name]
        others = names([function_title(f) for f in row["not_empty_in"]])
        but = f", all but {others}" if row["not_empty_in"] else ""
        parts.append(f"{QUARTER_TEXT[name]}, in {len(row['empty_in'])} of {len(some)} maps{but}")
    even = f"(at most {percent(EMPTY)} of a map's top {k} heads, where chance gives about 25%)"
    if parts:
        text = f"Empty quarters of the grid {even}: {'; '.join(parts)}."
    else:
        shares = [share for row in table.values() for share in row["top_heads"]]
        text = (
            f"No quarter of the grid is empty in most maps: a quarter holds {percent(min(shares))} to "
            f"{percent(max(shares))} of a map's top {k} heads."
        )
    text += " The order of heads inside a layer is arbitrary: only the half of the layers has a meaning."
    return [Finding("regions", maps.method, "maps", text, {"top_heads": k, "empty": most, "quarters": table})]


def _quarter(mass: np.ndarray, name: str) -> np.ndarray:
    layer, head = mass.shape[0] // 2, mass.shape[1] // 2
    rows = slice(layer, None) if name.startswith("deep") else slice(layer)
    return mass[rows, slice(head, None) if name.endswith("high") else slice(head)]


def _negative(view: View) -> list[Finding]:
    """Return what works against the functions, for methods whose sign counts."""
    maps = view.maps
    total = float(np.abs(maps.values).sum())
    if maps.sign == "absolute" or total == 0 or not (maps.values < 0).any():
        return []
    share = float(-maps.values[maps.values < 0].sum() / total)
    i, layer, head = (int(j) for j in np.unravel_index(int(maps.values.argmin()), maps.values.shape))
    numbers: dict[str, Any] = {
        "share": share,
        "head": maps.head_name(layer, head),
        "function": maps.functions[i],
    }
    numbers["value"] = float(maps.values[i, layer, head])
    kept = "" if maps.sign == "signed" else " and is not counted as mass"
    text = (
        f"{percent(share)} of the absolute total is negative (against the function){kept}; the most "
        f"negative head is {numbers['head']} at {view.say(numbers['value'])} ({view.title(i)})."
    )
    return [Finding("negative", maps.method, "maps", text, numbers)]
