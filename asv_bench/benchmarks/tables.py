"""Joining, grouping and sorting tables beside pandas."""

from __future__ import annotations

import traceprop as tp
from asv_bench.goals.tables import loans, people, programs


class Steps:
    """100,000 rows; a table keeps the lineage of every one."""

    params = (
        ["traceprop", "pandas"],
        [
            "inner join on an integer",
            "left join on an integer",
            "group-by of a text",
            "group-by of an integer",
            "group-by of a float",
            "group-by of two keys",
            "sort by two columns",
        ],
    )
    param_names = ("library", "step")

    def setup(self, library: str, step: str) -> None:
        left, right = loans(100_000), people(100_000)
        tables = tp.Table.from_arrow(left, "loans"), tp.Table.from_arrow(right, "people")
        steps = programs(*tables, left.to_pandas(), right.to_pandas())
        (_, ours, theirs) = next(each for each in steps if each[0] == step)
        self.run = ours if library == "traceprop" else theirs
        self.run()

    def time_step(self, library: str, step: str) -> None:
        self.run()
