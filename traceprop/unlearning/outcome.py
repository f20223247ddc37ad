"""What a removal method hands back: the new model and what can be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceprop.unlearning.classes import ClassName

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of a method.

    Parameters
    ----------
    model : torch.nn.Module
        A new module.
    removal_class : str
        What the result is, a name of `classes.CLASSES`.
    bound : float or None
        A bound on the distance of the stored weights to the retrained ones, where there is one.
    figures : mapping of str to float or int
        Numbers of the method's own.
    limits : tuple of str
        What a reader must know.
    """

    model: nn.Module
    removal_class: ClassName
    bound: float | None
    figures: Mapping[str, float | int]
    limits: tuple[str, ...]
