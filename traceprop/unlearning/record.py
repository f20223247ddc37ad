"""The record of a removal: what was done to a model, what it is worth, what it doesn't cover.

Promises: `to_dict` holds JSON values only and names no sample and no row, so that it can be
published; a record lives exactly as long as the model that it describes.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from traceprop.errors import UnlearnError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.unlearning.outcome import RemovalClass


@dataclass(frozen=True, slots=True, eq=False)
class RemovalRecord:
    """What `approximate_unlearn` did.

    Parameters
    ----------
    method : str
        The method that ran: "exact-convex", "approximate-unguaranteed" or "ascent".
    asked_method : str
        The method that was asked for, such as "auto".
    removal_class : str
        What the result is: "exact-convex", "approximate-unguaranteed" or "baseline".
    reason : str
        Why this method.
    bound : float or None
        Bound on ‖θ′ − θ_retrained‖ for the weights as stored; None where none is known.
    objective : dict
        The loss, the penalty λ and where it was read.
    samples : tuple of int
        The samples removed. Not part of `to_dict`.
    n_forget, n_retain : int
        How many samples went and stayed.
    digest_before, digest_after : str
        `model_digest` of the given model and of the new one.
    loss : dict
        Mean training loss without penalty: `{"forget": {"before", "after"}, "retain": {...}}`.
    forget_margin : dict
        Of the removed samples' own labels: mean margin before and after, and mean absolute change.
    figures : dict
        Numbers of the method's own, such as Newton steps.
    seconds : float
        Wall time of the removal.
    preprocessing : str
        What the removal did about the statistics of the preprocessing.
    unaudited : bool
        True while nobody compared the model with retrained ones.
    unused_arguments : tuple of str
        Arguments given that the method doesn't use.
    limits : tuple of str
        What the removal does not cover.
    versions : dict of str to str
        The software that computed it.
    """

    method: str
    asked_method: str
    removal_class: RemovalClass
    reason: str
    bound: float | None
    objective: Mapping[str, Any]
    samples: tuple[int, ...]
    n_forget: int
    n_retain: int
    digest_before: str
    digest_after: str
    loss: Mapping[str, Mapping[str, float]]
    forget_margin: Mapping[str, float]
    figures: Mapping[str, float | int]
    seconds: float
    preprocessing: str
    unaudited: bool
    unused_arguments: tuple[str, ...]
    limits: tuple[str, ...]
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, without the samples.

        Numbers that JSON lacks (an infinite loss) become None.
        """
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "samples"}


_RECORDS: weakref.WeakKeyDictionary[nn.Module, RemovalRecord] = weakref.WeakKeyDictionary()


def record(model: nn.Module) -> RemovalRecord:
    """Return what was done to make a model.

    Parameters
    ----------
    model : torch.nn.Module
        A module that `approximate_unlearn` returned: the object itself, not a copy.

    Raises
    ------
    UnlearnError
        The module wasn't made by a removal in this process.

    Examples
    --------
    >>> record(theta_prime).removal_class  # doctest: +SKIP
    'exact-convex'
    """
    try:
        return _RECORDS[model]
    except KeyError:
        raise UnlearnError(
            "this model has no record of a removal; give the object that approximate_unlearn "
            "returned, in the same process"
        ) from None


def attach(model: nn.Module, done: RemovalRecord) -> None:
    """Keep a record for as long as its model lives."""
    _RECORDS[model] = done


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
