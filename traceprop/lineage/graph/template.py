"""Working with a call's template: putting values back into it, and finding what stands in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import numpy as np

from traceprop.lineage.graph.node import Constant, Held, Node, Slot

Place = Slot | Held | Constant
_PLACES: Final = (Slot, Held, Constant)


def transform(template: Any, place: Callable[[Place], Any]) -> Any:
    """Return the template with `place(p)` for every slot and kept array in it."""
    if isinstance(template, _PLACES):
        return place(template)
    kind = type(template)  # a Recipe, which is a tuple too, has slots of its own: left alone
    if kind is tuple or kind is list:
        return kind(transform(each, place) for each in template)
    if kind is dict:
        return {name: transform(each, place) for name, each in template.items()}
    return template


def places(template: Any) -> Iterator[Place]:
    """Every slot and kept array in a template."""
    if isinstance(template, _PLACES):
        yield template
    elif type(template) is tuple or type(template) is list:
        for each in template:
            yield from places(each)
    elif isinstance(template, dict):
        for each in template.values():
            yield from places(each)


def slots(template: Any) -> list[int]:
    """Input numbers that stand in a template."""
    return [place.index for place in places(template) if place.index >= 0]


@cache
def _parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the positional parameters, and the defaults of all."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return (), {}
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in parameters if p.kind in positional)
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return names, defaults


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's positional parameters; empty where it doesn't say."""
    return _parameters(function)[0]


def count_needed(function: Callable[..., Any]) -> int:
    """Return how many positional parameters of a function have no default."""
    names, defaults = _parameters(function)
    return sum(name not in defaults for name in names)


def named(node: Node, name: str, default: Any = None) -> Any:
    """Return the parameter called `name` of the node's call, or the function's default."""
    if node.kwargs is not None and name in node.kwargs:
        return node.kwargs[name]
    names, defaults = _parameters(node.op)
    if name in names and names.index(name) < len(node.args):
        return node.args[names.index(name)]
    return defaults.get(name, default)


def argument(node: Node, position: int, name: str, default: Any = None) -> Any:
    """Return an argument of the node's call, given by position or by name."""
    if len(node.args) > position:
        return node.args[position]
    return default if node.kwargs is None else node.kwargs.get(name, default)


def shape_of(node: Node, value: Any) -> tuple[int, ...]:
    """Return the shape of an argument of the node's call, tracked or plain."""
    place = slots(value)
    return node.inputs[place[0]].shape if place else np.shape(value)


def operands(node: Node, count: int = 2) -> list[tuple[int | None, tuple[int, ...]]]:
    """Return the input number (None where plain) and the shape of each of the first arguments."""
    places = ((slots(value), value) for value in node.args[:count])
    return [(place[0] if place else None, shape_of(node, value)) for place, value in places]


def fill(template: Any, inputs: Any) -> Any:
    """Return the template with `inputs[i]` for slot i, and plain arrays as the call got them.

    Raises
    ------
    ChangedArrayError
        When a plain array was written into since.
    """
    return transform(
        template, lambda p: inputs[p.index] if isinstance(p, Slot) or p.index >= 0 else p.read()
    )
