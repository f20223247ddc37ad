"""How much of the lineage that each family of functions records can be seen to matter."""

from __future__ import annotations

from traceprop.testing.precision import families, measure


class Precision:
    """The share of (output, source) pairs of rows, and of cells, that some nudge shows."""

    params = families()
    param_names = ("family",)
    unit = "share of pairs"

    def track_precision(self, family: str) -> float:
        return measure(family).share

    def track_precision_of_cells(self, family: str) -> float:
        return measure(family, n_programs=100, cells=True).share


if __name__ == "__main__":
    print(f"{'':12} {'rows':>26}   {'cells':>26}")
    for name in families():
        figures = (measure(name), measure(name, n_programs=100, cells=True))
        told = (f"{each.share:.3f} ({each.shown} of {each.recorded})" for each in figures)
        print(f"{name:12} {next(told):>26}   {next(told):>26}")
