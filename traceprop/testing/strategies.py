"""Hypothesis strategies for property tests of code that tracks lineage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from traceprop.lineage import ProvenanceTensor
from traceprop.testing.choices import Choices
from traceprop.testing.data import NUMBERS, OTHERS, Array, draw_array, draw_shape
from traceprop.testing.generate import MOST_STEPS, draw_program, draw_sources
from traceprop.testing.oracle import track
from traceprop.testing.program import Program


def _choices(draw: st.DrawFn) -> Choices:
    return Choices(lambda low, high: draw(st.integers(low, high)))


@st.composite
def arrays(
    draw: st.DrawFn,
    dtypes: Sequence[str] = NUMBERS + OTHERS,
    shape: tuple[int, ...] | None = None,
    finite: bool = False,
) -> Array:
    """Small arrays with ties, zeros of both signs, NaN and infinities.

    Parameters
    ----------
    dtypes : sequence of str
        Of these dtypes, among those of `traceprop.testing.data.POOLS`.
    shape : tuple of int, optional
        Default: one to three dimensions, none to five rows.
    finite : bool
        Leave NaN, NaT and infinities out.
    """
    choices = _choices(draw)
    wanted = draw_shape(choices, choices.pick((3, 2, 4, 5, 1, 0))) if shape is None else shape
    return draw_array(choices, choices.pick(dtypes), wanted, finite)


@st.composite
def tensors(
    draw: st.DrawFn,
    dtypes: Sequence[str] = NUMBERS,
    shape: tuple[int, ...] | None = None,
    finite: bool = False,
) -> ProvenanceTensor:
    """Tensors of such arrays, each with a source of its own; parameters as for `arrays`."""
    return track([draw(arrays(dtypes, shape, finite))])[0]


@st.composite
def programs(
    draw: st.DrawFn, families: Sequence[str] | None = None, most_steps: int = MOST_STEPS
) -> tuple[Program, list[Array]]:
    """Programs of NumPy calls, with the arrays to run them on.

    Parameters
    ----------
    families : sequence of str, optional
        Of these families of functions; see `traceprop.testing.steps.makers`. Default: all.
    most_steps : int

    Examples
    --------
    >>> @given(programs())
    ... def test_soundness(drawn):
    ...     program, sources = drawn
    ...     assert_sound(program, *sources)
    """
    choices = _choices(draw)
    sources = draw_sources(choices)
    return draw_program(choices, sources, families, most_steps), sources


@st.composite
def torch_programs(
    draw: st.DrawFn, families: Sequence[str] | None = None, most_steps: int = MOST_STEPS
) -> tuple[Any, list[Array]]:
    """Programs of torch calls, with the arrays to run them on; torch must be installed.

    Parameters
    ----------
    families : sequence of str, optional
        Of these families; see `traceprop.testing.torch.steps.makers`. Default: all.
    most_steps : int

    Examples
    --------
    >>> @given(torch_programs())
    ... def test_soundness(drawn):
    ...     program, sources = drawn
    ...     assert_sound(program, *sources)
    """
    from traceprop.testing.torch.generate import draw_torch_program, draw_torch_sources

    choices = _choices(draw)
    sources = draw_torch_sources(choices)
    return draw_torch_program(choices, sources, families, most_steps), sources
