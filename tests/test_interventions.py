"""Interventions against a plain hook: in forward and generate, on padded batches, a row an edit; as values."""

import numpy as np
import pytest
import torch

from headatlas.errors import InputError
from headatlas.interventions import (
    Mask,
    Mean,
    Resample,
    Rows,
    Scale,
    Steer,
    load_intervention,
    random_direction,
    steering_direction,
)
from tests.saved import save_tiny
from tests.tiny import ARCHITECTURES, VOCAB, tiny

DOUBLE = torch.float64
HEADS = ((0, 1), (2, 3), (0, 2))


def vectors(model, rows=3, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, model.head_dim)).astype(np.float32)


def every_kind(model, **where):
    items = np.random.default_rng(1).normal(size=(4, len(HEADS), model.head_dim)).astype(np.float32)
    return {
        "mask": Mask(HEADS, **where),
        "scale": Scale(HEADS, 1.7, **where),
        "mean": Mean(HEADS, vectors(model), **where),
        "resample": Resample(HEADS, items, 3, **where),
        "steer": Steer(HEADS, vectors(model), 2.5, **where),
    }


def by_hand(kind, edit, z, i):
    """What head i of an edit becomes, written out once more."""
    if kind == "mask":
        return z * 0
    if kind == "scale":
        return z * 1.7
    if kind == "mean":
        return z * 0 + torch.tensor(edit.reference[i], dtype=z.dtype)
    if kind == "resample":
        drawn = np.random.default_rng(3).integers(4)
        return z * 0 + torch.tensor(edit.reference[drawn, i], dtype=z.dtype)
    return z + 2.5 * torch.tensor(edit.direction[i], dtype=z.dtype)


def plain_hooks(model, change):
    """Register one plain hook a layer: ``change(layer, z)``; return the handles."""
    handles = []
    for layer, module in enumerate(model.projections):

        def hook(_module, args, layer=layer):
            x = args[0].clone()
            z = x.view(*x.shape[:-1], model.n_heads, model.head_dim)
            change(layer, z)
            return (x, *args[1:])

        handles.append(module.register_forward_pre_hook(hook))
    return handles


def hooked(model, change, run):
    handles = plain_hooks(model, change)
    try:
        with torch.no_grad():
            return run()
    finally:
        for handle in handles:
            handle.remove()


def tokens(rows=2, length=9, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(3, VOCAB, (rows, length)))


@pytest.mark.parametrize("kind", ["mask", "scale", "mean", "resample", "steer"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_edit_equals_a_plain_hook_and_leaves_the_model_as_it_was(name, kind):
    model = tiny(name, dtype=DOUBLE)
    edit, ids = every_kind(model)[kind], tokens()

    def run():
        with torch.no_grad():
            return model.model(input_ids=ids).logits

    def change(layer, z):
        for i, (at, head) in enumerate(HEADS):
            if at == layer:
                z[:, :, head] = by_hand(kind, edit, z[:, :, head], i)

    plain = run()
    expected = hooked(model, change, run)
    with model.edit(edit):
        found = run()
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert (found - plain).abs().max() > 1e-4
    torch.testing.assert_close(run(), plain, atol=0, rtol=0)
    assert not model.model._forward_pre_hooks and not any(p._forward_pre_hooks for p in model.projections)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "falcon"])
def test_at_the_answer_the_last_token_that_is_no_padding_is_edited(name, side):
    model = tiny(name, dtype=DOUBLE)
    ids, lengths = tokens(3, 8), (8, 5, 3)
    mask = torch.zeros_like(ids)
    for row, n in enumerate(lengths):
        mask[row, -n:] = 1 if side == "left" else 0
        mask[row, :n] = 1 if side == "right" else mask[row, :n]
    last = [7, 7, 7] if side == "left" else [n - 1 for n in lengths]

    def run():
        with torch.no_grad():
            return model.model(input_ids=ids, attention_mask=mask).logits

    def change(layer, z):
        for row, at in enumerate(last):
            for where, head in HEADS:
                if where == layer:
                    z[row, at, head] = 0

    expected = hooked(model, change, run)
    with model.edit(Mask(HEADS, positions="answer")):
        found = run()
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-9, rtol=1e-9)
    at = ([0, 1, 2], last)
    assert (found[at] - run()[at]).abs().max() > 1e-5
    before = real.clone()
    before[at] = False
    if side == "left":
        torch.testing.assert_close(found[before], run()[before], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("how", ["greedy", "sampled", "beams", "without cache"])
@pytest.mark.parametrize("positions", ["all", "answer"])
def test_it_holds_in_generate_as_a_plain_hook_would(how, positions):
    model = tiny("llama", dtype=DOUBLE)
    ids, mask = tokens(2, 7), torch.ones(2, 7, dtype=torch.long)
    mask[1, :3] = 0  # padded on the left, as generate wants it
    more = {
        "greedy": {},
        "sampled": {"do_sample": True, "top_k": 0, "num_return_sequences": 3},
        "beams": {"num_beams": 3, "num_return_sequences": 2},
        "without cache": {"use_cache": False},
    }[how]

    def run():
        torch.manual_seed(5)
        return model.model.generate(
            ids, attention_mask=mask, max_new_tokens=6, min_new_tokens=6, pad_token_id=0, do_sample=False, **more
        ) if "do_sample" not in more else model.model.generate(
            ids, attention_mask=mask, max_new_tokens=6, min_new_tokens=6, pad_token_id=0, **more
        )  # fmt: skip

    def change(layer, z):
        for at, head in HEADS:
            if at == layer:
                where = slice(None) if positions == "all" else slice(-1, None)
                z[:, where, head] = z[:, where, head] * -2.0

    plain = run()
    expected = hooked(model, change, run)
    with model.edit(Scale(HEADS, -2.0, positions=positions)):
        found = run()
    assert found.tolist() == expected.tolist()
    assert found.tolist() != plain.tolist() and run().tolist() == plain.tolist()


@pytest.mark.parametrize("more", [{}, {"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}])
def test_every_row_carries_its_own_edit_in_beams_too(more):
    model = tiny("llama", dtype=DOUBLE)
    ids = tokens(3, 7)
    edits = (Mask(HEADS), None, Scale(((1, 0),), 3.0) | Mask(((2, 2),), positions="answer"))

    def run(rows):
        return model.model.generate(
            rows, attention_mask=torch.ones_like(rows), max_new_tokens=5, min_new_tokens=5, do_sample=False,
            pad_token_id=0, **more,
        )  # fmt: skip

    with model.edit(Rows(edits)):
        together = run(ids)
    each = []
    for row, edit in zip(ids, edits, strict=True):
        if edit is None:
            each.append(run(row[None]))
        else:
            with model.edit(edit):
                each.append(run(row[None]))
    assert together.tolist() == torch.cat(each).tolist()
    assert together.tolist() != run(ids).tolist()


def test_a_mask_of_positions_says_where_in_the_prompt_and_every_new_token_is_edited():
    model = tiny("llama", dtype=DOUBLE)
    ids = tokens(2, 6)
    where = np.array([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]], bool)

    def run():
        return model.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=5,
            min_new_tokens=5,
            do_sample=False,
            pad_token_id=0,
        )

    def change(layer, z):
        for at, head in HEADS:
            if at == layer:
                part = torch.from_numpy(where) if z.shape[1] == 6 else torch.ones(2, 1, dtype=torch.bool)
                z[:, :, head] = torch.where(part[..., None], 0.0, z[:, :, head])

    expected = hooked(model, change, run)
    with model.edit(Mask(HEADS, positions=where)):
        assert run().tolist() == expected.tolist()
    with model.edit(Mask(HEADS, positions=where[:, :5])), pytest.raises(InputError, match="2 rows x 5 positions"):
        run()
    with model.edit(Rows((None, Mask(HEADS), None))), pytest.raises(InputError, match="edits for 3 rows"):
        run()
    assert not any(p._forward_pre_hooks for p in model.projections)


def test_edits_compose_in_order_nest_and_are_undone_by_their_inverse():
    model = tiny("llama", dtype=DOUBLE)
    ids = tokens()

    def run():
        with torch.no_grad():
            return model.model(input_ids=ids).logits

    steer, scale = Steer(HEADS, vectors(model), 2.0), Scale(HEADS, 3.0)
    with model.edit(steer | scale):
        both = run()
    with model.edit(steer), model.edit(scale):
        torch.testing.assert_close(run(), both, atol=0, rtol=0)
    with model.edit(scale | steer):
        assert (run() - both).abs().max() > 1e-3, "order matters"
    with model.edit((steer | scale) | (steer | scale).inverse):
        torch.testing.assert_close(run(), tiny("llama", dtype=DOUBLE).model(input_ids=ids).logits, atol=1e-9, rtol=1e-9)
    for gone in (Mask(HEADS), Mean(HEADS, vectors(model)), Scale(HEADS, 0.0), steer | Mask(((1, 1),))):
        with pytest.raises(InputError, match="can't be undone"):
            _ = gone.inverse
    with pytest.raises(ZeroDivisionError), model.edit(scale):
        raise ZeroDivisionError
    torch.testing.assert_close(run(), tiny("llama", dtype=DOUBLE).model(input_ids=ids).logits, atol=0, rtol=0)


def test_it_holds_in_a_compiled_model_whenever_that_was_compiled():
    model, ids = tiny("llama"), tokens()
    compiled = torch.compile(model.model, backend="eager")  # traces and guards as any backend
    with torch.no_grad():
        plain = compiled(input_ids=ids).logits
        with model.edit(Mask(HEADS)):
            masked, found = model.model(input_ids=ids).logits, compiled(input_ids=ids).logits
        torch.testing.assert_close(found, masked, atol=1e-5, rtol=1e-5)
        assert (masked - plain).abs().max() > 1e-2
        torch.testing.assert_close(compiled(input_ids=ids).logits, plain, atol=0, rtol=0)


def test_it_holds_in_a_pipeline(tmp_path):
    from transformers import pipeline

    import headatlas as ha

    model = ha.load_model(str(save_tiny(tmp_path / "tiny")))
    pipe = pipeline("text-generation", model=model.model, tokenizer=model.tokenizer, device="cpu")

    def run(prompts):
        found = pipe(prompts, max_new_tokens=5, do_sample=False, return_full_text=False, batch_size=2)
        return [one[0]["generated_text"] for one in found]

    prompts = ["Anna has a red ball.", "Who?"]
    plain = run(prompts)
    with model.edit(Scale(HEADS, -3.0)):
        edited = run(prompts)
        assert edited == [run([one])[0] for one in prompts], "padded or not"
    assert edited != plain and run(prompts) == plain


def test_values_are_equal_printed_saved_and_loaded(tmp_path):
    model = tiny("llama")
    for kind, edit in every_kind(model, positions="answer").items():
        whole = Rows((edit, None, edit | Scale(((1, 3),), 0.5, positions=np.array([[True, False]]))))
        loaded = load_intervention(whole.save(tmp_path / f"{kind}.json"))
        assert loaded == whole and hash(loaded) == hash(whole) and str(loaded) == str(whole)
        assert loaded != edit and edit.heads_touched == tuple(sorted(HEADS))
    assert str(Mask(HEADS) | Scale(((1, 3),), 0.5)) == "Mask(L0H1, L2H3, L0H2) | Scale(L1H3, 0.5)"
    assert "(9 heads)" in str(Mask(tuple((0, h) for h in range(9)))) and "at answer" in str(edit)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: Mask(()), "of no heads does nothing"),
        (lambda m: Mask(((0, 1), (0, 1))), "L0H1 is named twice"),
        (lambda m: Mask(HEADS, positions="last"), "Unknown positions 'last'. Give all, answer"),
        (lambda m: Scale(HEADS, float("nan")), "A factor of nan"),
        (lambda m: Mean(HEADS, vectors(m, 2)), "Mean of 3 heads got vectors of 2"),
        (lambda m: Mask(HEADS) | Scale(((2, 3),), 2.0), r"L2H3 is edited twice: Mask\(.*\) and Scale\(L2H3, 2\)"),
        (lambda m: Rows(()), "Rows of no edits"),
        (lambda m: Rows((Rows((Mask(HEADS),)),)), "can't itself be for rows"),
        (lambda m: m.edit(Mask(((3, 0),))).__enter__(), "L3H0 does not exist: llama has layers 0 to 2"),
        (lambda m: m.edit(Mean(HEADS, np.zeros((3, 5), np.float32))).__enter__(), "5 dimensions a head; llama has 6"),
        (lambda m: steering_direction(np.zeros((1, 2, 2, 2)), np.zeros((4, 2, 2, 2))), "two items or more"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make(tiny("llama"))


def test_rows_may_edit_one_head_each_in_its_own_way():
    Rows((Mask(HEADS), Scale(HEADS, 2.0)))


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "mask"}', '{"kind": "melt", "heads": [[0, 1]]}', "[1]"])
def test_a_file_that_holds_no_intervention_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"no intervention|as an intervention|Unknown intervention 'melt'"):
        load_intervention(tmp_path / "x.json")
    with pytest.raises(InputError, match="can't be read as an intervention"):
        load_intervention(tmp_path / "nothing.json")


def test_a_direction_leads_from_one_set_to_the_other_and_is_as_long_as_items_spread():
    draw = np.random.default_rng(0)
    away = draw.normal(size=(400, 2, 3, 5))
    towards = draw.normal(size=(400, 2, 3, 5))
    towards[..., 0] += 3
    direction = steering_direction(towards, away)
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    assert (unit[..., 0] > 0.98).all()
    along = np.einsum("ilhd,lhd->ilh", np.concatenate([towards, away]), unit).std(0)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), along, rtol=1e-5)
    other = random_direction(direction, seed=1)
    np.testing.assert_allclose(np.linalg.norm(other, axis=-1), np.linalg.norm(direction, axis=-1), rtol=1e-5)
    assert np.abs((other * direction).sum(-1)).max() < np.square(direction).sum(-1).max()
    assert (steering_direction(away, away) == 0).all(), "no difference, no direction"
