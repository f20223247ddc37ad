"""What a certificate does not claim, in plain words, by the class of the removal."""

from __future__ import annotations

DRAFT = "This is a draft. It is not signed, proves nothing, and must not be given out as evidence."

_ALWAYS = (
    "Weights alone can't prove that rows were unlearned: no test on a model can. This certificate "
    "records what was done and what a re-run needs; the proof is the re-run.",
    "It says what the signer's own software computed and reported. The signature shows that the "
    "key's holder signed these bytes; who holds the key is for the reader to establish.",
    "It covers one model, the subject, and no copy of it, no model derived from it, no backup and "
    "no export.",
    "The time is asserted by the signer's clock and not proven by a third party.",
    "Rows are shown as sealed entries only. Which rows they are can be shown by whoever holds this "
    "certificate's key, and by nobody once it is destroyed.",
    "It doesn't say that these were all the rows about a person, nor that the request for their "
    "removal was well founded.",
    "It is not legal advice, and no authority has approved its form.",
    "Influence scores, where any are given beside it, are not reasons for adverse action under "
    "Regulation B (12 CFR 1002.9).",
)

_BY_CLASS = {
    "exact": (
        "The class exact means: trained again without the rows, by the recorded recipe. It is as "
        "good as that recipe is complete, and equal to the bit only under the recorded software, "
        "threads and seeds.",
    ),
    "exact-convex": (
        "The class exact-convex gives a bound on the distance to the minimiser of the recorded "
        "objective without the rows. It says nothing of another objective, nor of a training that "
        "stopped early, and the bound itself is computed in floating point.",
        "The training data was prepared as the record of the removal says; statistics that were "
        "kept from before still hold a trace of the rows.",
    ),
    "certified": (
        "The class certified holds for the stated ε and δ and the recorded convex objective, and "
        "only while the budget covers every removal from this model.",
    ),
    "approximate-unguaranteed": (
        "The class approximate-unguaranteed gives no guarantee of any kind: no bound on how far "
        "the weights are from those of a training without the rows. Figures about losses are "
        "measurements, not proof.",
    ),
    "baseline": (
        "The class baseline is a method for comparison. It gives no guarantee, and gradient ascent "
        "can make the removed rows easier to find than before.",
    ),
}


def limits(removal_class: str, *, draft: bool) -> list[str]:
    """Return the limits of a certificate; of a draft, first of all that it is one."""
    return [*([DRAFT] if draft else []), *_BY_CLASS[removal_class], *_ALWAYS]
