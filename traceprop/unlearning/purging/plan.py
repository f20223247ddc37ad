"""`plan_removal`: what a removal with a purge would do, said before anything is done.

Promise: not one byte of any file changes, the audit log's neither.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.counterfactual import foretell
from traceprop.errors import AttributionError
from traceprop.unlearning.purging.copies import check_purge
from traceprop.unlearning.purging.named_files import NamedFile
from traceprop.unlearning.request.case import Case, case_of

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.erasure import Erasure
    from traceprop.attribution.store.erasure.forget import ForgetSet

_MOST_ASKED = 2000


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a removal is predicted to change, on some training samples.

    Parameters
    ----------
    n : int
        How many samples were asked about.
    n_changed : int
        How many would be decided otherwise.
    margin_change : float
        Mean |change| of their margins.
    unit : str
        `margin`, or `relative` where nothing bounds the error.
    """

    n: int
    n_changed: int
    margin_change: float
    unit: str

    def __str__(self) -> str:
        return (
            f"{self.n_changed} of {self.n} decided otherwise, mean |Δmargin| "
            f"{self.margin_change:.3g} (unit {self.unit})"
        )


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What a removal with a purge would do.

    Parameters
    ----------
    n_samples, n_rows : int
        How many samples would go, and how many source rows name them.
    preprocessing : str
        What would become of the preparation.
    erasure : Erasure
        What would be done to the store's files.
    files : tuple of NamedFile
        And to the files that were named.
    n_bytes : int
        Bytes of all files that would be rewritten, dropped or deleted.
    derived : tuple of str
        What was computed from all rows and would be dropped, to be computed again when asked for.
    forgotten, retained : Foretold or None
        The predicted change on the samples that go, and on some of those that stay; None where
        it can't be predicted.
    holds : tuple of str
        The store's legal holds: with one, nothing would be done.
    """

    n_samples: int
    n_rows: int
    preprocessing: str
    erasure: Erasure
    files: tuple[NamedFile, ...]
    n_bytes: int
    derived: tuple[str, ...]
    forgotten: Foretold | None
    retained: Foretold | None
    holds: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"Dry run: {self.n_samples} samples ({self.n_rows} source rows) would be removed. "
            f"Nothing was changed.",
            *(f"HELD       {hold}: nothing would be done" for hold in self.holds),
            self.preprocessing,
            str(self.erasure),
            *map(str, self.files),
            f"{self.n_bytes} bytes would be rewritten or removed.",
        ]
        if self.derived:
            lines.append(f"To be computed again when asked for: {', '.join(self.derived)}.")
        for what, found in (("removed", self.forgotten), ("remaining", self.retained)):
            lines.append(f"Predicted, {what} samples: {found or 'not known'}")
        return "\n".join(lines)


def plan_removal(
    model: Any,
    forget_set: ForgetSet,
    *,
    checkpoints: Iterable[str | os.PathLike[str]] = (),
    keep: Mapping[str | os.PathLike[str], str] | None = None,
    replay: bool | None = None,
) -> RemovalPlan:
    """Say what `approximate_unlearn(..., purge=True)` would do: its dry run.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    forget_set : ForgetSet
        The samples to remove.
    checkpoints, keep, replay
        As for `approximate_unlearn`.

    Returns
    -------
    RemovalPlan
        Print it. Its predictions are those of `predict_without`, on the training samples.

    Raises
    ------
    UnlearnError, StoreError, ModelError, DataError
        What the removal itself would be refused for.

    Examples
    --------
    >>> print(plan_removal(model, forget_set, checkpoints=["epoch-9.pt"]))  # doctest: +SKIP
    Dry run: 2 samples (2 source rows) would be removed. Nothing was changed. …
    """
    case = case_of(model, forget_set, None, replay)
    erasure, files = check_purge(
        forget_set, checkpoints, keep or {}, new_pipeline=case.prepared.pipeline is not None
    )
    store = forget_set.store
    # A dropped file is listed as "path: why".
    names = [name.partition(":")[0] for name in (*erasure.rewritten, *erasure.dropped)]
    size = sum((store.path / name).stat().st_size for name in names)
    return RemovalPlan(
        n_samples=len(case.forget),
        n_rows=sum(len(rows) for rows in forget_set.rows.values()),
        preprocessing=case.prepared.said,
        erasure=erasure,
        files=files,
        n_bytes=size + sum(each.size for each in files if each.done != "kept"),
        derived=tuple(store.info()["derived"]),
        forgotten=_foretold(case, forget_set, case.forget[:_MOST_ASKED]),
        retained=_foretold(case, forget_set, case.retain[:_MOST_ASKED]),
        holds=store.holds,
    )


def _foretold(case: Case, forget_set: ForgetSet, rows: Any) -> Foretold | None:
    try:
        found, _ = foretell(case.module, case.store, case.problem.inputs[rows], samples=forget_set)
    except AttributionError:  # the minimum can't be found, or no question fits the outputs
        return None
    moved = float(np.abs(found.margins_without - found.margins).mean())
    return Foretold(len(rows), int(found.changed.sum()), moved, found.quality.unit)
