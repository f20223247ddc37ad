"""How much of the lineage that each family of functions records can be seen to matter."""

from __future__ import annotations

from traceprop.testing.precision import families, measure


class Precision:
    """The share of (output row, source row) pairs that some nudge shows; more is better."""

    params = families()
    param_names = ("family",)
    unit = "share of pairs"

    def track_precision(self, family: str) -> float:
        return measure(family).share


if __name__ == "__main__":
    for name in families():
        found = measure(name)
        print(f"{name:12} {found.share:.3f}  ({found.shown} of {found.recorded} pairs)")
