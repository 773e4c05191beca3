"""A stock Llama whose heads' roles are known, because its weights are written by hand.

Two layers of four query heads on two KV heads (GQA: heads 0 and 1 read KV head 0). The residual stream holds, side by
side, three flags (1 everywhere, "opening token", "the answer word"), the token's code, the code of the token before,
and what the model says next. Codes are random signs, nearly orthogonal. All MLPs are zero.

======= ================ ==================================================================================
head    role             how
======= ================ ==================================================================================
L0H1    previous token   query and key are constant; RoPE turns them so that they meet one position apart
L0H2    duplicate token  the token's code against the token's code, and a penalty on distance 0
L1H0    sink             looks for the "opening token" flag
L1H1    retrieval        looks for the "answer word" flag
L1H3    induction        the token's code against the code of the token before, which L0H1 wrote
others  none             their query is zero: even attention
======= ================ ==================================================================================

RoPE's base is so large that its upper pairs turn by nothing: codes are compared there, wherever the tokens stand.
"""

from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from headatlas.models.head_model import HeadModel
from headatlas.prompts import templates
from headatlas.questions.schema import Question, QuestionSet, Step

PLANTED = {
    "previous_token": (0, 1),
    "duplicate_token": (0, 2),
    "induction": (1, 3),
    "first_token_sink": (1, 0),
    "retrieval": (1, 1),
}
"""Role -> the head that has it, alone."""

OPENING, UNKNOWN, ANSWER = "[START]", "[UNK]", "gold"
CODE, HEAD_DIM, BASE = 40, 64, 1e20
SELF, BEFORE, SAYS = slice(3, 3 + CODE), slice(3 + CODE, 3 + 2 * CODE), slice(3 + 2 * CODE, 3 + 3 * CODE)
WIDTH = 128
STATIC = np.r_[HEAD_DIM // 2 - CODE // 2 : HEAD_DIM // 2, HEAD_DIM - CODE // 2 : HEAD_DIM]
"""Dimensions of a head that RoPE leaves alone: the upper half of each of its two blocks."""
TURNED = 4
"""Pairs of dimensions that RoPE turns fast enough to tell positions apart."""


def planted_questions(n: int = 12) -> QuestionSet:
    """Return passages in whose needle alone the answer word stands."""
    animals = ("hen", "cow", "pig", "dog", "cat", "fox", "owl", "ant", "bee", "rat", "bat", "eel")
    tools = ("saw", "axe", "jug", "pot", "pan", "cup", "box", "bag", "net", "rod", "mug", "fan")
    questions = []
    for i in range(n):
        hay = [f"The {animals[(i + k) % 12]} sees the {tools[(i * 5 + k) % 12]} number{i}." for k in range(3)]
        needle = f"The {animals[i % 12]} hides gold under stone{i}."
        step = Step(subquestion=f"What hides under stone{i}?", answer=ANSWER, function="retrieval")
        questions.append(Question(id=f"q{i}", question=" ".join([*hay, needle]), steps=(step,), chain=False))
    return QuestionSet(tuple(questions), "planted")


def planted_tokenizer(questions: QuestionSet, *, fillers: int = 200) -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token a word (its space included), and `fillers` that stand in no text."""
    split = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]+|\s"), "isolated")
    form = templates.get("short")
    texts = [form.message, form.opening, f" {ANSWER}", "\n"]
    texts += [q.question for q in questions.questions] + [" " + s for q in questions.questions for s in [q.question]]
    texts += ["Q: " + q.steps[0].subquestion for q in questions.questions]
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {w: i for i, w in enumerate([UNKNOWN, OPENING, *words, *(f"filler{i}" for i in range(fillers))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, bos_token=OPENING)
    fast.chat_template = "{{ bos_token }}{{ messages[0]['content'] }}\n"
    return fast


def planted_model(*, seed: int = 0, dtype: torch.dtype = torch.float32) -> HeadModel:
    """Return the model of the module's table, with its tokenizer."""
    tokenizer = planted_tokenizer(planted_questions())
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=HEAD_DIM, intermediate_size=8, max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": BASE}, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(dtype).eval()
    codes = np.random.default_rng(seed).choice([-1.0, 1.0], (len(tokenizer), CODE)) / CODE**0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        _write(model, codes, tokenizer)
    return HeadModel(model, tokenizer, "planted-roles")


def _write(model: Any, codes: np.ndarray, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the embedding, both layers' attention and the output layer."""
    embedding = np.zeros((len(codes), WIDTH))
    embedding[:, 0] = 1
    embedding[tokenizer.bos_token_id, 1] = 1
    embedding[tokenizer.convert_tokens_to_ids(f" {ANSWER}"), 2] = 1
    embedding[:, SELF] = codes
    _set(model.model.embed_tokens, embedding)
    unembedding = np.zeros_like(embedding)
    unembedding[:, SAYS] = codes
    _set(model.lm_head, unembedding)

    angle = BASE ** (-2 * np.arange(TURNED) / HEAD_DIM)
    one_back = np.zeros(HEAD_DIM)
    one_back[:TURNED], one_back[HEAD_DIM // 2 : HEAD_DIM // 2 + TURNED] = np.cos(angle), -np.sin(angle)
    here = (np.arange(HEAD_DIM) < TURNED).astype(float)

    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    query, key, value, out = _blank()
    query[1, :, 0] = 3 * one_back
    key[0, :, 0] = here
    value[0, :CODE, SELF] = out[1, BEFORE, :CODE] = np.eye(CODE)
    query[2, STATIC, SELF] = 12 * np.eye(CODE)
    query[2, :, 0] = -0.5 * here
    key[1, STATIC, SELF] = np.eye(CODE)
    key[1, :, 0] = here
    _set_attention(first, query, key, value, out)

    query, key, value, out = _blank()
    query[0, STATIC[0], 0] = query[1, STATIC[1], 0] = 40
    key[0, STATIC[0], 1] = key[0, STATIC[1], 2] = 1
    value[:, :CODE, SELF] = np.eye(CODE)
    query[3, STATIC, SELF] = 20 * np.eye(CODE)
    key[1, STATIC, BEFORE] = np.eye(CODE)
    out[1, SAYS, :CODE], out[3, SAYS, :CODE] = 3 * np.eye(CODE), np.eye(CODE)
    _set_attention(second, query, key, value, out)


def _blank() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return zero weights: query (head, dim, width), key and value (KV head, dim, width), out (head, width, dim)."""
    return tuple(np.zeros(s) for s in ((4, HEAD_DIM, WIDTH), *[(2, HEAD_DIM, WIDTH)] * 2, (4, WIDTH, HEAD_DIM)))  # type: ignore[return-value]


def _set_attention(attention: Any, query: np.ndarray, key: np.ndarray, value: np.ndarray, out: np.ndarray) -> None:
    for name, weight in (("q_proj", query), ("k_proj", key), ("v_proj", value)):
        _set(getattr(attention, name), weight.reshape(-1, WIDTH))
    _set(attention.o_proj, out.transpose(1, 0, 2).reshape(WIDTH, -1))


def _set(module: Any, weight: np.ndarray) -> None:
    module.weight.copy_(torch.from_numpy(weight))
