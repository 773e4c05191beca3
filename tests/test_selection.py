"""Heads chosen from an atlas: by number, share or q-value, by their whole value or what is a function's own."""

import numpy as np
import pytest
import xarray as xr

from headatlas.errors import InputError
from headatlas.interventions import parse_heads, top_heads

F = ("retrieval", "inference")


@pytest.fixture
def atlas():
    """Two layers of three heads; L0H2 matters to both, L1H1 to retrieval alone, L1H0 hurts it."""
    importance = np.array([[[0, 1, 9], [-5, 6, 2]], [[0, 1, 9], [0, 0, 2]]], np.float32)
    specific = importance - importance.mean(0)
    dims = ("function", "layer", "head")
    part = xr.Dataset(
        {
            "importance": (dims, importance),
            "specific": (dims, specific),
            "q_value": (dims, np.where(importance > 5, 0.01, 0.5)),
            "q_specific": (dims, np.where(np.abs(specific) > 2, 0.02, 0.9)),
        },
        coords={"function": list(F)},
    )
    return xr.DataTree.from_dict({"/ablation": part, "/probe": part.drop_vars(["specific", "q_specific"])})


def test_the_first_heads_of_a_function(atlas):
    assert top_heads(atlas, "retrieval", k=2, part="whole") == ((0, 2), (1, 1))
    assert top_heads(atlas, "retrieval", k=1) == ((1, 1),)
    assert top_heads(atlas, "inference", k=1) == ((1, 0),), "what hurts the other is the function's own here"
    assert top_heads(atlas, "retrieval", share=0.5, part="whole") == ((0, 2), (1, 1), (1, 2))
    assert top_heads(atlas, "retrieval", fdr=0.05) == ((1, 1),), "the q of what works against it does not count"
    assert top_heads(atlas, "retrieval", fdr=0.001) == ()
    assert top_heads(atlas, "retrieval", k=1, part="whole", method="probe") == ((0, 2),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of k, share and fdr"),
        ({"k": 1, "fdr": 0.1}, "one of k, share and fdr"),
        ({"k": 7}, "7 heads can't be taken of 6. Give 1 to 6"),
        ({"k": 0}, "0 heads"),
        ({"k": 1, "method": "prob"}, "no method 'prob'.* Did you mean 'probe'"),
        ({"k": 1, "method": "probe"}, "does not say which heads are specific .* by probe"),
        ({"k": 1, "part": "general"}, "Unknown part 'general'"),
    ],
)
def test_what_cannot_be_chosen_is_refused(atlas, given, message):
    with pytest.raises(InputError, match=message):
        top_heads(atlas, "retrieval", **given)
    with pytest.raises(InputError, match=r"no function 'retrieva'.* Did you mean 'retrieval'"):
        top_heads(atlas, "retrieva", k=1)


def test_heads_are_written_as_everywhere():
    assert parse_heads("L20H8, l3h5") == ((20, 8), (3, 5))
    for text in ("", "20:8", "L20", "L1H2,,L3H4"):
        with pytest.raises(InputError, match=r"is no head\. Write heads as L20H8"):
            parse_heads(text)
