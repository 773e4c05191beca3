"""What an atlas can hold: one table, which is its schema, its check, its documentation and what a notebook shows.

A variable is one row: its name, its dimensions, what it is, its unit, and where it stands: in the atlas itself
("atlas") or in each method's own part ("method"). A variable with an ``interval`` has two companions, its name with
``_low`` and ``_high``: the ends of a 95% interval. A method may bring variables of its own (`Method.about_values`);
those need no row here.

This module does not know how any number was computed.
"""

from dataclasses import dataclass
from typing import Literal

HEADS = ("function", "layer", "head")
ASKED = ("asked_task",)
ENDS = ("", "_low", "_high")
CHANCE = 0.5
"""`answer_accuracy` of a model that can't do a function."""


@dataclass(frozen=True)
class Variable:
    """One row of the table; see the module."""

    name: str
    dims: tuple[str, ...]
    about: str
    unit: str = ""
    where: Literal["atlas", "method"] = "method"
    interval: bool = False


VARIABLES = (
    Variable("importance", HEADS, "mean importance over items (over tasks, where tasks are named), signed where a sign "
             "exists"),
    Variable("ci_low", HEADS, "lower end of the 95% interval of importance"),
    Variable("ci_high", HEADS, "upper end of the 95% interval of importance"),
    Variable("p_value", HEADS, "against the method's null, or by flipping signs of main questions (tasks)"),
    Variable("q_value", HEADS, "Benjamini-Hochberg over the heads of a function"),
    Variable("rank", HEADS, "1 = most important, by the method's sign"),
    Variable("layer_share", ("function", "layer"), "a layer's share of the map's mass", interval=True),
    Variable("depth", ("function",), "centre of the map's mass, 0 = first layer, 1 = last", interval=True),
    Variable("similarity", ("function", "other_function"), "Spearman correlation of two maps over heads",
             interval=True),
    Variable("reliability", ("function",), "split-half rank correlation of the map, Spearman-Brown corrected"),
    Variable("n_units", ("function",), "number of tasks or main questions that the intervals rest on"),
    Variable("probe_accuracy", ("function",), "held-out accuracy of the probe", interval=True),
    Variable("probe_accuracy_overall", (), "held-out accuracy of the probe over all functions", interval=True),
    Variable("excess", ("control",), "probe accuracy minus control accuracy, paired by item", interval=True),
    Variable("general", ("layer", "head"), "mean over functions of their maps"),
    Variable("specific", HEADS, "a function's map minus the mean over functions"),
    Variable("general_share", (), "share of the reproducible variance that functions have in common; beside a "
             "function_share, of the variance of a task's map", interval=True),
    Variable("specific_share", (), "share of the reproducible variance that is the functions' own", interval=True),
    Variable("function_share", (), "share of the variance of a task's map that the tasks of its function have in "
             "common beyond what all have", interval=True),
    Variable("task_share", (), "share of the variance of a task's map that is the task's own", interval=True),
    Variable("noise_share", (), "share of the maps' variance that other questions (beside a function_share: other "
             "items of the task) would not reproduce", interval=True),
    Variable("specific_reliability", ("function",), "split-half correlation of the specific part, Spearman-Brown "
             "corrected"),
    Variable("items_needed", ("function",), "items that would bring specific_reliability to 0.9"),
    Variable("q_general", ("layer", "head"), "q-value of no effect on the mean over functions"),
    Variable("q_specific", HEADS, "q-value of no effect beyond that on the other functions"),
    Variable("task_function", ("task",), "the function that a task is of"),
    Variable("task_reliability", ("task",), "split-half similarity of the task's map, Spearman-Brown corrected"),
    Variable("task_similarity", ("task", "other_task"), "correlation over heads of the signed square roots of two "
             "tasks' maps"),
    Variable("task_similarity_corrected", ("task", "other_task"), "the same, corrected for noise; NaN where a map is "
             "not reliable"),
    Variable("within_similarity", (), "mean similarity of two tasks of one function", interval=True),
    Variable("within_similarity_corrected", (), "the same, corrected for noise", interval=True),
    Variable("between_similarity", (), "mean similarity of two tasks of different functions", interval=True),
    Variable("between_similarity_corrected", (), "the same, corrected for noise", interval=True),
    Variable("within_p", (), "of the difference of the two, tasks shuffled over functions"),
    Variable("function_within", ("function",), "mean similarity of two of the function's tasks"),
    Variable("function_within_corrected", ("function",), "the same, corrected for noise"),
    Variable("function_between", ("function",), "mean similarity of the function's tasks with those of others"),
    Variable("function_within_p", ("function",), "of the difference of the two, tasks shuffled over functions"),
    Variable("function_within_q", ("function",), "the same, Benjamini-Hochberg over functions"),
    Variable("factor_effect", ("factor",), "how much more alike two tasks are that share the factor, the others held "
             "fixed"),
    Variable("factor_p", ("factor",), "one-sided, its labels exchanged among tasks that share all others"),
    Variable("factor_exchanged", ("factor",), "how many tasks share all others with one that differs in it", "tasks"),
    Variable("factor_least_p", ("factor",), "one over the ways in which they can be exchanged: no p is smaller"),
    Variable("factor_overlap", ("factor",), "share of the factor that the others determine; 1: it can't be told from "
             "them"),
    Variable("naming_accuracy", (), "share of left-out tasks whose function is named by their map", interval=True),
    Variable("naming_chance", (), "the same of tasks shuffled over functions"),
    Variable("naming_p", (), "of naming_accuracy, tasks shuffled over functions"),
    Variable("naming_confusion", ("function", "other_function"), "how many tasks of a function were named after "
             "another", "tasks"),
    Variable("task_named", ("task",), "the function that the task's map names when it is left out; empty: its function "
             "has no other task"),
    Variable("task_cluster", ("task",), "the task's cluster, of as many as there are functions"),
    Variable("task_order", ("task",), "the task's place among the leaves of the tree of clusters, 0 = first"),
    Variable("cluster_rand", (), "adjusted Rand index of clusters and functions: 1 = the same, 0 = chance"),
    Variable("cluster_p", (), "of cluster_rand, tasks shuffled over functions"),
    Variable("control_accuracy", ("control", "function"), "held-out accuracy of a classifier that sees only one thing "
             "on the question's surface", where="atlas", interval=True),
    Variable("control_accuracy_overall", ("control",), "held-out accuracy of such a classifier over all functions",
             where="atlas", interval=True),
    Variable("answer_logprob", ("function",), "mean log-probability of a token of the reference answer", "nat",
             where="atlas"),
    Variable("answer_accuracy", ("function",), "share of items whose reference answer the model finds likelier than a "
             "foil; chance 0.5", where="atlas", interval=True),
    Variable("unable", ("function",), "whether that share's interval includes or lies below chance: the model does not "
             "do this; False where nothing was compared", where="atlas"),
    Variable("answer_exact", ("function",), "share of items whose whole reference answer is the model's own, greedy "
             "answer", where="atlas"),
    Variable("n_items", ("function",), "number of items", where="atlas"),
    Variable("asked_function", ASKED, "the function that a task calls for", where="atlas"),
    Variable("asked_form", ASKED, "how the task is put: question, completion, passage", where="atlas"),
    Variable("asked_kind", ASKED, "kind of answer", where="atlas"),
    Variable("asked_lure", ASKED, "share of its items in whose text the foil stands", where="atlas"),
    Variable("asked_items", ASKED, "number of items asked", where="atlas"),
    Variable("asked_accuracy", ASKED, "share of a task's items whose answer the model finds likelier than the designed "
             "foil; chance 0.5", where="atlas", interval=True),
    Variable("asked_exact", ASKED, "share of a task's items whose whole answer is the model's own, greedy answer",
             where="atlas"),
    Variable("asked_done", ASKED, "whether the model does the task: that share is above chance", where="atlas"),
    Variable("agreement", ("one_method", "other_method", "function"), "Spearman correlation of two methods' maps over "
             "heads", where="atlas"),
    Variable("agreement_top", ("one_method", "other_method", "function"), "share of their top heads that two methods "
             "have in common", where="atlas"),
    Variable("agreement_chance", (), "what two random rankings have of it", where="atlas"),
    Variable("item_logprob", ("item",), "mean log-probability of a token of the item's reference answer", "nat",
             where="atlas"),
    Variable("item_foil_logprob", ("item",), "the same of its foil; NaN without one", "nat", where="atlas"),
    Variable("item_exact", ("item",), "whether the item's whole reference answer is the model's own", where="atlas"),
)  # fmt: skip
"""The table."""

SCHEMA: dict[str, Variable] = {
    variable.name + end: variable for variable in VARIABLES for end in (ENDS if variable.interval else ("",))
}
"""Every variable and companion, by name."""

LABELS = {
    "layer": "decoder layer, 0 = input side",
    "head": "query head; order inside a layer is arbitrary",
    "function": "cognitive function",
    "control": "what a classifier saw instead of activations",
    "item": "a step of a main question",
    "asked_task": "a task, done by the model or not",
    "task": "a task (template) of a function",
    "factor": "what two tasks can share",
    "sample": "an item, fold or refit",
}
"""What the dimensions are."""

SIGN, LABEL, KIND, ABLATES, INTERVAL = "sign", "label", "kind", "ablates", "interval"
"""Attributes of a method's part: how its values are read, what one unit of importance is, what the method reads
("activations" or "model"), whether it replaces heads' z (1 or 0), and what its intervals rest on."""


def about(name: str) -> dict[str, str]:
    """Return the attributes that a notebook shows of a variable: ``long_name`` and, if it has one, ``units``."""
    variable = SCHEMA.get(name)
    if variable is None:
        return {}
    end = {"_low": ": lower end of the 95% interval", "_high": ": upper end of the 95% interval"}
    text = variable.about + (end.get(name.removeprefix(variable.name), ""))
    return {"long_name": text} | ({"units": variable.unit} if variable.unit else {})
