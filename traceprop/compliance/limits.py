"""What a certificate does not claim, in plain words, by the class of the removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traceprop.compliance.draft import DRAFT
from traceprop.unlearning.records.classes import CLASSES, ClassName

_ALWAYS = (
    "Weights alone can't prove that rows were unlearned: no test on a model can. This certificate "
    "records what was done and what a re-run needs; the proof is the re-run.",
    "It says what the signer's own software computed and reported. The signature shows that the "
    "key's holder signed these bytes; who holds the key is for the reader to establish.",
    "It covers one model, the subject, and no copy of it, no model derived from it, no backup and "
    "no export.",
    "The time is asserted by the signer's clock. Only a timestamp (RFC 3161), which is not a part "
    "of this certificate but lies beside it, can prove that it was there at a certain time.",
    "Whether a legal hold, a retention duty or another reason stands against the removal was not "
    "checked: what is stated of it is the user's own word.",
    "Rows are shown as sealed entries only. Which rows they are can be shown by whoever holds this "
    "certificate's key, and by nobody once it is destroyed.",
    "It doesn't say that these were all the rows about a person, nor that the request for their "
    "removal was well founded.",
    "It is not legal advice, and no authority has approved its form.",
    "Influence scores, where any are given beside it, are not reasons for adverse action under "
    "Regulation B (12 CFR 1002.9).",
)


def limits(
    removal_class: ClassName, left: Sequence[Mapping[str, str]], *, draft: bool
) -> list[str]:
    """Return what a certificate doesn't claim.

    Parameters
    ----------
    removal_class : str
        A name of `traceprop.unlearning.records.classes.CLASSES`.
    left : sequence of mapping
        The certificate's `left`.
    draft : bool
        Whether it is one; that comes first then.
    """
    kept = ", ".join(item["what"] for item in left if item["state"] == "not removed")
    still = (f"It doesn't reach these copies of the rows, which are still there: {kept}.",)
    return [
        *([DRAFT] if draft else []),
        *CLASSES[removal_class].limits,
        *(still if kept else ()),
        *_ALWAYS,
    ]
