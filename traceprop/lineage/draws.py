"""`tp.rng`: a random generator whose draws are recorded, so that a replay draws them again.

A draw is an operation on the generator's state, and gives the state for the next one. Promise: a
replay starts at the recorded state and draws in the recorded order, so that it gets the recorded
numbers; without rows each draw that was made for the rows is made for those that are left, which is
what the same program with the same seed does on the shorter file.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError
from traceprop.lineage.graph.edge import Edges
from traceprop.lineage.graph.node import Node, Op
from traceprop.lineage.recording.calls import capture, wrap_result
from traceprop.lineage.recording.tracked import KIND, Tracked, wrap
from traceprop.lineage.registry import implements

State = NDArray[np.uint8]

_BIT_GENERATORS: Final = ("PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937")
_LENGTHS: Final = {"MT19937": 16384}
_LENGTH: Final = 1024
_DRAWS: Final = (
    "random", "normal", "standard_normal", "uniform", "integers", "exponential", "lognormal",
    "poisson", "binomial", "beta", "gamma", "laplace", "logistic",
)  # fmt: skip


def _packed(generator: np.random.BitGenerator) -> State:
    """Return a generator's state as bytes of one length."""
    text = json.dumps(generator.state, default=_as_list).encode()
    length = _LENGTHS.get(type(generator).__name__, _LENGTH)
    return np.frombuffer(text.ljust(length), np.uint8)


def _as_list(value: Any) -> Any:
    return value.tolist()


def _unpacked(state: State) -> np.random.Generator:
    """Return a generator in a packed state."""
    stored = json.loads(state.tobytes())
    name = stored["bit_generator"]
    if name not in _BIT_GENERATORS:
        raise ValueError(f"{name} is no random generator of NumPy")
    generator: np.random.BitGenerator = getattr(np.random, name)()
    generator.state = stored
    return np.random.Generator(generator)


def _draw(state: State, method: str, *args: Any, **kwargs: Any) -> tuple[Any, State]:
    """Draw by a method; also return the state that is left."""
    if method not in _DRAWS:
        raise ValueError(f"{method} is no draw that is recorded")
    generator = _unpacked(state)
    drawn = np.asarray(getattr(generator, method)(*args, **kwargs))
    return drawn, _packed(generator.bit_generator)


def _order(state: State, rows: Any) -> tuple[Any, State]:
    """Draw an order of as many rows as an array has, or as a number says."""
    generator = _unpacked(state)
    order = np.arange(rows if np.ndim(rows) == 0 else len(rows))
    generator.shuffle(order)
    return order, _packed(generator.bit_generator)


def _chosen(state: State, rows: Any, size: Any, replace: bool, p: Any) -> tuple[Any, State]:
    """Choose rows of an array, or of as many as a number says, by their numbers."""
    generator = _unpacked(state)
    n = int(rows) if np.ndim(rows) == 0 else len(rows)
    numbers = np.asarray(generator.choice(n, n if size is None else size, replace=replace, p=p))
    return numbers, _packed(generator.bit_generator)


DRAW: Final = Op("draw", _draw)
DRAW_ORDER: Final = Op("draw_order", _order)
DRAW_ROWS: Final = Op("draw_rows", _chosen)


@implements(DRAW, DRAW_ORDER, DRAW_ROWS, family="draws", shape_from_values=None)
def drawn_rows(node: Node) -> Edges:
    """No value flows in: of the rows it takes how many there are."""
    return []


def _rows(x: Any, numbers: Any) -> Any:
    """Return rows of a tensor or an array; of a number the numbers themselves."""
    if isinstance(x, Tracked):
        tensor: Any = x
        return tensor[numbers] if x._array.ndim else numbers
    return np.take(x, numbers, axis=0) if np.ndim(x) else numbers


class RecordedGenerator:
    """A random generator of which every draw is recorded; `tp.rng` makes it.

    Draws are tensors. Where a draw is made for the rows of a tensor, give the tensor and not its
    length: `rng.permutation(X)`, `rng.choice(X, 100)`.
    """

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state: Any = state

    def _call(self, op: Op, *args: Any, **kwargs: Any) -> Any:
        captured = capture((self._state, *args), kwargs)
        result = op(*captured.args, **captured.kwargs)
        if not captured.inputs:  # the first draw, of plain numbers: no tensor to wrap by
            captured.inputs = [wrap(KIND[0], self._state, None)]  # type: ignore[arg-type]
        drawn, self._state = wrap_result(op, captured, result)
        return drawn

    def permutation(self, x: Any) -> Any:
        """Return the rows of a tensor in random order; of a number n, the numbers below it."""
        order = self._call(DRAW_ORDER, x)
        return _rows(x, order)

    def shuffle(self, x: Any) -> None:
        """Put the rows of a tensor in random order, in place.

        Raises
        ------
        LineageError
            When it is no tensor: nothing is written.
        """
        if not isinstance(x, Tracked) or not x._array.ndim:
            raise LineageError(
                f"rng.shuffle takes a tensor, not a {type(x).__name__}: nothing was written; "
                "shuffle plain arrays with a generator of NumPy"
            )
        tensor: Any = x
        order = self._call(DRAW_ORDER, tensor)
        tensor[...] = tensor[order]

    def choice(self, a: Any, size: Any = None, replace: bool = True, p: Any = None) -> Any:
        """Choose rows of a tensor, or numbers below a number n; as many as there are by default."""
        if isinstance(p, Tracked):
            raise LineageError(
                "rng.choice by tracked probabilities isn't recorded: choose rows by a mask of them"
            )
        return _rows(a, self._call(DRAW_ROWS, a, size, replace, p))

    def __getattr__(self, name: str) -> Any:
        if name not in _DRAWS:
            raise AttributeError(
                f"tp.rng records no draw {name!r}: it has permutation, shuffle, choice, "
                f"{', '.join(_DRAWS)}"
            )

        def draw(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(each, Tracked) for each in (*args, *kwargs.values())):
                raise LineageError(
                    f"rng.{name} of tracked parameters isn't recorded: draw with fixed parameters "
                    "and compute with the draws, as mean + std * rng.standard_normal(n)"
                )
            return self._call(DRAW, name, *args, **kwargs)

        return draw


def rng(seed: Any = None) -> RecordedGenerator:
    """Make a random generator whose draws are recorded and can be replayed.

    Parameters
    ----------
    seed : int, numpy.random.Generator, or None
        As for `numpy.random.default_rng`. A generator is taken in the state that it is in; it isn't
        moved by the draws.

    Returns
    -------
    RecordedGenerator

    Raises
    ------
    LineageError
        When the state of the generator can't be recorded, as that of a bit generator of yours.

    Examples
    --------
    >>> rng = tp.rng(7)  # doctest: +SKIP
    >>> shuffled = rng.permutation(X)  # doctest: +SKIP
    """
    generator = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
    bits = generator.bit_generator
    name = type(bits).__name__
    if name not in _BIT_GENERATORS or type(bits) is not getattr(np.random, name):
        raise LineageError(
            f"the state of {name} can't be recorded, so that its draws couldn't be replayed: give "
            "a seed, or a generator of NumPy's own"
        )
    return RecordedGenerator(_packed(bits))
