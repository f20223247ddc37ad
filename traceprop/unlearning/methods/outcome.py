"""What a removal method hands back: the new model and what can be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceprop.unlearning.records.classes import ClassName

if TYPE_CHECKING:
    from traceprop.unlearning.request.given import GivenModel


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of a method.

    Parameters
    ----------
    given : GivenModel
        The new model.
    removal_class : str
        What the result is, a name of `classes.CLASSES`.
    bound : float or None
        A bound on the distance of the stored weights to the retrained ones, where there is one.
    figures : mapping of str to float or int
        Numbers of the method's own.
    limits : tuple of str
        What a reader must know.
    bound_from : str or None
        What the bound rests on; None without one.
    compared_with : str or None
        The retrained model that it stands for; None where it stands for none.
    recipe : mapping or None
        The recipe that was run: name, sha256, seed, threads.
    budget : mapping or None
        What a certified removal spent, and what was spent before.
    """

    given: GivenModel
    removal_class: ClassName
    bound: float | None
    figures: Mapping[str, float | int]
    limits: tuple[str, ...]
    bound_from: str | None = None
    compared_with: str | None = None
    recipe: Mapping[str, Any] | None = None
    budget: Mapping[str, Any] | None = None
