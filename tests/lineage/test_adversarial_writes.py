"""Programs that write where somebody else reads: overlaps, masks, aliases, failures."""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest

from tests.lineage.adversary import (
    CODES,
    CUBE,
    FLAGS,
    SQUARE,
    Programs,
    V,
    W,
    X,
)
from traceprop.lineage import strict
from traceprop.testing import assert_sound

PROGRAMS = Programs()


# Views of views, strided and reversed.


@PROGRAMS.on(X)
def _rows_of_overlapping_parts(x):
    x[1:] = x[:-1]
    x[:-1] += x[1:]
    x[::-1] -= x
    x.T[0] = x[:, 1]
    x[:, ::-1] = x
    x[[0, 1]] = x[[1, 0]]
    x[0], x[1] = x[1], x[0]
    return x


@PROGRAMS.on(X)
def _views_of_views(x):
    low = x[1:]
    turned = low.T
    last_first = turned[::-1]
    both = last_first[:, ::-1]
    flat = both.reshape(-1)
    both[0, 0] = x[0, 0]
    turned[1] = x[0, 1]
    flat[0] = 99
    last_first *= 2
    low[0] = turned[:, 1]
    return x, low, turned, last_first, both, flat


@PROGRAMS.on(CUBE)
def _strided_parts(c):
    every_other = c[:, ::2]
    columns = every_other[..., 1::2]
    moved = columns.transpose(2, 0, 1)
    moved[0] = c[0, 0, 0]
    every_other[1] *= 2
    flat = c.reshape(6, 4)
    flat[1:3] = flat[3:5]
    swapped = c.swapaxes(0, 2)
    swapped[::3] = c[1, 2, 3]
    middle_first = np.moveaxis(c, 1, 0)
    middle_first[2] += c[0, 1, 1]
    return c, every_other, columns, moved, flat, swapped, middle_first


@PROGRAMS.on(CUBE)
def _parts_by_functions(c):
    quarter = np.rot90(c)
    quarter[0] = 7
    mirrored = np.flip(c, (0, 2))
    mirrored[0, 0] = c[0, 2]
    same = np.atleast_2d(c)
    same[0] = 1
    pieces = np.hsplit(c, [1])
    pieces[1][:] = pieces[1][::-1].copy()
    deeper = np.expand_dims(c, 0)
    deeper[0, 1] = 2
    parts = np.unstack(c)
    parts[0][:] = c[1] * 2
    diagonal = np.diagonal(c, axis1=0, axis2=1)
    return c, quarter, mirrored, same, *pieces, deeper, *parts, diagonal


@PROGRAMS.on(X)
def _windows_and_broadcasts_show_what_is_written(x):
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2))
    wide = np.broadcast_to(x[0], (3, 2))
    x[0] = x[3]
    return x, windows, wide


@PROGRAMS.on(X)
def _copies_of_views(x):
    shallow, deep, part = copy.copy(x.T), copy.deepcopy(x.T), x[1:]
    again = pickle.loads(pickle.dumps(part))  # noqa: S301 - our own bytes
    again[0] = x[0]
    part[0] = again[1]
    both = copy.deepcopy([x, part])
    both[1][0] = 1.0
    return x, shallow.ravel("K"), deep.ravel("K"), part, again, *both


@PROGRAMS.on(X)
def _flat_cells(x):
    x.flat[1] = x[3, 0]
    x.flat[[2, 3]] = x[0, 0]
    x.flat = x.ravel()[::-1].copy()
    x.flat[1:3] = x.flat[4:6]
    return x, x.flat[2], x.flat[::3]


@PROGRAMS.on(X)
def _resized_in_the_order_of_memory(x):
    by_columns, by_rows, smaller = np.copy(x, order="F"), x.copy(), x.copy()
    by_columns.resize((2, 3), refcheck=False)
    by_rows.resize(3, 3, refcheck=False)
    smaller.resize(2, 2)
    return by_columns, by_rows, smaller


@PROGRAMS.on(V, W)
def _of_no_dimension(v, w):
    zero = v[:1].reshape(())
    zero[...] = v[3]
    zero += w[1]
    zero[()] = zero * 2
    part = v[2, ...]
    part[...] = 5
    np.add(w[0], v[1], out=part)
    zero.fill(w[4])
    return v, zero, part


@PROGRAMS.on(np.zeros((0, 3)), V)
def _of_no_cells(none, v):
    joined = np.concatenate([none[:, 0], v])
    none[:] = 1
    none += v[0]
    sums = none.sum(axis=0)
    sums[:] = v[:3]
    narrow = np.zeros((3, 0), like=v)
    narrow[:] = v[0]
    return none, joined, sums, narrow.sum(axis=1), none.T, none.max(axis=0, initial=v[0])


# Masks and indices on the memory that they choose from.


@PROGRAMS.on(FLAGS, W > 0)
def _a_mask_copied_by_its_own_mirror(m, s):
    np.copyto(m, s, where=m[::-1])
    return m


@PROGRAMS.on(FLAGS, W > 0)
def _a_mask_computed_by_its_own_mirror(m, s):
    np.logical_or(m, s, out=m, where=m[::-1])
    np.putmask(m, m[::-1], s)
    return m


@PROGRAMS.on(np.append(FLAGS, True), W > 0)
def _a_mask_placed_by_its_neighbours(m, s):
    np.place(m[1:], m[:-1], s)
    np.putmask(m[:-1], m[1:], s)
    m[1:][m[:-1]] = s[0]
    m[m] = False
    return m


@PROGRAMS.on(CODES, CODES[::-1].copy())
def _indices_into_themselves(c, v):
    np.put(c, c, v)
    np.put(c[1:], c[:-1] % 4, v)
    c[c % 5] = v
    c[c[::-1] % 5] += 1
    np.put_along_axis(c, c[::-1] % 5, c, 0)
    return c


@PROGRAMS.on(CODES)
def _sums_at_themselves(c):
    np.add.at(c, c, 1)
    np.add.at(c, c % 5, c)
    np.add.at(c[1:], c[:-1] % 4, c[1:])
    np.negative.at(c, c % 5)
    return c


@PROGRAMS.on(CODES)
def _taken_from_themselves(c):
    np.take(c, c, out=c, mode="wrap")
    np.choose(c % 2, [c, c[::-1]], out=c)
    return c


@PROGRAMS.on(CUBE, np.array([[True, False, True], [False, True, True]]))
def _masks_of_fewer_dimensions(c, m):
    picked = c[m]
    c[m] = picked[::-1]
    one, some, rows, columns = c.copy(), c.copy(), c.copy(), c.copy()
    one[m] = 5
    some[m, 1] = 9
    rows[m] = np.arange(4.0)
    columns[m, 0:2] = picked[:, :2]
    return c, picked, one, some, rows, columns


@PROGRAMS.on(CUBE, np.array([True, False, True]))
def _masks_of_an_inner_axis(c, m):
    c[:, m] = c[:, m][:, ::-1]
    c[1, m, 2:] = 7
    c[0][m] = c[1][m]
    turned = c.transpose(1, 2, 0)
    turned[m] = 1.0
    turned[::2] += c[0, 0, 0]
    return c, c[:, m, 1], turned


# `out=` on the memory of an input, or of another result.


@PROGRAMS.on(V, CODES)
def _results_into_their_inputs(v, c):
    np.take(v, np.array([1, 0, 3, 2, 4]), out=v, mode="clip")
    np.take(v, c, out=v, mode="wrap")
    np.add.accumulate(v, out=v[::-1])
    np.add.reduce(v.reshape(5, 1), axis=1, out=v[::-1])
    np.add.reduceat(v, [0, 3, 1], out=v[:3])
    np.clip(v, v[::-1], 2, out=v)
    np.round(v, 1, out=v[::-1])
    return v


@PROGRAMS.on(SQUARE)
def _products_into_their_factors(s):
    np.dot(s, s, out=s)
    np.matmul(s, s, out=s)
    np.einsum("ij->ji", s, out=s)
    np.cumsum(s, axis=0, out=s.T)
    return s


@PROGRAMS.on(V)
def _two_results_on_the_same_memory(v):
    both = np.zeros_like(v)
    np.divmod(v, 2, out=(both, both))
    row = np.zeros(6, like=v)
    np.divmod(v, 2, out=(row[1:], row[:-1]))
    return both, row


@PROGRAMS.on(SQUARE)
def _reductions_with_where_and_out(s):
    sums = np.zeros(3, like=s)
    np.sum(s, axis=0, where=s > 0, out=sums)
    most = np.zeros(3, like=s)
    np.max(s, axis=1, initial=0, where=s > 1, out=most)
    return sums, most


@PROGRAMS.on(X, V)
def _at_in_all_its_forms(x, v):
    np.add.at(v, [0, 0, 1], x[:3, 0])
    np.multiply.at(v, np.array([1, 1]), x[3, 1])
    np.maximum.at(v, slice(1, 4), x[:3, 1])
    np.subtract.at(v, v > 0, 1.0)
    np.add.at(x, ([0, 0, 1], [1, 1, 0]), v[:3])
    np.add.at(x, (slice(None), 0), v[:4])
    np.add.at(x, ([2, 2],), x[:2])
    np.add.at(x.T, [0, 0], v[:4])
    return x, v


@PROGRAMS.on(X)
def _shuffled_through_a_view(x):
    column = x[:, 0]
    np.random.default_rng(0).shuffle(column)
    random.Random(0).shuffle(column)
    return x, column


# Writes that raise halfway.


@PROGRAMS.on(V, W)
def _a_division_by_zero_that_is_an_error(v, w):
    quotients = np.ones_like(v)
    with np.errstate(all="raise"):
        for divide in (
            lambda: np.true_divide(v, w, out=quotients),
            lambda: v.__itruediv__(w),
            lambda: np.divide.at(w, [0, 1, 2, 3], quotients[:4]),
        ):
            try:
                divide()
            except FloatingPointError:
                continue
    return v, w, quotients


@PROGRAMS.on(V, W)
def _an_index_out_of_bounds_after_others(v, w):
    for write in (lambda: np.put(v, [0, 77], w), lambda: np.put(v, [1, 77], 5)):
        try:
            write()
        except IndexError:
            continue
    return v


@PROGRAMS.on(V, W)
def _a_write_that_nothing_came_of(v, w):
    for key, value in (((0, 9), w[0]), (slice(0, 2), w[:3]), ([0, 99], w[0]), (0, "x")):
        try:
            v[key] = value
        except (IndexError, ValueError):
            continue
    return v


@PROGRAMS.on(np.array([3, 1, 2], dtype=object), np.array([1, 2, 3], dtype=object))
def _an_object_that_refuses(o, q):
    class Refuses:
        def __radd__(self, other):
            raise ValueError

    o = np.concatenate([o, np.array([Refuses()], dtype=object)])
    q = np.concatenate([q, q[:1]])
    for add in (lambda: np.add(q, o, out=q), lambda: q.__iadd__(o)):
        try:
            add()
        except ValueError:
            continue
    return q


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound(function, arrays):
    assert_sound(function, *arrays)


# Plain arrays that tracked values went into, known when they come back. The values leave, so that
# these can't run under strict, which the oracle turns on.

BUFFERS = Programs()


@BUFFERS.on(V, X)
def _a_buffer_as_a_value(v, x):
    buffer = np.zeros(5)
    np.add(v, 1, out=buffer)
    row, part, whole = x.copy(), v.copy(), v.copy()
    row[0] = buffer[:2]
    part[1:3] = buffer[1:3]
    whole[:] = buffer
    return row, part, whole


@BUFFERS.on(V, W)
def _a_buffer_written_through_a_view(v, w):
    buffer = np.zeros(5)
    np.add.at(buffer, [0, 1], v[:2])
    np.add.at(buffer[2:], [0, 1], w[:2])
    return v * buffer


@BUFFERS.on(V, CODES)
def _a_buffer_as_an_index(v, codes):
    buffer = np.zeros(5, dtype=int)
    np.add(codes, 0, out=buffer)
    written = v.copy()
    written[buffer] = 1.0
    return v[buffer], written, np.take(v, buffer)


@pytest.mark.parametrize(("function", "arrays"), BUFFERS)
@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
def test_a_buffer_is_known_when_it_comes_back(function, arrays):
    def openly(*arguments):
        with strict(False):
            return function(*arguments)

    assert_sound(openly, *arrays)
