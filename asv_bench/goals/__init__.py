"""One module per table: `goals()` yields the goals of that part, measured as it goes.

A module also states its thread counts in `THREADS`. Figures are never stored: every line is
measured when it is printed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """One line of a table.

    Attributes
    ----------
    what : str
        What was measured.
    measured, goal : str
        The figure and the goal, with their units.
    holds : bool
        Whether the figure meets the goal.
    note : str
        What a reader needs beside the figure: the interval, a peer's figure.
    """

    what: str
    measured: str
    goal: str
    holds: bool
    note: str = ""


def at_most(what: str, measured: float, limit: float, unit: str = "", note: str = "") -> Goal:
    """A goal that holds when the figure is at most the limit."""
    return Goal(what, f"{measured:.3g}{unit}", f"≤ {limit:g}{unit}", bool(measured <= limit), note)


def at_least(what: str, measured: float, limit: float, unit: str = "", note: str = "") -> Goal:
    """A goal that holds when the figure is at least the limit."""
    return Goal(what, f"{measured:.3g}{unit}", f"≥ {limit:g}{unit}", bool(measured >= limit), note)


def exactly(what: str, measured: int, expected: int, note: str = "") -> Goal:
    """A goal that holds when a count is what it must be."""
    return Goal(what, f"{measured}", f"{expected}", measured == expected, note)
