"""`enable()`: scikit-learn's estimators and functions keep rows, until it is undone."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from traceprop.errors import LineageWarning
from traceprop.interop.sklearn.kinds import VERSIONS
from traceprop.lazy import needing_extras
from traceprop.lineage.recording.escapes import caller

_VARIABLE = "SCIPY_ARRAY_API"


class Switch:
    """What `enable` turned on; undone by `disable`, or at the end of a `with` block.

    Attributes
    ----------
    estimators : bool
        Whether calls of estimators are recorded.
    dispatch : bool
        Whether scikit-learn's functions compute on tensors by array API dispatch.
    notes : tuple of str
        What couldn't be turned on, and what to do about it.
    """

    def __init__(self, dispatch: bool) -> None:
        self.estimators = False
        self.dispatch = False
        self.notes: tuple[str, ...] = ()
        self._before: Any = None
        if dispatch:
            self._turn_dispatch_on()
        self._open()

    def _turn_dispatch_on(self) -> None:
        if not _scipy_dispatches():
            self.notes += (
                f"SciPy was imported without {_VARIABLE}=1, so that functions of scikit-learn and "
                "SciPy take values out of the lineage, which is seen as an escape; estimators keep "
                f"their rows. Start Python with {_VARIABLE}=1 in its environment, or call "
                "tp.sklearn.enable() before SciPy is imported; enable(dispatch=False) does without",
            )
            return
        import sklearn

        self._before = sklearn.get_config()["array_api_dispatch"]
        sklearn.set_config(array_api_dispatch=True)
        self.dispatch = True

    def _open(self) -> None:
        import sklearn

        from traceprop.interop.sklearn.seam import open_seam

        if ".".join(sklearn.__version__.split(".")[:2]) in VERSIONS:
            open_seam()
            self.estimators = True
            return
        self.notes += (
            f"scikit-learn {sklearn.__version__} is none of the versions that Traceprop is tested "
            f"with ({', '.join(VERSIONS)}), so that its estimators take values out of the lineage, "
            "which is seen as an escape; install one of these",
        )

    def disable(self) -> None:
        """Undo what `enable` did, once; estimators hand out plain arrays again."""
        from traceprop.interop.sklearn.seam import close_seam

        if self.dispatch:
            import sklearn

            sklearn.set_config(array_api_dispatch=self._before)
            self.dispatch = False
        if self.estimators:
            close_seam()
            self.estimators = False

    def __enter__(self) -> Switch:
        return self

    def __exit__(self, *raised: object) -> None:
        self.disable()


def enable(*, dispatch: bool = True) -> Switch:
    """Let scikit-learn keep rows: estimators, and its functions by array API dispatch.

    Parameters
    ----------
    dispatch : bool
        Turn scikit-learn's ``array_api_dispatch`` on as well, which needs ``SCIPY_ARRAY_API=1`` in
        the environment before SciPy is imported; where SciPy isn't imported yet, it is set.

    Returns
    -------
    Switch
        Undone by its `disable()`, or by using it in a ``with`` statement.

    Warns
    -----
    LineageWarning
        Where something couldn't be turned on: why, and what to do.

    Raises
    ------
    MissingExtraError
        Where scikit-learn isn't installed.

    Notes
    -----
    It holds for the whole process: dispatch for this thread, as scikit-learn's settings do.

    Examples
    --------
    >>> with tp.sklearn.enable():  # doctest: +SKIP
    ...     X_train = StandardScaler().fit_transform(X_train)
    """
    if "scipy" not in sys.modules and dispatch:
        os.environ.setdefault(_VARIABLE, "1")
    with needing_extras():
        import sklearn  # noqa: F401
    switch = Switch(dispatch)
    for note in switch.notes:
        warnings.warn(f"{note}.", LineageWarning, stacklevel=caller()[2])
    return switch


def _scipy_dispatches() -> bool:
    """Whether SciPy was imported with its array API support on."""
    from scipy._lib import _array_api

    asked = os.environ.get(_VARIABLE) == "1"
    return asked and bool(getattr(_array_api, _VARIABLE, False))
