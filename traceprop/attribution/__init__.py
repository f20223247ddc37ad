"""Which training rows drove a decision: capture of gradients, their store, influence scores.

The names below are imported when first used: a store can be opened and asked without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

if TYPE_CHECKING:
    from traceprop.attribution.context import TrainingContext as TrainingContext
    from traceprop.attribution.forget import ForgetSet as ForgetSet
    from traceprop.attribution.influence import compute_influence_scores as compute_influence_scores
    from traceprop.attribution.projection import Projector as Projector
    from traceprop.attribution.record import TrainingRecord as TrainingRecord
    from traceprop.attribution.store import GradientStore as GradientStore

_HOMES = {
    "ForgetSet": "traceprop.attribution.forget",
    "GradientStore": "traceprop.attribution.store",
    "Projector": "traceprop.attribution.projection",
    "TrainingContext": "traceprop.attribution.context",
    "TrainingRecord": "traceprop.attribution.record",
    "compute_influence_scores": "traceprop.attribution.influence",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
