"""PyTorch's forward hooks, as context managers: the only file that registers any.

Each puts hooks on some modules for as long as it is open (`standing_in`: a result in the place of a module's run), and
takes them off whatever happens inside.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

Replace = Callable[[Tensor], Tensor | None]
"""Takes a tensor, returns what replaces it, or None to leave it."""


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what torch.compile made as it is written: code compiled before hooks were there passes them by, silently."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and importing it takes a second
        yield
        return
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def on_first_input(pairs: Iterable[tuple[nn.Module, Replace]], *, keyword: str = "") -> Iterator[None]:
    """Pass the first input of each module through its function; where it comes by name, the input `keyword`."""
    with ExitStack() as stack:
        for module, function in pairs:

            def hook(
                _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], function: Replace = function
            ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
                new = function(args[0] if args else kwargs[keyword])
                if new is None:
                    return None
                return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, keyword: new})

            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


@contextmanager
def on_every_input(modules: Iterable[nn.Module], function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass every tensor that goes into any of `modules` through `function`."""

    def hook(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        new = tuple(function(a) if isinstance(a, Tensor) else a for a in args)
        return new, {k: function(v) if isinstance(v, Tensor) else v for k, v in kwargs.items()}

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


@contextmanager
def on_results(modules: Iterable[nn.Module], function: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Replace what any of `modules` makes of its first input: ``function(module, input, result)``."""

    def hook(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> Tensor:
        return function(module, args[0], result)

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@contextmanager
def noting_results(module: nn.Module, found: list[Any]) -> Iterator[None]:
    """Append to `found` whatever `module` returns."""
    handle = module.register_forward_hook(lambda _module, _args, result: found.append(result))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def noting_calls(module: nn.Module, function: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Tell `function` the arguments by name of every call of `module`, before it runs."""
    names = list(inspect.signature(module.forward).parameters)

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        function({**dict(zip(names, args, strict=False)), **kwargs})

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def standing_in(module: nn.Module, result: Any) -> Iterator[None]:
    """Have `module` return `result` without running."""
    own = vars(module).get("forward")  # wrapped on the instance, as some libraries do
    module.forward = lambda *_, **__: result
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own
