"""Groups of heads replaced together against one plain hooked pass a group, on every architecture."""

import numpy as np
import pytest
import torch

from headatlas.errors import InputError
from headatlas.models.groups import knocked_out
from headatlas.models.sweep import sweep
from tests.tiny import ARCHITECTURES, random_prompts, tiny

GROUPS = [
    [(0, 1)],
    [(0, 0), (0, 2), (2, 3)],
    [],
    [(1, 1), (2, 0)],
    [(2, 2)],
    [(layer, head) for layer in range(3) for head in range(4)],
]


def plainly(model, prompt, group, replacement):
    """The mean log-probability of an answer's token, z of a group replaced by plain hooks where it is predicted."""
    handles, start = [], prompt.answer_start - 1
    for layer, module in enumerate(model.projections):

        def hook(_module, args, layer=layer):
            x = args[0].clone()
            z = x.view(*x.shape[:-1], model.n_heads, model.head_dim)
            for at, head in group:
                if at == layer:
                    z[:, start:, head] = replacement[layer, head].to(z.dtype)
            return (x, *args[1:])

        handles.append(module.register_forward_pre_hook(hook))
    ids = torch.from_numpy(prompt.tokens)[None]
    with torch.no_grad():
        logits = model.model(input_ids=ids[:, :-1]).logits[0, start:]
    for handle in handles:
        handle.remove()
    return torch.log_softmax(logits.double(), -1).gather(1, ids[0, start + 1 :, None]).mean().item()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_equals_one_hooked_pass_a_group(name):
    model = tiny(name, dtype=torch.float64)
    prompts = random_prompts(3, answer=2)
    replacement = torch.randn(3, 4, model.head_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = knocked_out(model, prompts, GROUPS, replacement, metrics=("logprob", "kl"), max_tokens=20)
    for i, prompt in enumerate(prompts):
        plain = plainly(model, prompt, [], replacement)
        expected = [plain - plainly(model, prompt, group, replacement) for group in GROUPS]
        np.testing.assert_allclose(found[i, :, 0], expected, atol=1e-6 if name == "gemma2" else 1e-9)
    assert (found[:, 2] == 0).all(), "an empty group is the model as it is"
    assert (found[:, [0, 1, 3, 4, 5], 1] > 0).all(), "a divergence is given as it is"
    np.testing.assert_allclose(
        found, knocked_out(model, prompts, GROUPS, replacement, metrics=("logprob", "kl")), atol=1e-9
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_prompt_can_have_groups_of_its_own(name):
    model = tiny(name, dtype=torch.float64)
    prompts = random_prompts(3, answer=2)
    replacement = torch.randn(3, 4, model.head_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    removed = np.random.default_rng(0).random((3, 5, 3, 4)) < 0.2
    removed[1, 2] = False
    found = knocked_out(model, prompts, removed, replacement, metrics=("logprob",), max_tokens=20)[..., 0]
    for i, prompt in enumerate(prompts):
        plain = plainly(model, prompt, [], replacement)
        groups = [list(zip(*np.nonzero(own), strict=True)) for own in removed[i]]
        expected = [plain - plainly(model, prompt, group, replacement) for group in groups]
        np.testing.assert_allclose(found[i], expected, atol=1e-6 if name == "gemma2" else 1e-9)
    with pytest.raises(InputError, match=r"mask has shape \(2, 5, 3, 4\), expected \(1 or 3 prompts"):
        knocked_out(model, prompts, removed[:2], replacement)


def test_groups_of_one_are_the_sweep():
    model = tiny("llama", dtype=torch.float64)
    prompts = random_prompts(4)
    replacement = torch.randn(3, 4, model.head_dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    single = [[(layer, head)] for layer in range(3) for head in range(4)]
    found = knocked_out(model, prompts, single, replacement)
    swept = sweep(model, prompts, replacement[None, None]).effect
    np.testing.assert_allclose(found.reshape(swept.shape), swept, atol=1e-9, equal_nan=True)


def test_heads_and_replacements_that_do_not_fit_are_refused():
    model, prompts = tiny("llama"), random_prompts(1)
    with pytest.raises(InputError, match=r"L3H0 does not exist: llama has 3 layers of 4 heads"):
        knocked_out(model, prompts, [[(3, 0)]], torch.zeros(3, 4, 6))
    with pytest.raises(InputError, match=r"shape \(3, 4, 5\), expected \(layers, heads, head_dim\) \(3, 4, 6\)"):
        knocked_out(model, prompts, [[(0, 0)]], torch.zeros(3, 4, 5))
