"""The model's weights as each recorded pass over the data begins, and what its steps were long.

Promise: the weights are those that the pass's first batch was computed with, before its step. They
are held in memory until the run is committed: a copy of the model for each pass.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch import nn

from traceprop.attribution.capture.run_record import weights_of
from traceprop.attribution.store.run.checkpoint_weights import Checkpoint


class PassWeights:
    """Gathers the checkpoints of a run.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained.
    wanted : bool
        Whether weights are kept at all.
    """

    def __init__(self, model: nn.Module, wanted: bool) -> None:
        self._model, self._wanted = model, wanted
        self._pass = 0
        self._weights: dict[int, dict[str, NDArray[Any]]] = {}
        self._rates: dict[int, list[float | None]] = {}

    def saw(self, number: int, recorded: bool) -> None:
        """Note that a batch of a pass was computed, before the step that it leads to."""
        self._pass = number
        if self._wanted and recorded and number not in self._weights:
            self._weights[number] = weights_of(self._model)

    def stepped(self, rate: float | None) -> None:
        """Note an optimizer's step by its learning rate, None where it has no one rate."""
        if self._pass in self._weights:
            self._rates.setdefault(self._pass, []).append(rate)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return what was gathered, in the order of training."""
        return tuple(
            Checkpoint(number, weights, _mean(self._rates.get(number, [])))
            for number, weights in sorted(self._weights.items())
        )


def _mean(rates: list[float | None]) -> float | None:
    """Return the mean rate; None where a step's isn't known, or there was no step."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) / len(known) if known and len(known) == len(rates) else None
