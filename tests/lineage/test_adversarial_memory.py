"""Programs written to break the lineage: memory that two names share, masks written after use.

Random programs reach most of these rarely or never. Each is a function of one or two arrays; the
perturbation oracle judges it.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.lineage.adversary import CODES, Programs, V, X, at_granularity_op
from traceprop.testing import assert_sound

PROGRAMS = Programs()


# Memory that two names share.


@PROGRAMS.on(V)
def _cast_without_copy(v):
    same = v.astype(float, copy=False)
    same[0] = v[4]
    return v, same


@PROGRAMS.on(CODES)
def _rounded_integers_are_the_same_array(codes):
    rounded = codes.round()
    rounded[1] = codes[2]
    return codes, rounded


@PROGRAMS.on(X)
def _write_through_two_views(x):
    column, row = x[:, 0], x[2]
    column += 1
    row *= column[0]
    column[0] = row[1]
    return x, column, row


@PROGRAMS.on(X)
def _siblings(x):
    low, high = x[:3], x[1:]
    low[1:] = high[1:]
    high += low[0]
    return x, low, high


@PROGRAMS.on(X)
def _flat_of_a_transpose(x):
    across = x.T
    across.ravel(order="K")[0] = x[3, 1]
    return x, across


@PROGRAMS.on(X, V)
def _diagonal_by_einsum_is_a_view(x, v):
    square = x[:2]
    diagonal = np.einsum("ii->i", square)
    diagonal[:] = v[:2]
    return x, diagonal


@PROGRAMS.on(X)
def _parts_of_complex_cells(x):
    z = x + 1j * x[::-1]
    z.real[0] = x[3]
    z.imag[:, 1] = 0
    return z


@PROGRAMS.on(X)
def _bytes_as_other_numbers(x):
    halves = x.view(np.uint32)
    halves[0, 0] = 7
    halves[1:2] = halves[3:4]
    return x, halves


@PROGRAMS.on(V)
def _placing_into_itself(v):
    np.place(v, np.array([False, True, False, True, True]), v)
    return v


@PROGRAMS.on(X)
def _filling_the_diagonal_from_itself(x):
    square = x[:2]
    np.fill_diagonal(square, square.ravel()[::3][::-1])
    return x


@PROGRAMS.on(V, V[::-1].copy())
def _view_by_a_strided_window(v, w):
    windows = np.lib.stride_tricks.sliding_window_view(v, 2)
    v[1] = w[0]
    return windows


@PROGRAMS.on(V)
def _no_copy_for_nan(v):
    same = np.nan_to_num(v, copy=False)
    same[0] = v[2]
    return v, same


@PROGRAMS.on(V)
def _trimmed_is_a_view(v):
    trimmed = np.trim_zeros(np.where(v > 0, v, 0.0))
    trimmed[0] = v[3]
    return trimmed


@PROGRAMS.on(V)
def _trimmed_by_what_is_no_longer_there(v):
    trimmed = np.trim_zeros(v)
    v[:] = 3.0
    return trimmed


@PROGRAMS.on(np.array([1 + 0j, 2, 3]))
def _complex_or_not_by_its_values(z):
    return np.real_if_close(z).copy()


@PROGRAMS.on(X)
def _type_of_the_first_result(x):
    return np.apply_along_axis(lambda row: 1 if row[0] > 0 else row[1], 1, x)


@PROGRAMS.on(V, V[:3, np.newaxis].copy())
def _grids_that_share_memory(v, w):
    wide, tall = np.broadcast_arrays(v, w)
    same, other = np.broadcast_arrays(v, v[::-1])
    x, y = np.meshgrid(v, w[:, 0], copy=False)
    z, t = np.meshgrid(v, w[:, 0], copy=False, sparse=True)
    v[1] = w[2, 0]
    w *= v[0]
    same[0] = w[0, 0]
    z[0, 2] = 7.0
    return v, w, wide, tall, same, other, x, y, z, t


@PROGRAMS.on(V, X)
def _arrays_of_at_least_so_many_axes(v, x):
    row, _, same = np.atleast_2d(v, 2.0, x)
    row[0, 1] = x[0, 0]
    same[1] = v[0]
    return v, x, row, same


@PROGRAMS.on(V[:1], np.ones((0, 2)))
def _broadcast_to_one_cell_or_none(v, none):
    one, _ = np.broadcast_arrays(v, v[0])
    empty, _ = np.broadcast_arrays(none[:, :1], none)
    one[...] = 2.0
    empty[...] = 2.0
    return v, none, one, empty


@PROGRAMS.on(V, X)
def _rows_in_a_list_are_broadcast(v, x):
    both, wide = np.broadcast_arrays([v[0], v[1]], x)
    return both, wide


# One index or mask for several arrays, and masks that are written after use.


@PROGRAMS.on(X, V)
def _one_index_for_two_lengths(x, v):
    index = np.argsort(v[:2]) - 1
    return x[index], v[index], v[:3][index]


@PROGRAMS.on(V, V[::-1].copy())
def _one_mask_to_choose_and_to_place(v, w):
    mask = v > 0
    chosen = w[mask]
    np.place(w, mask, v)
    np.putmask(v, mask, w)
    return chosen, v, w


@PROGRAMS.on(V, V[::-1].copy())
def _mask_written_after_use(v, w):
    mask = v > 0
    chosen = w[mask]
    mask[0] = w[2] > 1
    mask[:] = mask[::-1]
    return chosen, w[mask]


@PROGRAMS.on(CODES, V)
def _index_written_after_use(codes, v):
    taken = v[codes]
    codes += 1
    return taken, np.take(v, codes), v[codes]


@PROGRAMS.on(V)
def _mask_that_is_a_view(v):
    masks = np.stack([v > 0, v > 1])
    first = masks[0]
    chosen = v[first]
    masks[0] = ~first
    return chosen, v[first]


@PROGRAMS.on(CODES)
def _plain_rows_by_tracked_masks(codes):
    plain = np.arange(5.0)
    kept = np.compress(codes > 7, plain)
    return (
        kept.sum(),
        np.delete(plain, codes > 0),
        np.extract(codes, plain),
    )


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound(function, arrays):
    assert_sound(function, *arrays)


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound_without_masks_kept(function, arrays):
    assert_sound(at_granularity_op(function), *arrays)
