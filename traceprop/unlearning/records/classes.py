"""What the methods of removal are called, and what the result of each class is worth: one table.

Everything that names a class reads it here, or is tested against it: the record of a removal, the
limits and the schema of a certificate, the regulations' rules, README. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

METHODS = ("auto", "exact", "exact-convex", "certified", "gauss-newton", "ascent")
"""What `approximate_unlearn(method=)` takes."""

USED_BY: dict[str, tuple[str, ...]] = {
    "exact": ("recipe", "seed"),
    "exact-convex": (),
    "certified": ("epsilon", "delta", "budget"),
    "gauss-newton": (),
    "ascent": ("eta", "steps"),
}
"""The arguments of `approximate_unlearn` that are one method's own."""

ClassName = Literal["exact", "exact-convex", "certified", "approximate-unguaranteed", "baseline"]


@dataclass(frozen=True, slots=True)
class RemovalClass:
    """What a removal of a class is worth.

    Parameters
    ----------
    guarantee : str or None
        What is guaranteed, in words; None where nothing is.
    limits : tuple of str
        What a certificate of it doesn't claim.
    """

    guarantee: str | None
    limits: tuple[str, ...]


CLASSES: dict[ClassName, RemovalClass] = {
    "exact": RemovalClass(
        "trained again without the samples, by the recorded recipe",
        (
            "The class exact means: trained again without the rows, by the recorded recipe. It is "
            "as good as that recipe is complete, and equal to the bit only under the recorded "
            "software, threads and seeds.",
        ),
    ),
    "exact-convex": RemovalClass(
        "a computed bound on the distance to the minimiser of the recorded, strictly convex "
        "objective without the samples",
        (
            "The class exact-convex gives a bound on the distance to the minimiser of the recorded "
            "objective without the rows. It says nothing of another objective, nor of a training "
            "that stopped early, and the bound itself is computed in floating point.",
            "The training data was prepared as the record of the removal says; statistics that "
            "were kept from before still hold a trace of the rows.",
        ),
    ),
    "certified": RemovalClass(
        "(ε, δ) for a convex objective",
        (
            "The class certified holds for the stated ε and δ and the recorded convex objective, "
            "and only while the budget covers every removal from this model.",
        ),
    ),
    "approximate-unguaranteed": RemovalClass(
        None,
        (
            "The class approximate-unguaranteed gives no guarantee of any kind: no bound on how "
            "far the weights are from those of a training without the rows. Figures about losses "
            "are measurements, not proof.",
        ),
    ),
    "baseline": RemovalClass(
        None,
        (
            "The class baseline is a method for comparison. It gives no guarantee, and gradient "
            "ascent can make the removed rows easier to find than before.",
        ),
    ),
}
