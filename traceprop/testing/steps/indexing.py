"""`x[key]` with keys of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, Builder
from traceprop.testing.steps import ANY, index_of, mask_of, pick, step


def draw_basic_key(choices: Choices, shape: tuple[int, ...]) -> Any:
    """Draw a key of numbers, slices, an ellipsis and new axes."""
    parts: list[Any] = []
    for length in shape[: choices.integer(1, len(shape))]:
        if length and choices.integer(0, 2) == 0:
            parts.append(choices.integer(-length, length - 1))
        else:
            parts.append(choices.slice(length))
    if choices.rarely():
        parts.insert(choices.integer(0, len(parts)), None)
    if choices.rarely():
        parts = [..., *parts] if choices.flag() else [*parts, ...]
    return parts[0] if len(parts) == 1 else tuple(parts)


@step("indexing")
def _basic(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    b.call(GETITEM, x, draw_basic_key(choices, b.value(x).shape))


@step("indexing")
def _truths_among_numbers(choices: Choices, b: Builder) -> None:
    """Put True or False, masks of no dimension, among numbers, slices and an index."""
    x = pick(choices, b, ANY)
    key = draw_basic_key(choices, b.value(x).shape)
    parts = [*key] if isinstance(key, tuple) else [key]
    if choices.rarely():
        parts[-1] = [0, -1]
    parts.insert(choices.integer(0, len(parts)), choices.pick((True, True, False, np.True_)))
    b.call(GETITEM, x, tuple(parts))


@step("indexing")
def _row_mask(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    mask = mask_of(choices, b, b.value(x).shape[:1])
    b.call(GETITEM, x, mask)


@step("indexing")
def _cell_mask(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=2)
    shape = b.value(x).shape
    way = choices.integer(0, 2)
    if way == 0:
        b.call(GETITEM, x, mask_of(choices, b, shape))
    elif way == 1:
        b.call(GETITEM, x, mask_of(choices, b, shape[:2]))
    else:
        b.call(GETITEM, x, (slice(None), mask_of(choices, b, shape[1:2])))


@step("indexing")
def _row_index(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    index = index_of(choices, b, len(b.value(x)))
    if choices.rarely() and isinstance(index, np.ndarray):
        index = index.tolist()
    b.call(GETITEM, x, index)


@step("indexing")
def _mixed(choices: Choices, b: Builder) -> None:
    """Put an index beside numbers, slices, new axes or another index."""
    x = pick(choices, b, ANY, ndim=2)
    shape = b.value(x).shape
    rows = index_of(choices, b, shape[0])
    way = choices.integer(0, 5)
    if way == 0:
        key: Any = (rows, choices.slice(shape[1]))
    elif way == 1:
        key = (rows, choices.integer(0, shape[1] - 1))
    elif way == 2:
        key = (choices.slice(shape[0]), index_of(choices, b, shape[1]))
    elif way == 3:
        count = len(b.value(rows) if not isinstance(rows, np.ndarray) else rows)
        key = (rows, index_of(choices, b, shape[1], count))
    elif way == 4:
        key = (choices.integer(0, shape[0] - 1), index_of(choices, b, shape[1]))
    else:
        key = (None, rows) if choices.flag() else (rows, None)
    b.call(GETITEM, x, key)


@step("indexing")
def _two_dimensional_index(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    n = len(b.value(x))
    index = np.array(choices.integers(0, n - 1, 4)).reshape(2, 2)
    b.call(GETITEM, x, index)


@step("indexing")
def _open_mesh(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ndim=2)
    rows, columns = b.value(x).shape[:2]
    key = np.ix_(choices.integers(0, rows - 1, 2), choices.integers(0, columns - 1, 2))
    b.call(GETITEM, x, key)


@step("indexing")
def _along_axis(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi")
    axis = choices.axis(b.value(x).ndim)
    order = b.call(np.argsort, x, axis=axis, kind="stable")
    b.call(np.take_along_axis, x, order, axis)


@step("indexing")
def _one_row_by_number(choices: Choices, b: Builder) -> None:
    """Use a tracked number as the key: the row that an argmax found."""
    x = pick(choices, b, "fi", test=len)
    best = b.call(np.argmax, x, axis=0)
    if b.value(best).ndim == 0:
        b.call(GETITEM, x, best)
    else:
        b.call(np.take, x, best, axis=0)
