"""Small GPT-2s whose weights are written by hand, so that a known head does a known job.

1. The class is `GPT2LMHeadModel` as Transformers ships it, with three of its own config fields set: a huge
   `layer_norm_epsilon` (with norm weights of its square root) makes every LayerNorm the identity up to 1e-6 of its
   input, `activation_function="relu"` makes the MLPs piecewise linear, `scale_attn_weights=False` makes an attention
   score q . k.
2. The residual stream is divided into *wires*, blocks of orthonormal directions: the token, its position, the
   output, a slot and a flag that heads can pass on, and junk. The directions are random and orthogonal to the vector of
   ones, so LayerNorm's mean is 0 and no wire is an axis (`Board`).
3. A head is wired by saying what its query, key and value read and what it writes (`Board.head`). All others are
   distractors: random queries, keys and values of token and position, so they attend and write to every wire,
   into the output too, but little. One is a decoy (`Board.decoy`): it attends as a planted head does, its z holds the
   answer as that head's does, and it writes it to the junk wire, which nobody reads.
4. One function a planted model makes the task, 4 layers x 6 heads, and the prompts, and names the planted heads
   (`Planted`): `CASES` lists them.

Which head in a layer plays which role is drawn by hand once; nothing depends on it. Everything is seeded.
It does not know methods, nor what they must find.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt
from tests.tiny import Tokens

LAYERS, HEADS, HEAD_DIM = 4, 6, 24
VOCAB = POSITIONS = HEAD_DIM
"""A head is as wide as the vocabulary and the positions: it can carry any one-hot code as it is."""
WIDTH = HEADS * HEAD_DIM
EPSILON = 1e8
SHARP = 6.0
"""Score of what a head looks for, where all else scores 0: about 0.97 of the attention, so not wholly saturated."""
GAIN = 6.0
"""What a head that answers adds to the answer's logit."""
LOUD = 0.25
"""Standard deviation of what one distractor adds to a logit."""

BOS = 0
PLAIN = np.arange(4, 14)
MARKED = PLAIN + 10
"""Ten contents, each as a plain and as a marked token."""

FUNCTIONS = ("retrieval", "inference")
"""The prompts are said to be of either function in turn: methods ask for two. They are all of one kind."""

Head = tuple[int, int]
Reads = Mapping[str, Tensor]


@dataclass(frozen=True)
class Planted:
    """A model, what it is asked, and which heads do it.

    Attributes
    ----------
    roles
        Role -> (layer, head). `heads` are all of them.
    decoy
        The head that has the answer in its z, and does nothing with it.
    """

    name: str
    model: HeadModel
    prompts: list[Prompt]
    roles: dict[str, Head]
    decoy: Head

    @property
    def heads(self) -> set[Head]:
        return set(self.roles.values())


class Board:
    """A GPT-2 of distractors, to wire heads into."""

    def __init__(self, *, seed: int) -> None:
        self._draw = torch.Generator().manual_seed(seed)
        config = GPT2Config(
            vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=2 * VOCAB,
            activation_function="relu", layer_norm_epsilon=EPSILON, scale_attn_weights=False,
            tie_word_embeddings=False, bos_token_id=BOS, eos_token_id=BOS,
        )  # fmt: skip
        self.gpt2 = GPT2LMHeadModel(config).eval().requires_grad_(False)
        ones = torch.full((WIDTH, 1), WIDTH**-0.5)
        basis = torch.linalg.qr(torch.cat([ones, self._normal(WIDTH, WIDTH - 1)], 1).double()).Q[:, 1:].T.float()
        sizes = {"token": VOCAB, "position": POSITIONS, "out": VOCAB, "slot": VOCAB, "flag": 1}
        sizes["junk"] = WIDTH - 1 - sum(sizes.values())
        self.wires = dict(zip(sizes, basis.split(list(sizes.values())), strict=True))
        """Wire -> its directions, (size, width)."""
        self._blank()
        for layer in range(LAYERS):
            for head in range(HEADS):
                self._distractor(layer, head)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._draw)

    def _blank(self) -> None:
        """Write embeddings, norms and output, and empty every layer."""
        for name, weight in self.gpt2.named_parameters():
            weight.fill_(EPSILON**0.5 if "ln_" in name and name.endswith("weight") else 0.0)
        self.gpt2.transformer.wte.weight.copy_(self.wires["token"])
        self.gpt2.transformer.wpe.weight.copy_(self.wires["position"])
        self.gpt2.lm_head.weight.copy_(self.wires["out"])

    def _distractor(self, layer: int, head: int) -> None:
        read = {
            part: {wire: self._normal(len(self.wires[wire]), HEAD_DIM) * 0.5 for wire in ("token", "position")}
            for part in ("query", "key", "value")
        }
        loud = {"out": LOUD, "slot": LOUD / 20, "flag": LOUD / 20, "junk": 1.0}
        scale = (0.5 * HEAD_DIM**0.5) ** -1  # so that z has a length of about 1
        write = {wire: self._normal(HEAD_DIM, len(self.wires[wire])) * scale * size for wire, size in loud.items()}
        self.head(layer, head, **read, write=write)

    def head(
        self,
        layer: int,
        head: int,
        *,
        query: Reads,
        key: Reads,
        value: Reads,
        write: Reads,
        always: Tensor | None = None,
    ) -> Head:
        """Wire a head.

        `query`, `key` and `value` say wire -> (its size, head_dim), `write` says wire -> (head_dim, its size);
        `always` is a query whatever is read, (head_dim,).
        """
        attention = self.gpt2.transformer.h[layer].attn
        at = [slice(i * WIDTH + head * HEAD_DIM, i * WIDTH + (head + 1) * HEAD_DIM) for i in range(3)]
        for part, reads in zip(at, (query, key, value), strict=True):
            read = [self.wires[wire].T @ matrix for wire, matrix in reads.items()]
            attention.c_attn.weight[:, part] = sum(read, torch.zeros(WIDTH, HEAD_DIM))
        attention.c_attn.bias[at[0]] = torch.zeros(HEAD_DIM) if always is None else always
        attention.c_proj.weight[at[0]] = sum(matrix @ self.wires[wire] for wire, matrix in write.items())
        return layer, head

    def decoy(self, *, of: Head, layer: int = 2, head: int = 0) -> Head:
        """Wire a head that reads as another does, and writes where nobody reads."""
        source, target = self.gpt2.transformer.h[of[0]].attn, self.gpt2.transformer.h[layer].attn
        for i in range(3):
            here, there = (slice(i * WIDTH + h * HEAD_DIM, i * WIDTH + (h + 1) * HEAD_DIM) for h in (of[1], head))
            target.c_attn.weight[:, there] = source.c_attn.weight[:, here]
            target.c_attn.bias[there] = source.c_attn.bias[here]
        junk = self.wires["junk"]
        target.c_proj.weight[head * HEAD_DIM : (head + 1) * HEAD_DIM] = self._normal(HEAD_DIM, len(junk)) @ junk
        return layer, head

    def clip(self, layer: int, *, gain: float) -> None:
        """Make a layer's MLP write to the output what the slot holds, 0 below 1/3 and `gain` above 2/3."""
        mlp, eye = self.gpt2.transformer.h[layer].mlp, torch.eye(VOCAB)
        mlp.c_fc.weight.copy_(self.wires["slot"].T @ torch.cat([eye, eye], 1))
        mlp.c_fc.bias.copy_(torch.tensor([-1 / 3, -2 / 3]).repeat_interleave(VOCAB))
        mlp.c_proj.weight.copy_(3 * gain * torch.cat([eye, -eye]) @ self.wires["out"])

    def planted(self, name: str, prompts: list[Prompt], *, decoy_of: str, **roles: Head) -> Planted:
        decoy = self.decoy(of=roles[decoy_of])
        model = HeadModel(self.gpt2, Tokens(eos_token_id=BOS), f"planted-{name}")
        return Planted(name, model, prompts, roles, decoy)


# -- the parts that heads are wired from ------------------------------------------------------------


def _unit(dim: int) -> Tensor:
    return torch.eye(HEAD_DIM)[dim]


def _onto(tokens: np.ndarray, dim: int) -> Tensor:
    """Map each of `tokens` to the same dimension of a head: "is one of these"."""
    matrix = torch.zeros(VOCAB, HEAD_DIM)
    matrix[tokens, dim] = 1.0
    return matrix


def _each(pairs: Mapping[int, int]) -> Tensor:
    """Map tokens to the dimension of another token."""
    matrix = torch.zeros(VOCAB, HEAD_DIM)
    for token, becomes in pairs.items():
        matrix[token, becomes] = 1.0
    return matrix


SAME = torch.eye(VOCAB)
BEFORE = torch.diag(torch.ones(POSITIONS - 1), -1)
"""Position i -> the code of position i - 1; position 0 -> nothing."""
UNMARK = _each({**{int(t): int(t) for t in PLAIN}, **{int(t) + 10: int(t) for t in PLAIN}})


def _copy_marked(board: Board, layer: int, head: int, write: Reads) -> Head:
    """Wire a head that attends to the marked token and writes it, unmarked."""
    return board.head(
        layer, head, query={}, always=SHARP * _unit(0), key={"token": _onto(MARKED, 0)},
        value={"token": UNMARK}, write=write,
    )  # fmt: skip


def _previous(board: Board, layer: int, head: int, write: Reads) -> Head:
    """Wire a head that attends to the token before and writes it."""
    return board.head(
        layer, head, query={"position": SHARP * BEFORE}, key={"position": SAME}, value={"token": SAME}, write=write
    )


def _prompt(i: int, prefix: list[int] | np.ndarray, answer: list[int], foil: list[int]) -> Prompt:
    tokens = np.array([BOS, *prefix, *answer], dtype=np.int64)
    start = len(tokens) - len(answer)
    assert len(tokens) <= POSITIONS
    return Prompt(
        id=f"g{i // 2}/{i % 2}", tokens=tokens, answer_start=start, chosen=np.arange(start - 1, len(tokens) - 1),
        function=FUNCTIONS[i % 2], group=f"g{i // 2}", step=i % 2, passage="p", subquestion="s", answer=str(answer),
        foil=np.array(foil, dtype=np.int64),
    )  # fmt: skip


def _prompts(make: Callable[[np.random.Generator], tuple], *, n: int = 24, seed: int) -> list[Prompt]:
    draw = np.random.default_rng(seed)
    return [_prompt(i, *make(draw)) for i in range(n)]


def _one_marked(draw: np.random.Generator) -> tuple:
    """Return plain contents with one marked token among them, answered by its content."""
    content = draw.permutation(PLAIN)[: draw.integers(5, 11)]
    at = draw.integers(len(content))
    prefix = content.copy()
    prefix[at] += 10
    return prefix, [int(content[at])], [int(content[at - 1])]


# -- the planted models -----------------------------------------------------------------------------


def copy_head(*, seed: int = 0) -> Planted:
    """Answer with the marked token: one head attends to it and writes it to the output."""
    board = Board(seed=seed)
    copies = _copy_marked(board, 2, 3, {"out": GAIN * SAME})
    return board.planted("copy", _prompts(_one_marked, seed=seed), copies=copies, decoy_of="copies")


def previous_token(*, seed: int = 0) -> Planted:
    """Repeat the last two tokens, a b -> a b: one head writes the token before, at both answer positions."""

    def make(draw: np.random.Generator) -> tuple:
        tokens = draw.permutation(np.concatenate([PLAIN, MARKED]))[: draw.integers(6, 14)]
        return tokens, tokens[-2:].tolist(), tokens[:2].tolist()

    board = Board(seed=seed)
    previous = _previous(board, 1, 2, {"out": GAIN * SAME})
    return board.planted("previous", _prompts(make, seed=seed), previous=previous, decoy_of="previous")


def induction_pair(*, seed: int = 0) -> Planted:
    """Go on as before, … a b c … a -> b c (K-composition).

    The first head writes each token's predecessor beside it, wherever it stands; the second attends to where
    its own token is the predecessor. What the first does at the answer positions is read by nobody.
    """

    def make(draw: np.random.Generator) -> tuple:
        tokens = draw.permutation(np.concatenate([PLAIN, MARKED]))[: draw.integers(8, 14)]
        a = draw.integers(1, len(tokens) - 3)
        return [*tokens, tokens[a]], tokens[a + 1 : a + 3].tolist(), tokens[[0, -1]].tolist()

    board = Board(seed=seed)
    previous = _previous(board, 0, 1, {"slot": SAME})
    induction = board.head(
        2, 4, query={"token": SHARP * SAME}, key={"slot": SAME}, value={"token": SAME}, write={"out": GAIN * SAME}
    )
    return board.planted(
        "induction", _prompts(make, seed=seed), previous=previous, induction=induction, decoy_of="induction"
    )


def fact_lookup(*, seed: int = 0) -> Planted:
    """Name the subject's attribute: one head attends to the subject, its OV matrix holds the facts."""
    subjects, attributes, rest = np.arange(4, 12), np.arange(12, 20), np.array([1, 2, 3, 20, 21, 22, 23])
    facts = dict(zip(subjects.tolist(), np.random.default_rng(seed).permutation(attributes).tolist(), strict=True))

    def make(draw: np.random.Generator) -> tuple:
        other, subject = draw.permutation(subjects)[:2].tolist()
        filler = draw.choice(rest, draw.integers(4, 12)).tolist()
        filler.insert(draw.integers(len(filler)), subject)
        return filler, [facts[subject]], [facts[other]]

    board = Board(seed=seed)
    lookup = board.head(
        1, 0, query={}, always=SHARP * _unit(0), key={"token": _onto(subjects, 0)}, value={"token": _each(facts)},
        write={"out": GAIN * SAME},
    )  # fmt: skip
    return board.planted("fact", _prompts(make, seed=seed), lookup=lookup, decoy_of="lookup")


def chain(*, hard: bool = False, seed: int = 0) -> Planted:
    """Look up the value of the name asked for (Q-composition).

    Tokens say "name n is asked for" or "n has value v". The first head moves the name to the answer position,
    the second attends to that name's pair there and writes its value. With `hard` attention its scores are so far
    apart that its softmax is flat where it stands.
    """
    names, values = 4, 3
    asks, pairs, out = 1 + np.arange(names), 5 + np.arange(names * values).reshape(names, values), 17 + np.arange(3)

    def make(draw: np.random.Generator) -> tuple:
        asked, value = draw.integers(names), draw.integers(values, size=names)
        tokens = draw.permutation([asks[asked], *pairs[np.arange(names), value], *[20] * draw.integers(1, 8)])
        right = value[asked]
        return tokens, [int(out[right])], [int(out[(right + 1) % values])]

    board = Board(seed=seed)
    moves = board.head(
        0, 3, query={}, always=SHARP * _unit(0), key={"token": _onto(asks, 0)}, value={"token": SAME},
        write={"slot": SAME},
    )  # fmt: skip
    to_name = {int(pairs[n, v]): int(asks[n]) for n in range(names) for v in range(values)}
    to_value = {int(pairs[n, v]): int(out[v]) for n in range(names) for v in range(values)}
    sharp = 4 * SHARP if hard else SHARP
    reads = board.head(
        3, 5, query={"slot": sharp * SAME}, key={"token": _each(to_name)}, value={"token": _each(to_value)},
        write={"out": GAIN * SAME},
    )  # fmt: skip
    return board.planted(
        "hard chain" if hard else "chain", _prompts(make, seed=seed), moves=moves, reads=reads, decoy_of="reads"
    )


def backup(*, seed: int = 0) -> Planted:
    """Answer with the marked token; a second head copies it only where the first did not.

    The first raises a flag where it wrote. The flag pulls the second's attention to the first token, whose value is
    nothing. Without the flag it attends to the marked token, and copies it more weakly.
    """
    board = Board(seed=seed)
    first = board.head(
        0, 2, query={}, always=SHARP * _unit(0), key={"token": _onto(MARKED, 0)},
        value={"token": UNMARK + _onto(MARKED, BOS)},
        write={"out": GAIN * torch.diag(1 - _unit(BOS)), "flag": _unit(BOS)[:, None]},
    )  # fmt: skip
    second = board.head(
        3, 1, query={"flag": 14 * _unit(1)[None]}, always=SHARP * _unit(0),
        key={"token": _onto(MARKED, 0) + _onto(np.array([BOS]), 1)}, value={"token": UNMARK}, write={"out": 3 * SAME},
    )  # fmt: skip
    return board.planted("backup", _prompts(_one_marked, seed=seed), first=first, backup=second, decoy_of="first")


def interference(*, seed: int = 0) -> Planted:
    """Answer with the marked token: one head writes it, a later one writes against it."""
    board = Board(seed=seed)
    copies = _copy_marked(board, 1, 4, {"out": (GAIN + 3) * SAME})
    interferes = _copy_marked(board, 3, 0, {"out": -3 * SAME})
    return board.planted(
        "interference", _prompts(_one_marked, seed=seed), copies=copies, interferes=interferes, decoy_of="copies"
    )


def duplicates(*, apart: bool = False, seed: int = 0) -> Planted:
    """Answer with the marked token, which two equal heads put into a slot where one is enough.

    Both write 1 into the slot, whose content the MLP of layer 2 writes to the output: nothing up to 1/3, all from 2/3
    on. Each head alone is enough, and the slot of 2 lies where the MLP is flat. They stand in one layer, or `apart` in
    two.
    """
    board = Board(seed=seed)
    one = _copy_marked(board, 1, 0, {"slot": SAME})
    other = _copy_marked(board, 0 if apart else 1, 3, {"slot": SAME})
    board.clip(2, gain=GAIN)
    name = "duplicates apart" if apart else "duplicates"
    return board.planted(name, _prompts(_one_marked, seed=seed), one=one, other=other, decoy_of="one")


CASES: dict[str, Callable[..., Planted]] = {
    "copy": copy_head,
    "previous": previous_token,
    "induction": induction_pair,
    "fact": fact_lookup,
    "chain": chain,
    "hard chain": partial(chain, hard=True),
    "backup": backup,
    "interference": interference,
    "duplicates": duplicates,
    "duplicates apart": partial(duplicates, apart=True),
}
