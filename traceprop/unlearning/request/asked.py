"""What was asked of a removal, beside the model and the samples: its method and its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traceprop.errors import UnlearnError
from traceprop.unlearning.records.classes import METHODS, USED_BY


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of `approximate_unlearn` that methods read; they are described there.

    Raises
    ------
    UnlearnError
        One is out of its range.
    """

    method: str
    eta: float | None = None
    steps: int | None = None
    tol: float = 1e-10
    recipe: Callable[..., Any] | None = None
    seed: int | None = None
    epsilon: float | None = None
    delta: float | None = None
    threshold: float = 1e-6
    budget: tuple[float, float] | None = None
    replay: bool | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnlearnError(
                f"no method is called {self.method!r}; use one of {', '.join(METHODS)}"
            )
        if not self.tol > 0:
            raise UnlearnError(f"tol is {self.tol}; give a distance above 0")
        if self.method == "ascent" and self.replay:
            raise UnlearnError("'ascent' is a baseline on the old preparation; leave replay= out")

    def unused(self, method: str) -> tuple[str, ...]:
        """Name the arguments that were given and that a method doesn't use."""
        used = USED_BY[method]
        names = ("eta", "steps", "recipe", "seed", "epsilon", "delta", "budget")
        return tuple(n for n in names if getattr(self, n) is not None and n not in used)
