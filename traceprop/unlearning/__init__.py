"""Taking samples out of a trained model, and saying what the result is worth.

`approximate_unlearn` returns a new model, `record` what was done to make it. The names below are
imported when first used: the table of classes can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

if TYPE_CHECKING:
    from traceprop.unlearning.auditing import Audit as Audit
    from traceprop.unlearning.auditing import audit as audit
    from traceprop.unlearning.left import Left as Left
    from traceprop.unlearning.removal import approximate_unlearn as approximate_unlearn
    from traceprop.unlearning.removal_record import RemovalRecord as RemovalRecord
    from traceprop.unlearning.removal_record import preparation as preparation
    from traceprop.unlearning.removal_record import record as record

_HOMES = {
    "Audit": "traceprop.unlearning.auditing",
    "Left": "traceprop.unlearning.left",
    "RemovalRecord": "traceprop.unlearning.removal_record",
    "approximate_unlearn": "traceprop.unlearning.removal",
    "audit": "traceprop.unlearning.auditing",
    "preparation": "traceprop.unlearning.removal_record",
    "record": "traceprop.unlearning.removal_record",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
