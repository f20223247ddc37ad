"""What scores are worth: held against what retraining really does.

`lds` (linear datamodeling score) and `leave_one_out` retrain and compare; `left_out_margins` finds
labels that the other samples contradict, and `mislabel_auc` says how well; `tail_patch` trains on
the rows named and sees whether the decision follows. Retrainings are kept in a folder, and an
evaluation that was stopped goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

if TYPE_CHECKING:
    from traceprop.attribution.evaluate.correlation import Agreement as Agreement
    from traceprop.attribution.evaluate.correlation import lds as lds
    from traceprop.attribution.evaluate.correlation import leave_one_out as leave_one_out
    from traceprop.attribution.evaluate.mislabel import left_out_margins as left_out_margins
    from traceprop.attribution.evaluate.mislabel import mislabel_auc as mislabel_auc
    from traceprop.attribution.evaluate.mislabel import self_influence as self_influence
    from traceprop.attribution.evaluate.one_more_step import tail_patch as tail_patch

_HOMES = {
    "Agreement": "traceprop.attribution.evaluate.correlation",
    "lds": "traceprop.attribution.evaluate.correlation",
    "left_out_margins": "traceprop.attribution.evaluate.mislabel",
    "leave_one_out": "traceprop.attribution.evaluate.correlation",
    "mislabel_auc": "traceprop.attribution.evaluate.mislabel",
    "self_influence": "traceprop.attribution.evaluate.mislabel",
    "tail_patch": "traceprop.attribution.evaluate.one_more_step",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
