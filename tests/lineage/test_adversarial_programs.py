"""Programs written to break the lineage: shared memory, empty results, ties to what comes later.

Random programs reach most of these rarely or never. Each is a function of one or two arrays; the
perturbation oracle judges it.
"""

from __future__ import annotations

import operator

import numpy as np
import pytest

import traceprop as tp
from tests.lineage.adversary import CODES, RECORDS, Programs, V, X
from traceprop.errors import LineageError
from traceprop.lineage import granularity, strict
from traceprop.testing import assert_sound

PROGRAMS = Programs()


# What is left empty still hangs on what emptied it.


@PROGRAMS.on(-np.abs(V))
def _sum_of_an_empty_selection(v):
    return v[v > 0].sum()


@PROGRAMS.on(-np.abs(V), X)
def _behind_an_empty_selection(v, x):
    return np.concatenate([v[v > 0], x[:, 0]])


@PROGRAMS.on(V)
def _zeros_like_a_selection(v):
    return np.zeros_like(v[v > 0])


@PROGRAMS.on(V)
def _first_of_a_selection(v):
    return v[v > 0][:1]


@PROGRAMS.on(np.zeros(3))
def _roots_of_nothing(p):
    return np.roots(p).sum()


@PROGRAMS.on(CODES)
def _positions_counted(codes):
    return np.flatnonzero(codes == 7).sum()


@PROGRAMS.on(V, V[::-1].copy())
def _one_type_for_all(v, w):
    return np.stack([np.emath.sqrt(np.abs(v)), w])


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
    turned = x.T
    turned.ravel(order="K")[0] = x[3, 1]
    return x, turned


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


# Arrays taken for sequences of their rows.


@PROGRAMS.on(V[:4])
def _laid_out_by_columns(v):
    return v.reshape((2, 2), order="F"), np.reshape(v.reshape(2, 2), -1, order="F")


@PROGRAMS.on(np.arange(12.0).reshape(2, 2, 3))
def _joined_from_one_array(cube):
    return [
        np.concatenate(cube, axis=axis) for axis in (0, 1)
    ] + [
        f(cube) for f in (np.vstack, np.hstack, np.dstack, np.column_stack, np.stack, np.block)
    ]  # fmt: skip


@PROGRAMS.on(np.array([[0, 1, 1], [1, 0, 0]]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
def _choices_from_one_array(which, choices):
    return np.choose(which, choices), np.choose(which, choices[:, :1])


@PROGRAMS.on(np.array([[True, False], [True, True]]), np.array([[1.0, 2.0], [3.0, 4.0]]))
def _conditions_from_one_array(conditions, choices):
    return np.select(conditions, choices), np.select(list(conditions), list(choices))


@PROGRAMS.on(np.stack([np.eye(2), 2 * np.eye(2)]))
def _matrices_from_one_array(stack):
    return np.linalg.multi_dot(stack), np.lexsort(stack[:, 0]), np.meshgrid(*stack[0])


@PROGRAMS.on(X, X[::-1].copy())
def _start_and_mask_of_a_sum(x, y):
    return np.sum(x, axis=1, initial=y[0, 0], where=y > 0), np.add.reduce(x, 1, None, None, True)


@PROGRAMS.on(X)
def _axes_that_stay(x):
    return x.sum(axis=()), np.max(x, axis=-2, keepdims=True), np.moveaxis(x[None], -1, 0)


# The order of evaluation, augmented assignment, and results that hang on their place.


@PROGRAMS.on(X, X[::-1].copy())
def _augmented_item(x, y):
    x[1] += y[2]
    x[:, 0] -= y[0, 1]
    x[x > 2] *= 0.5
    return x


@PROGRAMS.on(CODES, V)
def _sums_by_group(codes, v):
    sums = np.zeros_like(v)
    np.add.at(sums, codes, v)
    return sums, sums[codes]


@PROGRAMS.on(V)
def _running_result_into_itself(v):
    np.cumsum(v, out=v)
    np.add(v[1:], v[:-1], out=v[1:])
    return v


@PROGRAMS.on(V, V[::-1].copy())
def _where_keeps_what_was_there(v, w):
    np.multiply(v, 2, out=w, where=v > 0)
    return w


@PROGRAMS.on(V, X)
def _a_number_into_a_selection(v, x):
    kept = v[v > 0]
    np.add(x[0, 0], 1, out=kept)
    again = v[v > 1]
    np.multiply(2, 3, out=again)
    return kept, kept.sum(), again.sum()


@PROGRAMS.on(V, X)
def _a_running_sum_into_a_selection(v, x):
    one = v[v > 2]
    np.cumsum(x[:1, 0], out=one)
    typed = np.emath.log(np.abs(v))
    np.maximum(v, 2, out=typed)
    return one, typed


@PROGRAMS.on(np.array([[1.0], [-1.0]]), np.array([[5.0]]))
def _as_it_was_or_broadcast(x, y):
    same, other = np.broadcast_arrays(x[x > 0], y[0])
    return same.copy(), other.copy()


@PROGRAMS.on(X)
def _two_results_into_arguments(x):
    whole, rest = np.zeros_like(x), x.copy()
    np.divmod(x, 2, out=(whole, rest))
    return whole, rest


@PROGRAMS.on(X)
def _columns_sorted_in_place(x):
    x[:, 1].sort()
    return x


@PROGRAMS.on(V)
def _power_of_two_by_operator(v):
    return v**2, v**0.5, 2**v


@PROGRAMS.on(RECORDS)
def _fields(records):
    records["b"][1:] = records["a"][:-1]
    return records, records["a"] + records["b"]


@PROGRAMS.on(RECORDS)
def _several_fields(records):
    records[["a", "b"]][2] = records[0]
    return records


@PROGRAMS.on(RECORDS)
def _a_record_is_a_view(records):
    records[0]["a"] = records["b"][2]
    return records


@PROGRAMS.on(np.array(["b", "ab", "a"]), np.array(["x", "y", "z"]))
def _text(words, others):
    words[1] = others[2]
    return np.sort(words), words == others, np.strings.add(words, others)


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound(function, arrays):
    assert_sound(function, *arrays)


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound_without_masks_kept(function, arrays):
    def coarse(*arguments):
        with granularity("op"):
            return function(*arguments)

    assert_sound(coarse, *arrays)


def test_eigenvalues_of_a_stack_share_one_type():
    stack = tp.array(np.stack([np.eye(2), [[5.0, 2.0], [-1.0, 1.0]]]), name="stack")
    assert list(np.linalg.eigvals(stack)[0].dependencies().all()["stack"]) == [0, 1]


def test_a_tensor_resized_in_place_keeps_its_rows():
    def resized(v):
        grown = v.copy()
        grown.resize((2, 4), refcheck=False)
        return grown

    assert_sound(resized, V)


def test_writing_into_overlapping_windows_is_refused():
    with pytest.raises(LineageError, match="windows"):
        np.lib.stride_tricks.sliding_window_view(tp.array(V), 2, writeable=True)


def test_cells_that_share_memory_can_only_be_read():
    row, column = np.broadcast_arrays(tp.array(V), tp.array(V[:3, np.newaxis]))
    for each in (row, column):
        with pytest.raises(ValueError, match="read-only"):
            each[0] = 1.0
    same, _ = np.broadcast_arrays(tp.array(V), tp.array(V))
    same[0] = 1.0


def test_a_flat_copy_can_not_be_mistaken_for_a_view():
    turned = tp.array(X).T
    with pytest.raises(ValueError, match="read-only"):
        turned.flat[0] = 9.0


def test_a_failed_write_leaves_no_false_lineage():
    def failing(v, w):
        with pytest.raises((IndexError, ValueError)):
            np.add.at(v, np.array([0, 99]), w[0])
        with pytest.raises(TypeError):
            v[2] = object()
        return v

    assert_sound(failing, V, V[::-1].copy())


def test_nothing_leaves_silently():
    x = tp.array(X)
    ways = [
        np.asarray, operator.methodcaller("tolist"), operator.methodcaller("tobytes"), float,
        lambda a: a[0, 0] in [1.0], lambda a: bool(a[0, 0] > 0), lambda a: {a[0, 0]: 1},
        lambda a: np.array([a[0, 0], a[1, 1]]),
    ]  # fmt: skip
    for way in ways:
        with strict(), pytest.raises((LineageError, TypeError)):
            way(x)
