"""The roles: what each score is, where it is described, and what it is measured on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Role:
    """A role and what its score is.

    Attributes
    ----------
    title
        For figures and tables.
    definition
        Formula: a_ij is the weight of key j for query i, x_i the token at i, n the length of the repeated part.
    source
        Where the role is described.
    units
        "share" (0 to 1), "tokens", "nats" or "1" (a ratio, 0 to 1).
    on
        The sequences it is measured on (see the module's docstring).
    """

    title: str
    definition: str
    source: str
    units: Literal["share", "tokens", "nats", "1"]
    on: Literal["random", "needle"]


ROLES: dict[str, Role] = {
    "previous_token": Role(
        "Previous token",
        "mean over i of a_{i,i-1}, where i-1 is not the first token",
        "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; Olsson et al. 2022",
        "share",
        "random",
    ),
    "duplicate_token": Role(
        "Duplicate token",
        "mean over i in the second half of a_{i,i-n}: the earlier occurrence of x_i",
        "Wang et al. 2022, Interpretability in the Wild (arXiv 2211.00593)",
        "share",
        "random",
    ),
    "induction": Role(
        "Induction",
        "mean over i in the second half of a_{i,i-n+1}: the token after the earlier occurrence of x_i",
        "Olsson et al. 2022, In-context Learning and Induction Heads (arXiv 2209.11895)",
        "share",
        "random",
    ),
    "first_token_sink": Role(
        "First-token sink",
        "mean over i > 0 of a_{i,0}",
        "Xiao et al. 2023, Efficient Streaming Language Models with Attention Sinks (arXiv 2309.17453)",
        "share",
        "needle",
    ),
    "retrieval": Role(
        "Retrieval",
        "share of the answer's tokens that stand in the needle for which, at the position that predicts the token, "
        "argmax_j a_ij is that same token in the needle (teacher-forced)",
        "Wu et al. 2024, Retrieval Head Mechanistically Explains Long-Context Factuality (arXiv 2404.15574)",
        "share",
        "needle",
    ),
    "local_share": Role(
        "Local share",
        "mean over i that see more than w keys of the sum of a_ij over i - j < w (w: attribute 'local')",
        "mass near the query; cf. Clark et al. 2019, What Does BERT Look At? (arXiv 1906.04341)",
        "share",
        "needle",
    ),
    "global_share": Role(
        "Global share",
        "mean over the same i of the sum of a_ij over i - j > (v_i - 1) / 2, v_i the keys that i sees; without the "
        "first token",
        "mass beyond half of what the query sees",
        "share",
        "needle",
    ),
    "span": Role(
        "Span",
        "sum of a_ij (i - j) over the sum of a_ij, over the same i, without the first token",
        "mean attended distance; cf. Sukhbaatar et al. 2019, Adaptive Attention Span (arXiv 1905.07799)",
        "tokens",
        "needle",
    ),
    "entropy": Role(
        "Entropy",
        "mean over i that see two keys or more of H_i = -sum_j a_ij ln a_ij",
        "Clark et al. 2019, What Does BERT Look At? (arXiv 1906.04341)",
        "nats",
        "needle",
    ),
    "normalised_entropy": Role(
        "Normalised entropy",
        "mean over the same i of H_i / ln v_i, v_i the keys that i sees; 1 = even over all of them",
        "Clark et al. 2019, What Does BERT Look At? (arXiv 1906.04341)",
        "1",
        "needle",
    ),
}
"""The roles, in the order of tables and figures. Keys outside a layer's sliding window are not seen: a query counts
only where what is asked of it is seen, and a layer in which none counts has NaN."""
