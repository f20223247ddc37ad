"""What can't be followed is refused, or can only be read; what fails or leaves is noticed."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import traceprop as tp
from tests.lineage.adversary import V, X
from traceprop.errors import LineageError
from traceprop.lineage import strict
from traceprop.testing import assert_sound


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
