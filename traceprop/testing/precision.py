"""How precise the lineage of a family of functions is: what of it can be seen to matter.

Soundness alone is cheap: "every row depends on every row" is sound. So it is measured how many of
the (output row, source row) pairs in a lineage some nudge shows, over programs that are the same
every time; and so for the pairs of cells.
"""

from __future__ import annotations

from typing import NamedTuple

from traceprop.testing.cells import cell_precision
from traceprop.testing.choices import Choices
from traceprop.testing.data import draw_array, draw_shape
from traceprop.testing.generate import draw_program
from traceprop.testing.oracle import precision
from traceprop.testing.steps import makers


class Precision(NamedTuple):
    """Pairs of a family's lineages: those that some nudge shows, and all."""

    shown: int
    recorded: int

    @property
    def share(self) -> float:
        """The share that is shown; 1 where nothing is recorded."""
        return self.shown / self.recorded if self.recorded else 1.0


def families() -> list[str]:
    """Name the families of steps."""
    return list(makers())


def measure(family: str, n_programs: int = 150, cells: bool = False) -> Precision:
    """Measure the precision of one family over seeded programs of one or two steps.

    Parameters
    ----------
    family : str
    n_programs : int
    cells : bool
        Count pairs of cells instead of rows.

    A nudge can miss (a larger value changes no minimum), so that even a perfect lineage stays
    below 1. Values are finite, and no two rows alike, so that most nudges show.
    """
    shown = recorded = 0
    count = cell_precision if cells else precision
    for seed in range(n_programs):
        choices = Choices.seeded(seed)
        dtypes = ("float64", "float64", "int64", "bool", "uint8")
        sources = [
            draw_array(choices, choices.pick(dtypes), draw_shape(choices, 4), finite=True)
            for _ in range(2)
        ]
        program = draw_program(choices, sources, [family], most_steps=2)
        counted = count(program, *sources, finite=True)
        shown, recorded = shown + counted[0], recorded + counted[1]
    return Precision(shown, recorded)
