"""Cross-validation splitters: row numbers that know which values decided them.

Row numbers are tensors, and `X[train]` keeps its rows by them. Those of a splitter that only counts
rows (`KFold`, `ShuffleSplit`) rest on no value; where a splitter looks at labels or groups, they
rest on all of these: in which fold a row is was decided by the others too. Either is split anew in
a replay: without rows as the same splitter splits the rest.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from numbers import Integral
from types import CodeType, FrameType
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.interop.sklearn.described import REFUSED, refusals
from traceprop.interop.sklearn.scope import inside
from traceprop.interop.sklearn.steps import FAMILY
from traceprop.lineage.graph.edge import CONTROL, Edge, Edges, extent_of
from traceprop.lineage.graph.node import Node, Op, make_node
from traceprop.lineage.recording.calls import Captured, capture
from traceprop.lineage.recording.tracked import KIND, Tracked, wrap
from traceprop.lineage.registry import EXACT, implements
from traceprop.lineage.rowmap import All

LOOKED_AT: Final[dict[str, tuple[str, ...]]] = {
    "KFold": (),
    "LeaveOneOut": (),
    "LeavePOut": (),
    "PredefinedSplit": (),
    "RepeatedKFold": (),
    "ShuffleSplit": (),
    "TimeSeriesSplit": (),
    "StratifiedKFold": ("y",),
    "StratifiedShuffleSplit": ("y",),
    "RepeatedStratifiedKFold": ("y",),
    "GroupKFold": ("groups",),
    "GroupShuffleSplit": ("groups",),
    "LeaveOneGroupOut": ("groups",),
    "LeavePGroupsOut": ("groups",),
    "StratifiedGroupKFold": ("y", "groups"),
}
"""scikit-learn's splitters, and which of their arguments' values decide the folds."""

_NAMES: Final = ("X", "y", "groups")
_HOME: Final = "sklearn.model_selection"
_SIZES: Final = ("test_size", "train_size")
_BY_DEFAULT: Final = "the share that train_test_split takes by default"
_DEFAULT_SHARE: Final = 0.25


def split(splitter: Any, bound: Any, args: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
    """Yield the folds of a splitter: row numbers of the training and of the test rows."""
    given = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
    captured = capture((), given)
    name = type(splitter).__name__
    known = type(splitter).__module__.startswith(_HOME)
    looked_at = LOOKED_AT.get(name, _NAMES) if known else _NAMES
    deciding = {key: given[key] for key in looked_at if key in given}
    tracked = [key for key in given if isinstance(given[key], Tracked)]
    if not tracked:
        yield from bound(*args, **kwargs)
        return
    if not any(key in tracked for key in deciding):
        deciding = {tracked[0]: given[tracked[0]], **deciding}  # how many rows there are
    told = capture((), deciding)
    description = _described(splitter, known, _shares(sys._getframe(1)))
    yield from _folds(description, told, bound(**captured.kwargs), told.nodes[0].n_rows)


def _shares(frame: FrameType) -> dict[str, Any]:
    """Return the sizes that train_test_split was given, which hands on numbers of rows."""
    if frame.f_code is not splitting_code():
        return {}
    sizes: dict[str, Any] = {name: frame.f_locals[name] for name in _SIZES}
    if all(size is None for size in sizes.values()):
        return {"n_splits": 1, **sizes, _BY_DEFAULT: True}
    if any(isinstance(size, Integral) for size in sizes.values()):
        return {}
    return {"n_splits": 1, **sizes}


def splitting_code() -> CodeType:
    """Return the code of train_test_split, beneath scikit-learn's check of its parameters."""
    function = importlib.import_module(_HOME).train_test_split
    code: CodeType = inspect.unwrap(function).__code__
    return code


def _folds(description: Any, told: Captured, found: Iterator[Any], rows: int) -> Iterator[Any]:
    # A number of rows is told where the folds were counted by it: other rows, other numbers.
    counted = any(
        isinstance(description[2].get(size), int) for size in _SIZES if len(description) > 2
    )
    inputs, template = told.nodes, (description, rows if counted else None)
    item = 0
    while True:
        with inside():
            fold = next(found, None)
        if fold is None:
            return
        numbers = []
        for part in fold:
            node = make_node(
                SPLIT, inputs, template, told.template_kwargs, part.shape, part.dtype, item
            )
            numbers.append(wrap(KIND[0], part, node))
            item += 1
        yield tuple(numbers)


def _described(splitter: Any, known: bool, shares: dict[str, Any]) -> tuple[Any, ...]:
    """Return a splitter in plain values, or the reason why it can't be made again."""
    import sklearn

    name = type(splitter).__name__
    names = inspect.signature(type(splitter)).parameters
    others = getattr(splitter, "cvargs", {})  # of one that repeats another
    settings = {each: getattr(splitter, each, others.get(each, ...)) for each in names}
    settings = {each: _as_plain(value) for each, value in {**settings, **shares}.items()}
    plain = all(isinstance(v, (bool, int, float, str, type(None))) for v in settings.values())
    if known and _draws(settings) and not isinstance(settings["random_state"], int):
        return (REFUSED, f"{name} draws numbers: give it random_state= as an int")
    if not known or name not in LOOKED_AT or not plain:
        return (REFUSED, f"nobody knows whether {name} makes the same folds of the same rows")
    return (sklearn.__version__, name, settings)


def _as_plain(value: Any) -> Any:
    return value.item() if isinstance(value, (np.integer, np.floating)) else value


def _draws(settings: dict[str, Any]) -> bool:
    """Whether a splitter draws random numbers."""
    return "random_state" in settings and settings.get("shuffle", True) is True


def _run(description: Any, rows: int | None, **given: Any) -> list[Any]:
    """Make the folds again."""
    _, name, settings = description
    if _BY_DEFAULT in settings:
        settings = {**settings, "test_size": _DEFAULT_SHARE}
        del settings[_BY_DEFAULT]
    splitter = getattr(importlib.import_module(_HOME), name)(**settings)
    if "X" not in given:
        given["X"] = next(iter(given.values()))
    now = len(next(iter(given.values())))
    if rows is not None and now != rows:
        raise LineageError(
            f"{name} of {rows} rows with sizes that are numbers of rows can't "
            f"be made again of {now}: split by shares, as test_size=0.2"
        )
    with inside():
        return [list(fold) for fold in splitter.split(**given)]


def _rows(node: Node) -> Edges:
    """In which fold a row is, and how many there are, is decided by all labels or groups."""
    description, template = node.args[0], node.kwargs or {}
    if len(description) > 2 and not set(LOOKED_AT[description[1]]) & set(template):
        return []  # of the rows that it takes how many there are
    everything = range(len(node.inputs))
    control = [Edge(i, All(node.n_rows, node.inputs[i].n_rows), CONTROL) for i in everything]
    return [*control, *extent_of(node, everything)]


def _why_not(node: Node) -> str | None:
    import sklearn

    description = node.args[0]
    reason = next(refusals(description), None)
    if reason is None and description[0] != sklearn.__version__:
        return f"scikit-learn was {description[0]} and is {sklearn.__version__} now"
    return reason


SPLIT: Final = Op("folds", _run, _why_not)
implements(SPLIT, family=FAMILY, status=EXACT, shape_from_values=0)(_rows)
