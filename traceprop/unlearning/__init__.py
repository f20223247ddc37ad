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
    from traceprop.unlearning.records.left import Left as Left
    from traceprop.unlearning.records.removal_record import RemovalRecord as RemovalRecord
    from traceprop.unlearning.records.removal_record import preparation as preparation
    from traceprop.unlearning.records.removal_record import record as record
    from traceprop.unlearning.removal import approximate_unlearn as approximate_unlearn

_HOMES = {
    "Audit": "traceprop.unlearning.auditing.against_retraining",
    "Left": "traceprop.unlearning.records.left",
    "RemovalRecord": "traceprop.unlearning.records.removal_record",
    "approximate_unlearn": "traceprop.unlearning.removal",
    "audit": "traceprop.unlearning.auditing.against_retraining",
    "preparation": "traceprop.unlearning.records.removal_record",
    "record": "traceprop.unlearning.records.removal_record",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
