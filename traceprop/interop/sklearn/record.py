"""What is remembered on an estimator: the operation that fitted it, as long as that holds.

The record is an attribute of the estimator, so that copies and pickles of a fitted estimator keep
it and `sklearn.base.clone` drops it. It counts only while the estimator holds the very objects that
it learned then: one that was fitted again out of sight has no record any more.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from traceprop.lineage.graph.escaped import Escape, note_escape
from traceprop.lineage.graph.node import FIRST, Node, flat, make_node, unflat

ATTRIBUTE: Final = "_traceprop_record"

_remembered: Final[weakref.WeakSet[Any]] = weakref.WeakSet()

Path = tuple[tuple[str, Any], ...]
Learned = tuple[tuple[Any, dict[str, Any]], ...]


class Record:
    """How an estimator was fitted.

    Parameters
    ----------
    node : Node
        Its result is the fitted estimator, or what this one is a part of.
    path : tuple
        From that one to this one, see `steps.follow`.
    description : tuple
        The estimator's parameters when it was fitted.
    learned : tuple
        The estimators in it, each with what it had learned.
    """

    __slots__ = ("description", "learned", "node", "path")

    def __init__(self, node: Node, path: Path, description: Any, learned: Learned) -> None:
        self.node = node
        self.path = path
        self.description = description
        self.learned = learned

    def __reduce__(self) -> Any:
        return _restore, (flat(self.node), self.path, self.description, self.learned)

    def __deepcopy__(self, memo: Any) -> Record:
        return Record(self.node, self.path, self.description, copy.deepcopy(self.learned, memo))

    def fitted(self) -> Node:
        """Return the node whose result is the fitted estimator itself."""
        if not self.path:
            return self.node
        from traceprop.interop.sklearn.steps import PART

        return make_node(PART, (self.node,), (FIRST, self.path), None, (), self.node.dtype)


def _restore(records: Any, path: Path, description: Any, learned: Learned) -> Record:
    return Record(unflat(records), path, description, learned)


class Part(NamedTuple):
    """An estimator, and the way to it from the one that it is in."""

    estimator: Any
    path: Path


def parts(estimator: Any, path: Path = (), seen: set[int] | None = None) -> Iterator[Part]:
    """Yield an estimator and all that it holds, in its attributes and in lists of these."""
    from sklearn.base import BaseEstimator

    seen = set() if seen is None else seen
    if id(estimator) in seen:
        return
    seen.add(id(estimator))
    yield Part(estimator, path)
    stack = [(value, (*path, ("attribute", name))) for name, value in vars(estimator).items()
             if name != ATTRIBUTE]  # fmt: skip
    while stack:
        value, way = stack.pop()
        if isinstance(value, BaseEstimator):
            yield from parts(value, way, seen)
        elif isinstance(value, (list, tuple)):
            stack += [(each, (*way, ("item", i))) for i, each in enumerate(value)]
        elif isinstance(value, dict):
            stack += [(each, (*way, ("item", key))) for key, each in value.items()]


def learned_in(estimator: Any) -> dict[str, Any]:
    """Return what an estimator itself has learned: its attributes that end in ``_``."""
    return {name: value for name, value in vars(estimator).items()
            if name.endswith("_") and not name.startswith("_")}  # fmt: skip


def remember(estimator: Any, node: Node, description: Any) -> None:
    """Note on an estimator, and on those fitted in it, that `node` fitted it."""
    found = list(parts(estimator))
    for part in found:
        inner = part.path
        learned = tuple(
            (each.estimator, learned_in(each.estimator))
            for each in found
            if each.path[: len(inner)] == inner
        )
        # A part that holds what it learned before, as a frozen one, keeps its own record.
        if not inner or (learned_in(part.estimator) and record_of(part.estimator) is None):
            own = description if not inner else None
            _remembered.add(part.estimator)
            vars(part.estimator)[ATTRIBUTE] = Record(node, inner, own, learned)


def forget(estimator: Any) -> None:
    """Take the note of a fit away: another one begins."""
    vars(estimator).pop(ATTRIBUTE, None)


def record_of(estimator: Any) -> Record | None:
    """Return how an estimator was fitted; None where it wasn't on tracked rows, or not only."""
    record: Record | None = vars(estimator).get(ATTRIBUTE)
    if record is None:
        return None
    for each, learned in record.learned:
        now = learned_in(each)
        if now.keys() != learned.keys() or any(now[name] is not learned[name] for name in now):
            return None
    return record


def let_go(filename: str, line: int) -> None:
    """Note that what estimators learned is read as plain numbers from here on: an escape."""
    for estimator in list(_remembered):
        record = vars(estimator).get(ATTRIBUTE)
        if record is not None:
            door = f"what {type(estimator).__name__} learned, after tp.sklearn was turned off"
            note_escape(record.node, Escape(door, filename, line))
    _remembered.clear()
