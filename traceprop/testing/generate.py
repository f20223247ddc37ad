"""Random programs: sources, then steps that fit what the steps before them left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from traceprop.testing.choices import Choices
from traceprop.testing.data import NUMBERS, OTHERS, Array, draw_array, draw_shape
from traceprop.testing.program import Builder, Program, run_quietly
from traceprop.testing.steps import makers

MOST_STEPS: Final = 12
_OFTEN: Final = ("elementwise", "reduction", "movement", "indexing", "mutators", "mutators")


def draw_sources(choices: Choices) -> list[Array]:
    """Draw one or two arrays, often of equally many rows, sometimes of one row or none."""
    n_rows = choices.pick((4, 3, 5, 4, 3, 2, 1, 0))
    sources = []
    for _ in range(choices.pick((1, 2, 2))):
        dtype = "float64" if choices.flag() else choices.pick(NUMBERS + NUMBERS + OTHERS)
        sources.append(draw_array(choices, dtype, draw_shape(choices, n_rows)))
        if choices.rarely():
            n_rows = choices.integer(0, 3)
    return sources


def draw_program(
    choices: Choices,
    sources: Sequence[Array],
    families: Sequence[str] | None = None,
    most_steps: int = MOST_STEPS,
) -> Program:
    """Draw a program of one to `most_steps` calls on `sources`, of some families or of all."""
    available = makers()
    names = [*available, *_OFTEN] if families is None else families
    builder = Builder(sources)
    for attempt in range(most_steps):
        if attempt and not choices.integer(0, 29):
            break
        maker = choices.pick(available[choices.pick(names)])
        builder.attempt(partial(maker, choices))
    return _with_names(choices, builder.program(), sources)


def _with_names(choices: Choices, program: Program, sources: Sequence[Array]) -> Program:
    """Give some arguments of some calls by name, if they can be."""
    steps = tuple(
        each.named(choices.integer(0, 1)) if choices.rarely() else each for each in program.steps
    )
    named = Program(program.n_sources, steps)
    if steps != program.steps:
        try:
            run_quietly(named, *(each.copy() for each in sources))
        except TypeError:  # what dispatches np.unique_values takes no names
            return program
    return named
