"""Programs of torch calls on arrays: what the oracle nudges are their NumPy sources.

A program takes NumPy arrays, plain or tracked, goes on in torch, and gives its variables back as
NumPy arrays. So the oracles of rows and cells, replay and saving are tested on it as they are on
programs of NumPy calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from traceprop.interop.torch.tracked.tensor import TorchTensor, from_numpy
from traceprop.interop.torch.tracked.values import to_numpy, to_torch
from traceprop.lineage import ProvenanceTensor
from traceprop.testing.choices import Choices
from traceprop.testing.program import (
    FAILURES,
    MOST_CELLS,
    Builder,
    DoesNotFit,
    Program,
    Step,
    Var,
    run_quietly,
)

Maker = Callable[[Choices, "TorchBuilder"], None]


@dataclass(frozen=True)
class TorchProgram:
    """Steps on `n_sources` arrays, as `traceprop.testing.Program`, done in torch."""

    n_sources: int
    steps: tuple[Step, ...]

    def __call__(self, *sources: Any) -> list[Any]:
        """Run the steps, and return all variables."""
        variables = [in_torch(source) for source in sources]
        torch.manual_seed(0)
        try:
            for step in self.steps:
                step.run(variables)
        except RuntimeError as wrong:  # torch's own, for shapes and types that don't fit
            raise ValueError(str(wrong)) from wrong
        return [in_numpy(each) for each in variables]

    def __str__(self) -> str:
        return str(Program(self.n_sources, self.steps))


def in_torch(source: Any) -> Any:
    """Return an array, plain or tracked, as a torch tensor on the same memory."""
    if isinstance(source, ProvenanceTensor):
        return from_numpy(source)
    return to_torch(source)


def in_numpy(tensor: Any) -> Any:
    """Return a torch tensor's values as an array; a type that NumPy hasn't stays torch's."""
    if isinstance(tensor, TorchTensor):
        return tensor if to_numpy(tensor._array).dtype.names else tensor.detach().numpy()
    return to_numpy(tensor)


class TorchBuilder(Builder):
    """Builds a program while running it on plain tensors, so that each step fits what is there."""

    def __init__(self, sources: Sequence[Any]) -> None:
        super().__init__(sources)
        self.values = [to_torch(source.copy()) for source in sources]

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Var:
        """Add a step and return the first variable that it makes; the others follow it."""
        first = len(self.values)
        try:
            result = Step(function, args, kwargs).result(self.values)
        except RuntimeError as wrong:
            raise DoesNotFit from wrong
        made = tensors_in(result)
        if not made or any(each.numel() > MOST_CELLS for each in made):
            raise DoesNotFit
        self.values.extend(made)
        self.steps.append(Step(function, args, kwargs, makes=len(made)))
        return Var(first)

    def write(self, function: Any, *args: Any, **kwargs: Any) -> None:
        """Add a step that writes into one of its arguments."""
        step = Step(function, args, kwargs, makes=0)
        try:
            step.run(self.values)
        except RuntimeError as wrong:
            raise DoesNotFit from wrong
        self.steps.append(step)

    def attempt(self, make: Callable[[Builder], None]) -> None:
        """Let `make` add steps; when it can't, leave the program as it was."""
        count = len(self.steps)
        try:
            run_quietly(make, self)
        except (DoesNotFit, *FAILURES):
            del self.steps[count:]
            self.values = [to_torch(source.copy()) for source in self._sources]
            torch.manual_seed(0)
            for step in self.steps:
                run_quietly(step.run, self.values)

    def torch_program(self) -> TorchProgram:
        """Return the program so far."""
        return TorchProgram(len(self._sources), tuple(self.steps))


def tensors_in(result: Any) -> list[torch.Tensor]:
    """Return the tensors in what a call returned, at most three."""
    if isinstance(result, (tuple, list)):
        return [each for part in result for each in tensors_in(part)][:3]
    return [result] if isinstance(result, torch.Tensor) else []


def via_numpy(tensor: Any) -> Any:
    """Add one to a tensor in NumPy, and come back."""
    array = np.add(tensor.numpy(), 1)
    return in_torch(array)


KINDS: Final = {
    "f": (torch.float64, torch.float32, torch.float16, torch.bfloat16),
    "i": (torch.int64, torch.int32),
    "u": (torch.uint8,),
    "b": (torch.bool,),
    "c": (torch.complex128, torch.complex64),
}


def kind_of(tensor: torch.Tensor) -> str:
    """Return the kind of a tensor's type, as NumPy names it."""
    return next(kind for kind, types in KINDS.items() if tensor.dtype in types)
