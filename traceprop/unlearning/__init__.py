"""Taking samples out of a trained model, and saying what the result is worth.

`approximate_unlearn` returns a new model, `record` what was done to make it.
"""

from traceprop.unlearning.record import RemovalRecord, record
from traceprop.unlearning.removal import approximate_unlearn

__all__ = ["RemovalRecord", "approximate_unlearn", "record"]
