"""Methods as they are typed: "ablation(by=zero, positions=all), probe(refits=8)".

1. Names stand between commas; parameters in parentheses after a name, as Python would write them; words need no quotes.
2. A parameter that the method does not have, or a value of another kind than its default, is refused with what there
   is.
3. `named` tells the methods of one run apart: by name, and by settings where a name comes twice.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from headatlas._registry import suggest
from headatlas.errors import InputError
from headatlas.methods.base import Method, methods

EXAMPLE = 'Give e.g. "ablation(by=zero, positions=all)".'


def parse_methods(text: str) -> list[Method]:
    """Return the methods that `text` names, with their settings.

    Raises
    ------
    InputError
        An unknown method or parameter, a value of the wrong kind, or parentheses that do not close.
    """
    found, start, depth = [], 0, 0
    for at, letter in enumerate(f"{text},"):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            if one := text[start:at].strip():
                found.append(_method(one))
            start = at + 1
        if depth < 0:
            break
    if depth:
        raise InputError(f"The parentheses of '{text}' do not close. {EXAMPLE}")
    return found


def _method(text: str) -> Method:
    """Return the method that ``name(parameter=value, …)`` says."""
    name, opened, inside = text.partition("(")
    make = methods.get(name.strip())
    plain = make()
    if not opened:
        return plain
    if not inside.endswith(")"):
        raise InputError(f"'{text}' does not end with its parentheses. {EXAMPLE}")
    defaults = {f.name: f.default for f in fields(plain) if f.init}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for key, value in _parameters(inside[:-1], text):
        if key not in defaults:
            there = suggest(key, list(defaults)) if defaults else " It has none."
            raise InputError(f"Method '{name.strip()}' has no parameter '{key}'.{there}")
        given[key] = _checked(key, value, defaults[key], name.strip())
    return make(**given)


def _parameters(inside: str, text: str) -> list[tuple[str, Any]]:
    """Return the parameters between the parentheses."""
    try:
        call = ast.parse(f"f({inside})", mode="eval").body
    except (SyntaxError, ValueError):
        call = None
    keys = [k.arg for k in call.keywords] if isinstance(call, ast.Call) else []
    if not isinstance(call, ast.Call) or call.args or None in keys or len(set(keys)) < len(keys):
        raise InputError(f"'{text}' can't be read. {EXAMPLE}")
    out = []
    for keyword in call.keywords:
        if isinstance(keyword.value, ast.Name):  # a word; True, False and None are constants
            out.append((str(keyword.arg), keyword.value.id))
            continue
        try:
            out.append((str(keyword.arg), ast.literal_eval(keyword.value)))
        except ValueError:
            raise InputError(f"'{keyword.arg}' of '{text}' is no number, word or list of them. {EXAMPLE}") from None
    return out


def _checked(key: str, value: Any, default: Any, name: str) -> Any:
    """Return `value` if it is of the kind of the default."""
    if isinstance(value, list):
        value = tuple(value)
    if default is MISSING or default is None:
        return value
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise InputError(f"'{key}' of method '{name}' is {value!r}; its default is {default!r}. Give one of that kind.")
    return float(value) if isinstance(default, float) else value


def named(chosen: Sequence[Method]) -> dict[str, Method]:
    """Return the methods of a run by the names that their parts of the atlas get, in order.

    Raises
    ------
    InputError
        The same method with the same settings, twice.
    """
    ids = [m.id for m in chosen]
    result: dict[str, Method] = {}
    for method, own in zip(chosen, ids, strict=True):
        settings = ", ".join(f"{k}={v}" for k, v in method.settings().items())
        name = f"{own}({re.sub(r'[/]', '-', settings)})" if ids.count(own) > 1 and settings else own
        if name in result:
            raise InputError(f"A method is given twice: {', '.join(ids)}. Name each once, or in another setting.")
        result[name] = method
    return result
