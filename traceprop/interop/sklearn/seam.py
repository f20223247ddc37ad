"""The one seam to scikit-learn: what is read from an estimator passes here while it is open.

`BaseEstimator.__getattribute__` is Python's own hook on scikit-learn's public base class. A method
that is read from outside is one that records (`calls.run`), an attribute that was learned is a
tensor; scikit-learn's own code, and all that runs inside a recorded call, reads what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from threading import Lock
from types import MethodType
from typing import Any, Final

from traceprop.interop.sklearn.calls import run
from traceprop.interop.sklearn.learned import learned
from traceprop.interop.sklearn.record import ATTRIBUTE, let_go
from traceprop.interop.sklearn.scope import is_inside, is_librarys
from traceprop.interop.sklearn.splitters import split, splitting_code
from traceprop.lineage.graph.callers import counts_are_recorded
from traceprop.lineage.recording.escapes import caller

_NOT_DATA: Final = frozenset(
    {"get_params", "set_params", "set_output", "get_metadata_routing", "get_feature_names_out"}
)
_plain: Final = object.__getattribute__
_lock: Final = Lock()
_open: Final[list[int]] = [0]  # how many switches hold it open


def _read(estimator: Any, name: str) -> Any:
    value = _plain(estimator, name)
    if name[0] == "_" or is_inside():
        return value
    if type(value) is MethodType:
        if name in _NOT_DATA or name.endswith("_request"):
            return value
        return _recording(estimator, name, value)
    if name[-1] == "_" and ATTRIBUTE in _plain(estimator, "__dict__") and not is_librarys(1):
        return learned(estimator, name, value)
    return value


def _recording(estimator: Any, name: str, bound: MethodType) -> Callable[..., Any]:
    @wraps(bound)
    def method(*args: Any, **kwargs: Any) -> Any:
        return run(estimator, name, bound, args, kwargs)

    method.__self__ = estimator  # type: ignore[attr-defined]
    method.__func__ = bound.__func__  # type: ignore[attr-defined]
    return method


def _read_splitter(splitter: Any, name: str) -> Any:
    value = _plain(splitter, name)
    if name != "split" or is_inside():
        return value

    @wraps(value)
    def method(*args: Any, **kwargs: Any) -> Iterator[Any]:
        return split(splitter, value, args, kwargs)

    return method


def _hooks() -> dict[type, Callable[[Any, str], Any]]:
    """Return scikit-learn's base classes, each with what reads its attributes."""
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
    from sklearn.model_selection._split import _RepeatedSplits  # of the versions of `VERSIONS`

    return {
        BaseEstimator: _read,
        BaseCrossValidator: _read_splitter,
        BaseShuffleSplit: _read_splitter,
        _RepeatedSplits: _read_splitter,
    }


def open_seam() -> None:
    """Let every estimator and splitter of this process record, until `close_seam`."""
    with _lock:
        _open[0] += 1
        for kind, read in _hooks().items():
            kind.__getattribute__ = read  # type: ignore[method-assign,assignment]
        counts_are_recorded(splitting_code(), True)


def close_seam() -> None:
    """Undo one `open_seam`."""
    with _lock:
        _open[0] -= 1
        if not _open[0]:
            for kind in _hooks():
                del kind.__getattribute__
            counts_are_recorded(splitting_code(), False)
            let_go(*caller()[:2])
