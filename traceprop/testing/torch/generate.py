"""Random torch programs: sources, then steps that fit what the steps before them left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from traceprop.testing.choices import Choices
from traceprop.testing.data import Array, draw_array, draw_shape
from traceprop.testing.generate import MOST_STEPS
from traceprop.testing.torch.program import TorchBuilder, TorchProgram
from traceprop.testing.torch.steps import makers

_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
_OFTEN = ("elementwise", "reduction", "movement", "indexing", "writes", "writes")


def draw_torch_sources(choices: Choices) -> list[Array]:
    """Draw one or two arrays, often of equally many rows, sometimes of one row or none."""
    n_rows = choices.pick((4, 3, 5, 4, 3, 2, 1, 0))
    return [
        draw_array(
            choices,
            "float64" if choices.flag() else choices.pick(_DTYPES),
            draw_shape(choices, n_rows),
        )
        for _ in range(choices.pick((1, 2, 2)))
    ]


def draw_torch_program(
    choices: Choices,
    sources: Sequence[Array],
    families: Sequence[str] | None = None,
    most_steps: int = MOST_STEPS,
) -> TorchProgram:
    """Draw a program of one to `most_steps` torch calls, of some families or of all."""
    available = makers()
    names = [*available, *_OFTEN] if families is None else list(families)
    builder = TorchBuilder(sources)
    for attempt in range(most_steps):
        if attempt and not choices.integer(0, 29):
            break
        maker: Any = choices.pick(available[choices.pick(names)])
        builder.attempt(partial(maker, choices))
    return builder.torch_program()
