"""What recording costs beside plain NumPy, and how fast a lineage answers."""

from __future__ import annotations

import numpy as np

import traceprop as tp


class Recording:
    """Everyday operations, recorded (`tracked`) and plain, at a small and a large size."""

    params = (["plain", "tracked"], [10, 1_000_000])
    param_names = ("array", "elements")

    def setup(self, array: str, elements: int) -> None:
        plain = np.arange(float(elements))
        self.mask = np.arange(elements) % 2 == 0
        self.x = tp.array(plain) if array == "tracked" else plain

    def time_add(self, array: str, elements: int) -> None:
        self.x + self.x

    def time_subtract_mean(self, array: str, elements: int) -> None:
        self.x - self.x.mean(axis=0)

    def time_row_filter(self, array: str, elements: int) -> None:
        self.x[self.mask]

    def time_concatenate(self, array: str, elements: int) -> None:
        np.concatenate([self.x, self.x])

    def time_chain(self, array: str, elements: int) -> None:
        self.x * 2 + 1


class Queries:
    """Questions to a pipeline of a normalisation and a filter over 100,000 rows."""

    def setup(self) -> None:
        X = tp.array(np.random.default_rng(0).normal(size=(100_000, 10)))
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        self.X = X[X[:, 0] > 0]
        self.X.sources()
        self.X.ops()

    def time_sources_again(self) -> None:
        self.X.sources()

    def time_ops_again(self) -> None:
        self.X.ops()


class Cells:
    """Which cells a value rests on, worked out anew each time; the pipeline of `Queries`."""

    def setup(self) -> None:
        X = tp.array(np.random.default_rng(0).normal(size=(100_000, 10)))
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        self.X = X[X[:, 0] > 0]
        self.X.cells((17, 3))

    def time_cells_of_one(self) -> None:
        self.X.cells((17, 3))

    def time_cells_of_all(self) -> None:
        self.X.cells()
