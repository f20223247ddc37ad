"""What a recipe is, as one digest: the code that trains, and every value that it was made with.

A training that is kept stands for the recipe that did it. Promise: where the code of the function,
of the functions of its own module that it calls, a default, a value that it closes over or a
setting of that module which it reads has changed, the digest has; what can't be read to the last
bit (an open file, an object of a class) is refused by name. Other modules are taken as they are.
"""

from __future__ import annotations

import hashlib
import inspect
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from traceprop.errors import AttributionError

_PLAIN = (range, slice, PurePath, torch.dtype, torch.device)


def recipe_digest(recipe: Callable[..., Any]) -> str:
    """Return the SHA-256 of a recipe.

    Parameters
    ----------
    recipe : callable
        A function, or a `functools.partial` of one.

    Raises
    ------
    AttributionError
        It is something else, or holds a value that has no digest.
    """
    digest = hashlib.sha256()
    for piece in _pieces(recipe, "the recipe", set()):
        digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _pieces(value: Any, what: str, seen: set[int]) -> Iterator[bytes]:
    """Yield the bytes that make up a value."""
    kind = type(value)
    yield kind.__name__.encode()
    if value is None or kind in (bool, int, float, complex, str, bytes, type(Ellipsis)):
        yield repr(value).encode()
    elif kind in (tuple, list):
        yield str(len(value)).encode()
        for item in value:
            yield from _pieces(item, what, seen)
    elif kind in (set, frozenset):
        yield from sorted(b"".join(_pieces(item, what, seen)) for item in value)
    elif kind is dict:
        yield str(len(value)).encode()
        for key, item in value.items():
            yield from _pieces(key, what, seen)
            yield from _pieces(item, what, seen)
    elif isinstance(value, _PLAIN):
        yield repr(value).encode()
    elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU":
        yield f"{value.dtype} {value.shape}".encode() + value.tobytes()
    elif isinstance(value, types.CodeType):
        yield from _of_code(value, what, seen)
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value, what, seen)
    elif isinstance(value, partial):
        yield from _pieces([value.func, value.args, value.keywords], what, seen)
    elif isinstance(value, types.ModuleType | type | types.BuiltinFunctionType):
        named = getattr(value, "__qualname__", "")
        yield f"{getattr(value, '__module__', '')}.{named}.{value.__name__}".encode()
    else:
        raise AttributionError(
            f"{what} holds a {kind.__name__}, of which nobody can tell whether it is the same next "
            f"time; give a function of numbers, texts and arrays, or leave cache= out"
        )


def _of_code(code: types.CodeType, what: str, seen: set[int]) -> Iterator[bytes]:
    yield code.co_code
    yield " ".join((*code.co_names, *code.co_varnames, *code.co_freevars)).encode()
    yield from _pieces(code.co_consts, what, seen)


def _of_function(function: types.FunctionType, what: str, seen: set[int]) -> Iterator[bytes]:
    wrapped = inspect.unwrap(function)
    if wrapped is not function:
        yield from _pieces(wrapped, what, seen)
    if id(function) in seen:  # one that calls itself
        return
    seen.add(id(function))
    named = f"{function.__module__}.{function.__qualname__}"
    yield named.encode()
    yield from _pieces(function.__code__, named, seen)
    yield from _pieces([function.__defaults__, function.__kwdefaults__], named, seen)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield from _pieces(cell.cell_contents, f"{name} of {named}", seen)
    for name in sorted(set(_names(function.__code__)) & function.__globals__.keys()):
        yield name.encode()
        yield from _of_global(function.__globals__[name], function, f"{name} of {named}", seen)


def _of_global(
    value: Any, reader: types.FunctionType, what: str, seen: set[int]
) -> Iterator[bytes]:
    """Yield what a name of the reader's module stands for: of other modules' things, the name."""
    own = getattr(value, "__module__", None) == reader.__module__
    if isinstance(value, types.FunctionType) and not own:
        yield f"{value.__module__}.{value.__qualname__}".encode()
    elif isinstance(value, type) and own:
        yield value.__qualname__.encode()
        for base in value.__bases__:
            yield from _of_global(base, reader, what, seen)
        for name, item in sorted(vars(value).items()):
            inner = getattr(item, "__func__", getattr(item, "fget", item))
            if isinstance(inner, types.FunctionType) or not name.startswith("__"):
                yield name.encode()
                yield from _pieces(inner, f"{name} of {value.__qualname__}", seen)
    else:
        yield from _pieces(value, what, seen)


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that code and the functions inside it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
