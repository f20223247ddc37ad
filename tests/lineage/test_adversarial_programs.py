"""Programs written to break the lineage: empty results, sequences of rows, order of evaluation.

Random programs reach most of these rarely or never. Each is a function of one or two arrays; the
perturbation oracle judges it.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.lineage.adversary import CODES, RECORDS, Programs, V, X, at_granularity_op
from traceprop.testing import assert_sound

PROGRAMS = Programs()


# What is left empty still depends on what emptied it.


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


# The order of evaluation, augmented assignment, and results that depend on their place.


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
    assert_sound(at_granularity_op(function), *arrays)
