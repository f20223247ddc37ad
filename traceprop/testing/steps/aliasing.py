"""Shared memory: masks and indices over what they choose from, results over their inputs.

And writes that raise, copies of views, rows handed from one caller to the next, threads.
"""

from __future__ import annotations

import copy
import functools
import itertools
import operator
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, SETITEM, Builder, Var
from traceprop.testing.steps import ANY, INTEGERS, REAL, pick, step
from traceprop.testing.steps.mutators import pick_target


def _beside(choices: Choices, b: Builder, x: Var) -> tuple[Var, Var]:
    """Two views of `x` of one shape: itself and its mirror, or all but the first and the last."""
    key, other = choices.pick(
        (
            (slice(None), slice(None)),
            (slice(None), slice(None, None, -1)),
            (slice(1, None), slice(None, -1)),
            (slice(None, -1), slice(1, None)),
        )
    )
    return b.call(GETITEM, x, key), b.call(GETITEM, x, other)


@step("aliasing")
def _mask_over_itself(choices: Choices, b: Builder) -> None:
    x, mask = _beside(choices, b, pick_target(choices, b, kinds="b"))
    shape = b.value(x).shape
    value = pick(choices, b, "b", test=lambda v: v.shape == shape)
    way = choices.integer(0, 4)
    if way == 0:
        b.write(np.copyto, x, value, where=mask)
    elif way == 1:
        b.write(np.putmask, x, mask, value)
    elif way == 2:
        b.write(np.place, x, mask, value)
    elif way == 3:
        b.write(np.logical_or, x, value, out=x, where=mask)
    else:
        b.write(SETITEM, x, mask, choices.flag())


@step("aliasing")
def _index_over_itself(choices: Choices, b: Builder) -> None:
    whole = pick_target(choices, b, kinds=INTEGERS)
    count = len(b.value(whole))
    b.write(np.remainder, whole, max(count - 1, 1), out=whole)
    x, index = _beside(choices, b, whole)
    way = choices.integer(0, 4)
    if way == 0:
        b.write(np.put, x, index, b.call(np.negative, x))
    elif way == 1:
        b.write(SETITEM, x, index, x)
    elif way == 2:
        b.write(np.add.at, x, index, 1)
    elif way == 3:
        b.write(np.take, x, index, out=x, mode="wrap")
    else:
        b.write(np.choose, b.call(np.remainder, x, 2), [x, index], out=x)


@step("aliasing")
def _result_over_an_input(choices: Choices, b: Builder) -> None:
    out, x = _beside(choices, b, pick_target(choices, b, kinds="f"))
    way = choices.integer(0, 5)
    if way == 0:
        b.write(choices.pick((np.add, np.copysign, np.maximum)), x, out, out=out)
    elif way == 1:
        b.write(choices.pick((np.cumsum, np.cumprod)), x, axis=0, out=out)
    elif way == 2:
        b.write(np.add.accumulate, x, axis=choices.axis(b.value(x).ndim), out=out)
    elif way == 3:
        b.write(np.copyto, out, x)
    elif way == 4:
        b.write(np.divmod, x, 2, out=(out, x))
    else:
        b.write(np.clip, x, out, 2, out=out)


@step("aliasing")
def _product_over_a_factor(choices: Choices, b: Builder) -> None:
    def square(value: Any) -> bool:
        return bool(value.shape[0] == value.shape[1] and value.flags.writeable)

    x = pick(choices, b, "f", ndim=2, most=2, test=square)
    b.write(choices.pick((np.matmul, np.dot)), x, x, out=x)


@step("aliasing")
def _copy_of_a_view(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=1)
    b.call(choices.pick((copy.copy, copy.deepcopy, _pickled)), x)


def _pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))  # noqa: S301 - our own bytes


@step("aliasing")
def _bytes_of_another_type(choices: Choices, b: Builder) -> None:
    """Write into another reading of an array's bytes."""
    x = pick_target(choices, b, kinds="f")
    kind = b.value(x).dtype
    way = choices.integer(0, 2)
    if way == 0:
        part = b.call(_field, x, kind)
    elif way == 1:
        part = b.call(_field, x, np.dtype("i2"), choices.pick((0, 2)))
    else:
        part = b.call(np.real, x)
    b.write(SETITEM, part, choices.slice(len(b.value(part))), 1)


def _field(x: Any, *kind: Any) -> Any:
    return x.getfield(*kind)


@step("aliasing")
def _write_that_raises(choices: Choices, b: Builder) -> None:
    """Raise always: whether a write raises may depend on no value: no lineage says so."""
    b.write(_put_too_far, pick_target(choices, b), pick(choices, b, "fi", most=1, test=len))


def _put_too_far(x: Any, values: Any) -> None:
    try:
        np.put(x, [0, x.size], values)
    except IndexError:
        return


@step("aliasing")
def _rows_from_hand_to_hand(choices: Choices, b: Builder) -> None:
    """Rows that C code takes one by one and puts together."""
    x = pick(choices, b, "fi", test=len)
    b.call(choices.pick((_summed, _reduced, _accumulated, _mapped)), x)


def _summed(x: Any) -> Any:
    return sum(x)


def _reduced(x: Any) -> Any:
    return functools.reduce(operator.add, x)


def _accumulated(x: Any) -> Any:
    return list(itertools.accumulate(x, operator.mul))[-1]


def _mapped(x: Any) -> Any:
    return list(map(operator.sub, reversed(x), (row * 2 + 1 for row in x)))[0]  # noqa: RUF015


@step("aliasing")
def _shuffled_in_place(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    if b.value(x).ndim == 1:
        b.write(_shuffled, x)


def _shuffled(x: Any) -> None:
    np.random.default_rng(5).shuffle(x)


@step("aliasing")
def _parts_written_by_threads(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    y = pick(choices, b, REAL, ndim=0, most=0)
    b.write(choices.pick((_views_in_threads, _rows_in_threads)), x, y)


def _views_in_threads(x: Any, y: Any) -> None:
    parts: list[Any] = []
    _together(lambda: parts.append(x[::2]), lambda: parts.append(x[1::2]))
    _together(lambda: _double(parts[0]), lambda: np.copyto(parts[1], y, casting="unsafe"))


def _double(x: Any) -> None:
    x *= 2


def _rows_in_threads(x: Any, y: Any) -> None:
    middle = len(x) // 2
    _together(
        lambda: operator.setitem(x, slice(None, middle), y),
        lambda: operator.setitem(x, slice(middle, None), x[middle:] * 2),
    )


def _together(*jobs: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(len(jobs)) as pool:
        for started in [pool.submit(job) for job in jobs]:
            started.result()
