"""Which training rows drove a decision: capture of gradients, their store, influence scores.

The names below are imported when first used: a store can be opened and asked without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

if TYPE_CHECKING:
    from traceprop.attribution.capture.context import TrainingContext as TrainingContext
    from traceprop.attribution.counterfactual import Counterfactual as Counterfactual
    from traceprop.attribution.counterfactual import predict_without as predict_without
    from traceprop.attribution.fitted import fit as fit
    from traceprop.attribution.influence import compute_influence_scores as compute_influence_scores
    from traceprop.attribution.influence_scores import InfluenceMatrix as InfluenceMatrix
    from traceprop.attribution.influence_scores import InfluenceScores as InfluenceScores
    from traceprop.attribution.projection import Projector as Projector
    from traceprop.attribution.question import Loss as Loss
    from traceprop.attribution.sklearn_run import from_sklearn as from_sklearn
    from traceprop.attribution.store.erasure.forget import ForgetSet as ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore as GradientStore
    from traceprop.attribution.store.run.record import TrainingRecord as TrainingRecord

_HOMES = {
    "Counterfactual": "traceprop.attribution.counterfactual",
    "ForgetSet": "traceprop.attribution.store.erasure.forget",
    "GradientStore": "traceprop.attribution.store.gradient_store",
    "InfluenceMatrix": "traceprop.attribution.influence_scores",
    "InfluenceScores": "traceprop.attribution.influence_scores",
    "Loss": "traceprop.attribution.question",
    "Projector": "traceprop.attribution.projection",
    "TrainingContext": "traceprop.attribution.capture.context",
    "TrainingRecord": "traceprop.attribution.store.run.record",
    "compute_influence_scores": "traceprop.attribution.influence",
    "fit": "traceprop.attribution.fitted",
    "predict_without": "traceprop.attribution.counterfactual",
    "from_sklearn": "traceprop.attribution.sklearn_run",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
