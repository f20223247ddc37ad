"""Taking samples out of a trained model, and saying what the result is worth.

`approximate_unlearn` returns a new model, `record` what was done to make it. The names below are
imported when first used: the table of classes can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

if TYPE_CHECKING:
    from traceprop.unlearning.auditing.against_retraining import Audit as Audit
    from traceprop.unlearning.auditing.against_retraining import audit as audit
    from traceprop.unlearning.auditing.reconstruction import Reconstruction as Reconstruction
    from traceprop.unlearning.auditing.reconstruction import reconstruct as reconstruct
    from traceprop.unlearning.purging.copies import finish_purges as finish_purges
    from traceprop.unlearning.purging.copies import purge as purge
    from traceprop.unlearning.purging.held import HeldRemoval as HeldRemoval
    from traceprop.unlearning.purging.plan import RemovalPlan as RemovalPlan
    from traceprop.unlearning.purging.plan import plan_removal as plan_removal
    from traceprop.unlearning.purging.proof import Purge as Purge
    from traceprop.unlearning.purging.results import finished_removal as finished_removal
    from traceprop.unlearning.records.left import Left as Left
    from traceprop.unlearning.records.removal_record import RemovalRecord as RemovalRecord
    from traceprop.unlearning.records.removal_record import preparation as preparation
    from traceprop.unlearning.records.removal_record import record as record
    from traceprop.unlearning.removal import approximate_unlearn as approximate_unlearn

_HOMES = {
    "Audit": "traceprop.unlearning.auditing.against_retraining",
    "HeldRemoval": "traceprop.unlearning.purging.held",
    "Left": "traceprop.unlearning.records.left",
    "Purge": "traceprop.unlearning.purging.proof",
    "Reconstruction": "traceprop.unlearning.auditing.reconstruction",
    "RemovalPlan": "traceprop.unlearning.purging.plan",
    "RemovalRecord": "traceprop.unlearning.records.removal_record",
    "approximate_unlearn": "traceprop.unlearning.removal",
    "audit": "traceprop.unlearning.auditing.against_retraining",
    "finish_purges": "traceprop.unlearning.purging.copies",
    "finished_removal": "traceprop.unlearning.purging.results",
    "plan_removal": "traceprop.unlearning.purging.plan",
    "preparation": "traceprop.unlearning.records.removal_record",
    "purge": "traceprop.unlearning.purging.copies",
    "reconstruct": "traceprop.unlearning.auditing.reconstruction",
    "record": "traceprop.unlearning.records.removal_record",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
