"""Nodes run again on plain arrays: in the recorded memory layout, over dying inputs, or refused."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import LineageError
from traceprop.lineage.rerun import copy_in_place, rerun, results_of, why_not


def test_a_node_is_run_on_other_inputs():
    X = tp.array(np.arange(6.0).reshape(3, 2))
    assert rerun((X * 2).node, [np.array([5.0])]).tolist() == [10.0]
    assert rerun(X[X[:, 0] > 1].node, [np.eye(2), np.array([False, True])]).tolist() == [[0, 1]]
    assert rerun(X.astype(np.int8).node, [np.array([1.5])]).dtype == np.int8


def test_inputs_are_not_written_unless_they_are_spare():
    X = tp.array(np.zeros(3))
    X[1] = 5
    before = np.zeros(3)
    assert rerun(X.node, [before]).tolist() == [0, 5, 0]
    assert before.tolist() == [0, 0, 0]
    assert rerun(X.node, [before], spare=0) is before
    whole = np.ones(3)
    assert rerun((tp.array(whole) + 1).node, [whole], spare=0) is whole
    assert whole.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(4, 6)[::2, ::-1],
        np.asfortranarray(np.arange(24.0).reshape(4, 6)),
        np.arange(24.0).reshape(4, 6)[:, 1],
        np.arange(24.0)[::-3],
        np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        np.zeros((0, 3)),
        np.array(3.0),
        np.zeros(4, dtype="f8,i4")["f0"],
    ],
    ids=str,
)
def test_copies_lie_in_memory_as_the_array_does(array):
    copied = copy_in_place(array)
    assert np.array_equal(copied, array)
    assert not np.shares_memory(copied, array)
    assert copied.strides == array.strides or not array.size
    assert copied.flags.writeable


def test_all_results_of_a_call_come_together():
    whole, fraction = np.divmod(tp.array([5.0, 7.5]), 2)
    again = results_of(whole.node, [np.array([9.0])])
    assert [each.tolist() for each in again] == [[4.0], [1.0]]
    assert rerun(fraction.node, [np.array([9.0])]).tolist() == [1.0]


def test_a_write_into_another_type_is_done_in_that_type():
    X = tp.array(np.array([0.1, 0.2], np.float32))
    X *= np.array([3.0, 1 / 3])
    out = np.float32([0.1, 0.2])
    out *= np.array([3.0, 1 / 3])
    assert rerun(X.node, [np.float32([0.1, 0.2])]).tobytes() == out.tobytes()
    Y = tp.array(np.array([1.5, 2.5], np.float32))
    Y **= 3
    assert rerun(Y.node, [np.float32([1.5, 2.5])]).dtype == np.float32


def test_a_sum_goes_into_the_recorded_type():
    X = np.full(1000, 0.1, np.float32)
    total = tp.array(np.zeros((), np.float64))
    np.sum(tp.array(X), out=total)
    assert float(rerun(total.node, [X])) == float(np.sum(X, out=np.zeros(())))


def test_what_does_not_fit_is_an_error_with_numpys_reason():
    X = tp.array(np.ones(3))
    with pytest.raises(
        LineageError, match=r"add can't be run again on \[3\], \[2\]: operands could"
    ):
        rerun((X + X).node, [np.ones(3), np.ones(2)])


def test_what_calls_other_code_is_named():
    X = tp.array(np.ones((3, 2)))
    assert why_not((X + 1).node) is None
    assert why_not(np.apply_along_axis(np.sum, 0, X).node) is None
    assert "a function of yours" in why_not(np.apply_along_axis(lambda c: c * 2, 0, X).node)
    assert "no function of NumPy" in why_not(np.frompyfunc(lambda x: x, 1, 1)(X).node)


def test_a_squeeze_that_finds_nothing_is_recorded():
    """Of fewer rows it may find an axis of one."""
    X = tp.array(np.ones(3))
    assert [str(step) for step in np.squeeze(X).ops(raw=True)][-1:] == ["squeeze"]
    assert rerun(np.squeeze(X).node, [np.ones(1)]).shape == ()
    assert rerun(X.squeeze().node, [np.ones(1)]).shape == ()


def test_a_copy_by_its_method_is_in_c_order():
    X = tp.array(np.ones((3, 2)))
    assert rerun(X.copy().node, [np.asfortranarray(np.ones((3, 2)))]).flags.c_contiguous
    assert rerun(np.copy(X).node, [np.asfortranarray(np.ones((3, 2)))]).flags.f_contiguous
