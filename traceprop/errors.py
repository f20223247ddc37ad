"""Every error and warning that Traceprop raises on purpose.

All errors descend from `TracepropError`, so that a caller can catch the family and the command
line can turn one into one line and exit status 1. A message names the thing that is wrong and the
way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceprop.unlearning.purging.held import HeldRemoval


class TracepropError(Exception):
    """Base class of all errors that Traceprop raises on purpose."""


class SourceError(TracepropError):
    """A source can't be read as asked: missing, ragged, empty, not numeric, or changed on disk."""


class MissingFileError(SourceError):
    """A source's file is not where it was."""


class RowError(TracepropError):
    """A row was named that the source, or the training data, doesn't have."""


class LineageError(TracepropError):
    """A lineage can't answer: an operation was refused, or a saved lineage is damaged."""


class ChangedArrayError(LineageError, LookupError):
    """A plain array of a recorded call wasn't kept, or was written into since."""


class UnknownNameError(LineageError, KeyError):
    """A source or a column was named that isn't there."""

    __str__ = Exception.__str__  # KeyError would print the message in quotes


class EscapeError(LineageError):
    """A value left the lineage as a plain array while `traceprop.strict` was on."""


class DataError(TracepropError):
    """Data that can't be used: NaN, wrong width, features and labels out of step."""


class CaptureError(TracepropError):
    """Per-sample gradients can't be taken from this step: unknown samples, loss or layer."""


class StoreError(TracepropError):
    """A gradient store can't be opened, written or matched with this model."""


class ModelError(TracepropError):
    """A model can't be read as a loss over weights: unknown type, not fitted, other objective."""


class AttributionError(TracepropError):
    """An influence query can't be answered as asked."""


class UnlearnError(TracepropError):
    """A removal can't be done as asked; nothing was changed."""


class LegalHoldError(UnlearnError):
    """A legal hold stands against a removal; nothing was changed.

    Attributes
    ----------
    record : HeldRemoval or None
        What was asked for, and why it wasn't done.
    """

    def __init__(self, message: str, record: HeldRemoval | None = None) -> None:
        super().__init__(message)
        self.record = record


class CertificateError(TracepropError):
    """A certificate can't be made or doesn't verify."""


class AuditError(TracepropError):
    """The audit log of a store can't be written or read, or is not what was written."""


class MissingExtraError(TracepropError, ImportError):
    """A part was used whose library is one of our extras, and isn't installed."""


class LineageEscapeWarning(UserWarning):
    """A tracked value left the lineage as a plain array; warned once per call site."""


class LineageWarning(UserWarning):
    """A lineage answers, but with more rows than usual: an index was changed after its use."""


class StoreWarning(UserWarning):
    """A store answers, but with less than usual: an older commit, or a source changed or gone."""


class AuditWarning(UserWarning):
    """The audit log goes on, but a crash had left a part of an entry, which was cut off."""


class SourceWarning(UserWarning):
    """A source was loaded, but its rows can't be named as well as usual: an unordered query."""


class CaptureWarning(UserWarning):
    """Recorded per-sample gradients mean less than usual: the model mixes a batch's samples."""
