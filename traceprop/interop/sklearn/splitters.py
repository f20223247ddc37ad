"""Cross-validation splitters: row numbers that know which values decided them.

A splitter that only counts rows (`KFold`, `ShuffleSplit`) gives plain row numbers, and `X[train]`
keeps its rows by them. One that looks at labels or groups gives row numbers as tensors, which rest
on all of these: in which fold a row is was decided by the others too.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

from traceprop.errors import LineageError
from traceprop.interop.sklearn.described import REFUSED, refusals
from traceprop.interop.sklearn.scope import inside, is_librarys
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


def split(splitter: Any, bound: Any, args: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
    """Yield the folds of a splitter: row numbers of the training and of the test rows."""
    given = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
    captured = capture((), given)
    name = type(splitter).__name__
    known = type(splitter).__module__.startswith(_HOME)
    looked_at = LOOKED_AT.get(name, _NAMES) if known else _NAMES
    deciding = {key: given[key] for key in looked_at if isinstance(given.get(key), Tracked)}
    if not captured.inputs:
        yield from bound(*args, **kwargs)
    elif deciding:
        rows = len(next(iter(deciding.values())))
        told = capture((), {key: given[key] for key in looked_at if key in given})
        yield from _folds(_described(splitter, known), told, bound(**captured.kwargs), rows)
    elif is_librarys(1) and _dispatches():  # which turns plain row numbers into unknown ones
        rows = captured.nodes[0].n_rows
        told = capture((), {})
        yield from _folds(_described(splitter, known), told, bound(**captured.kwargs), rows)
    else:
        yield from bound(**captured.kwargs)


def _folds(description: Any, told: Captured, found: Iterator[Any], rows: int) -> Iterator[Any]:
    # A number of rows is told where the folds were counted by it: other rows, other numbers.
    counted = not told.inputs or any(
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


def _described(splitter: Any, known: bool) -> tuple[Any, ...]:
    """Return a splitter in plain values, or the reason why it can't be made again."""
    import sklearn

    name = type(splitter).__name__
    names = inspect.signature(type(splitter)).parameters
    settings = {each: getattr(splitter, each, ...) for each in names}
    plain = all(isinstance(v, (bool, int, float, str, type(None))) for v in settings.values())
    if not known or name not in LOOKED_AT or not plain:
        return (REFUSED, f"nobody knows whether {name} makes the same folds of the same rows")
    if settings.get("random_state", 0) is None and settings.get("shuffle", True):
        return (REFUSED, f"{name} draws numbers: give it random_state= as an int")
    return (sklearn.__version__, name, settings)


def _run(description: Any, rows: int | None, **given: Any) -> list[Any]:
    """Make the folds again."""
    _, name, settings = description
    splitter = getattr(importlib.import_module(_HOME), name)(**settings)
    if not given:
        given = {"X": range(rows or 0)}
    if "X" not in given:
        given["X"] = next(iter(given.values()))
    now = len(next(iter(given.values())))
    if rows is not None and now != rows:
        raise LineageError(
            f"{name} of {rows} rows with sizes that are numbers of rows, as train_test_split gives "
            f"them, can't be made again of {now}: split by shares, as "
            "next(StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(X, y)), or "
            "np.array_split(tp.rng(0).permutation(X), 5)"
        )
    with inside():
        return [list(fold) for fold in splitter.split(**given)]


def _rows(node: Node) -> Edges:
    """In which fold a row is, and how many there are, is decided by all labels or groups."""
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


def _dispatches() -> bool:
    import sklearn

    return bool(sklearn.get_config()["array_api_dispatch"])
