"""Small real tokenizers trained on the spot, and a tiny model saved with one, for tests that need files."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.tiny import CONFIGS

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
TEXT = [
    "Answer the last question in a few words.",
    "You are given the main question, what is already known, and the part to solve now.",
    'Reply with one JSON object and nothing else, in the form {"answer": "your answer"}.',
    "Anna has three apples and twelve pears. How many does she have in all? Fifteen.",
    "Who went to Paris? Dr. Smith's brother did, didn't he? It cost 1,250.75 euros (about 5%).",
    "Prior knowledge: the quick brown fox jumps over the lazy dog. Main question: why?",
    "naïve café Zürich — “quoted” … 北京 is a city, Привет is a greeting, 😀 is a face.",
] * 4
CHAT = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def _byte_level() -> Tokenizer:
    """As GPT-2 and Llama 3: bytes, no added space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def _byte_level_digits() -> Tokenizer:
    """As SmolLM and Qwen: digits apart, and a <s> before every text."""
    tokenizer = _byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def _metaspace(scheme: str) -> Tokenizer:
    """As Llama 2 and Mistral: SentencePiece BPE, a space put before the text, bytes for unseen characters."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if scheme != "never" else []),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=[*SPECIAL, *bytes_], show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def _unigram() -> Tokenizer:
    """As T5 and Gemma's ancestors: SentencePiece Unigram, normalised, closing every text with </s>."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


KINDS = {
    "byte-level": _byte_level,
    "byte-level, digits apart": _byte_level_digits,
    "metaspace, always": lambda: _metaspace("always"),
    "metaspace, first": lambda: _metaspace("first"),
    "metaspace, never": lambda: _metaspace("never"),
    "unigram": _unigram,
}


def small_tokenizer(kind: str = "byte-level", *, chat: bool = False) -> Any:
    """Return a trained tokenizer of a real kind, with or without a chat template."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=KINDS[kind](),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def save_tiny(folder: Path, *, chat: bool = False, seed: int = 0, context: int = 512) -> Path:
    """Save a tiny random llama and a byte-level tokenizer into `folder`."""
    tokenizer = small_tokenizer(chat=chat)
    torch.manual_seed(seed)
    sizes = {**CONFIGS["llama"][1], "vocab_size": len(tokenizer), "max_position_embeddings": context}
    model = LlamaForCausalLM(LlamaConfig(**sizes))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.normal_(std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
