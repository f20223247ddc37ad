"""For each program of tests/e2e/programs.py: which source rows flow into each output row.

Written by hand in plain Python, from what the programs are meant to do. An answer is a list with,
for each output row, the set of (table, row) pairs whose own values flow in. Statistics (a mean that
is subtracted) and decisions (a mask) are not among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Rows = list[set[tuple[int, int]]]
Table = Sequence[Sequence[float]]


def credit_scoring(applications: Table) -> dict[str, Rows]:
    """Each adult is one row, made of its own."""
    adults = [i for i, row in enumerate(applications) if row[0] >= 18]
    own: Rows = [{(0, i)} for i in adults]
    return {"features": own, "age": own}


def k_means(points: Table) -> dict[str, Rows]:
    """A label is chosen for a point; a centre is made of the points that bear its label."""
    centres = [list(point) for point in points[:3]]
    labels: list[int] = []
    for _ in range(5):
        labels = [_nearest(point, centres) for point in points]
        for j in range(3):
            mine = [p for p, label in zip(points, labels, strict=True) if label == j]
            centres[j] = [sum(column) / len(mine) for column in zip(*mine, strict=True)]
    members: Rows = [{(0, i) for i, label in enumerate(labels) if label == j} for j in range(3)]
    return {"labels": [{(0, i)} for i in range(len(points))], "centres": members}


def _nearest(point: Sequence[float], centres: Table) -> int:
    return min(range(len(centres)), key=lambda j: math.dist(point, centres[j]))


def principal_components(X: Table) -> dict[str, Rows]:
    """A score is its row on axes made of all rows; the shares are made of all rows."""
    every = {(0, i) for i in range(len(X))}
    return {"scores": [{(0, i)} for i in range(len(X))], "share": [every] * len(X[0])}


def moving_averages(prices: Table) -> dict[str, Rows]:
    """Four prices in a row; by running sums, all prices so far; a change is of two days."""
    n = len(prices)

    def days(first: int, last: int) -> set[tuple[int, int]]:
        return {(0, i) for i in range(first, last + 1)}

    return {
        "window": [days(i, i + 3) for i in range(n - 3)],
        "convolved": [days(i, i + 3) for i in range(n - 3)],
        "running": [days(0, i + 4) for i in range(n - 4)],
        "change": [days(i, i + 1) for i in range(n - 1)],
    }


def bootstrap(X: Table, draws: Sequence[Sequence[int]]) -> dict[str, Rows]:
    """A mean is of the rows drawn; the last resample is the rows drawn last."""
    return {
        "means": [{(0, i) for i in drawn} for drawn in draws],
        "last": [{(0, i)} for i in draws[-1]],
    }


def one_hot(table: Table) -> dict[str, Rows]:
    """Row by row."""
    return {"design": [{(0, i)} for i in range(len(table))]}


def group_by(table: Table) -> dict[str, Rows]:
    """A sum is of its group's rows; a centred amount is a row's own, less a statistic."""
    groups: Rows = [
        {(0, i) for i, row in enumerate(table) if int(row[0]) == group} for group in range(4)
    ]
    own: Rows = [{(0, i)} for i in range(len(table))]
    return {"sums": groups, "means": groups, "centred": own}


def join(orders: Table, customers: Table) -> dict[str, Rows]:
    """An order whose customer is known, and that customer."""
    joined: Rows = []
    for i, order in enumerate(orders):
        for j, customer in enumerate(customers):
            if math.isclose(order[0], customer[0]):
                joined.append({(0, i), (1, j)})
    return {"joined": joined}


ORACLES: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each
    for each in (
        credit_scoring,
        k_means,
        principal_components,
        moving_averages,
        bootstrap,
        one_hot,
        group_by,
        join,
    )
}
