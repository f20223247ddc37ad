"""Which source cells a cell rests on, exactly, where the operation tells."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop
from tests.naive.cells import influenced
from traceprop.errors import LineageError, RowError
from traceprop.lineage import array, from_source, granularity
from traceprop.lineage.cells import CellSet
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import MemorySource

VALUES = np.array([[3.0, 10.0, 7.0], [1.0, 20.0, 8.0], [2.0, 30.0, 9.0], [5.0, 5.0, 6.0]])


@pytest.fixture
def X():
    return array(VALUES, name="credit_scores.csv", columns=("age", "income", "debt"))


def only(cells):
    """Set of positions in the one source there is; empty where there is none."""
    assert len(cells) <= 1
    return {position for found in cells.values() for position in found}


def column(j, rows=range(4)):
    return {(i, j) for i in rows}


def test_a_cell_of_a_leaf_is_itself(X):
    cells = X.cells((3, 1))
    assert only(cells) == only(cells.direct) == {(3, 1)}
    assert repr(cells) == "{credit_scores.csv: row 3, column income}"
    assert cells["credit_scores.csv"].rows == {3}
    assert only(X.cells()) == set(np.ndindex(4, 3))
    assert repr(X.cells()["credit_scores.csv"]) == "rows 0-3, columns age, income, debt"


def test_normalisation_and_filter(X):
    Z = ((X - X.mean(axis=0)) / X.std(axis=0))[X[:, 0] > 1]
    cells = Z.cells((1, 1))  # row 2 of the source
    assert only(cells.direct) == {(2, 1)}
    assert only(cells.statistic) == column(1)
    assert only(cells.control) == column(0)
    assert only(cells) == column(0) | column(1)
    assert repr(cells.direct) == "{credit_scores.csv: row 2, column income}"


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), None])
@pytest.mark.parametrize("keepdims", [True, False])
def test_reductions_take_their_lines(axis, keepdims):
    expected = influenced(lambda a: [a.sum(axis=axis, keepdims=keepdims)], [VALUES])[0]
    total = array(VALUES).sum(axis=axis, keepdims=keepdims)
    for index, needed in expected.items():
        assert {(0, at) for at in only(total.cells(index))} == needed


def test_where_of_a_reduction_is_a_control(X):
    decides = array(VALUES > 4, name="decides")
    cells = np.sum(X, axis=0, where=decides).cells(1)
    assert set(cells.direct["credit_scores.csv"]) == set(cells.control["decides"]) == column(1)


def test_concatenate_and_column_stack(X):
    Y = array(VALUES[:2] * 2, name="other")
    joined = np.concatenate([X, Y])
    assert list(joined.cells((5, 2)).items()) == [("other", {(1, 2)})]
    assert only(joined.cells((3, 2))) == {(3, 2)}
    stacked = np.column_stack([X[:, 2], X[:, 0], np.ones(4)])
    assert only(stacked.cells((1, 0))) == {(1, 2)}
    assert only(stacked.cells((1, 1))) == {(1, 0)}
    assert only(stacked.cells((1, 2))) == set()


def test_matmul_takes_a_row_and_a_column(X):
    W = array(np.arange(6.0).reshape(3, 2), name="weights")
    for product in (X @ W, np.dot(X, W), np.einsum("ij,jk->ik", X, W), np.tensordot(X, W, 1)):
        cells = product.cells((2, 1))
        assert set(cells["credit_scores.csv"]) == {(2, 0), (2, 1), (2, 2)}
        assert set(cells["weights"]) == {(0, 1), (1, 1), (2, 1)}
        assert set(cells.statistic) == {"weights"}


def test_sorts_take_their_columns(X):
    assert only(np.sort(X, axis=0).cells((0, 1))) == column(1)
    order = np.argsort(X, axis=0)
    cells = np.take_along_axis(X, order, axis=0).cells((0, 1))
    assert only(cells.direct) == {(3, 1)}
    assert only(cells.control) == column(1)


def test_running_results_and_differences(X):
    assert only(np.cumsum(X, axis=0).cells((1, 2))) == column(2, range(2))
    assert only(np.diff(X, axis=0).cells((1, 2))) == column(2, (1, 2))
    assert only(np.gradient(X, axis=0).cells((2, 1))) == column(1, (1, 2, 3))
    assert only(np.diff(X, n=2, axis=1).cells((1, 0))) == {(1, 0), (1, 1), (1, 2)}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradients_name_all_that_matters(axis, edge_order):
    def gradient(a):
        return np.gradient(a, axis=axis, edge_order=edge_order)

    found = gradient(array(VALUES))
    for index, needed in influenced(lambda a: [gradient(a)], [VALUES])[0].items():
        assert needed <= {(0, at) for at in only(found.cells(index))}


def test_reshape_and_transpose(X):
    assert only(X.T.cells((2, 3))) == {(3, 2)}
    assert only(X.reshape(6, 2).cells((2, 1))) == {(1, 2)}
    assert only(X.T.reshape(-1).cells(5)) == {(1, 1)}
    assert only(X.ravel(order="F").cells(5)) == {(1, 1)}


def test_indexing_of_all_kinds(X):
    assert only(X[::-1, 1:].cells((0, 0))) == {(3, 1)}
    assert only(X[[2, 0]][:, [1, 1]].cells((0, 1))) == {(2, 1)}
    assert only(X[np.array([0, 3]), np.array([2, 1])].cells(1)) == {(3, 1)}
    assert only(X[VALUES > 8].cells(1)) == {(1, 1)}
    assert only(np.take(X, [2], axis=1).cells((3, 0))) == {(3, 2)}


def test_choosing(X):
    chosen = np.where(X[:, :1] > 2, X, 0.0).cells((1, 2))
    assert only(chosen.direct) == {(1, 2)}
    assert only(chosen.control) == {(1, 0)}


def test_one_hot(X):
    codes = X[:, 0].astype(int)
    hot = (codes[:, None] == np.arange(6)).astype(float)
    assert only(hot.cells((2, 4))) == {(2, 0)}


def test_writes_in_place(X):
    Y = array(VALUES + 1, name="other")
    Z = X.copy()
    Z[1:3, 2] = Y[:2, 0]
    Z[:, 0] *= 2
    assert list(Z.cells((2, 2)).items()) == [("other", {(1, 0)})]
    assert list(Z.cells((0, 2)).items()) == [("credit_scores.csv", {(0, 2)})]
    assert only(Z.cells((3, 0))) == {(3, 0)}
    row = Z[3]
    row[1] = Y[0, 0]
    assert list(Z.cells((3, 1)).items()) == [("other", {(0, 0)})]


def test_what_has_no_cell_rule_takes_whole_rows(X):
    assert only(np.unique(X[:3, 1]).cells(0)) == column(1, range(3))
    assert only(np.apply_over_axes(np.sum, X, 0).cells((0, 0))) == set(np.ndindex(4, 3))


def test_matrices_of_a_stack_are_apart():
    rng = np.random.default_rng(0)
    stack = array(rng.normal(size=(2, 3, 3)), name="stack")
    own = {(1, i, j) for i in range(3) for j in range(3)}
    for found in (np.linalg.inv(stack), np.linalg.qr(stack)[0], np.linalg.eigh(stack)[1]):
        assert only(found.cells((1, 0, 2))) == own
    assert only(np.linalg.det(stack).cells(1)) == own
    right = array(rng.normal(size=(3, 2)), name="right")
    cells = np.linalg.solve(stack, right).cells((1, 0, 1))
    assert set(cells["stack"]) == own
    assert set(cells["right"]) == {(0, 1), (1, 1), (2, 1)}


def test_subscripts_of_all_kinds(X):
    cube = array(np.arange(24.0).reshape(2, 3, 4), name="cube")
    for total in (np.einsum("...k->...", cube), np.einsum(cube, [Ellipsis, 1], [Ellipsis])):
        assert only(total.cells((1, 2))) == {(1, 2, k) for k in range(4)}
    assert only(np.einsum("ii->i", X[:3]).cells(2)) == {(2, 2)}
    assert only(np.einsum("ij,kj->ik", X, np.ones((2, 3))).cells((3, 1))) == {
        (3, j) for j in range(3)
    }
    assert only(np.einsum("ij", X).cells((3, 1))) == {(3, 1)}


def test_products_of_cells(X):
    two = array(np.array([[1.0, 2.0], [3.0, 4.0]]), name="two")
    outer = np.outer(two, X)  # flattens both
    assert set(outer.cells((2, 5))["two"]) == {(1, 0)}
    assert set(outer.cells((2, 5))["credit_scores.csv"]) == {(1, 2)}
    kron = np.kron(two, X)
    assert set(kron.cells((5, 4))["two"]) == {(1, 1)}
    assert set(kron.cells((5, 4))["credit_scores.csv"]) == {(1, 1)}
    crossed = np.cross(X, VALUES[::-1])
    assert only(crossed.cells((2, 0))) == {(2, 1), (2, 2)}


def test_transforms_over_axes():
    cube = array(np.arange(24.0).reshape(2, 3, 4), name="cube")
    own = {(1, i, j) for i in range(3) for j in range(4)}
    assert only(np.fft.fft2(cube).cells((1, 0, 0))) == own
    assert only(np.fft.rfftn(cube, axes=(1, 2)).cells((1, 2, 2))) == own
    assert only(np.fft.fftn(cube, axes=[1]).cells((1, 0, 3))) == {(1, i, 3) for i in range(3)}


def test_group_by_keeps_columns_apart(X):
    groups = np.array([0, 1, 0, 1])
    sums = np.zeros((2, 3), like=X)
    np.add.at(sums, groups, X)
    assert set(sums.cells((1, 2)).direct["credit_scores.csv"]) == {(1, 2), (3, 2)}
    assert only(np.add.reduceat(X, [0, 2], axis=0).cells((1, 1))) == {(2, 1), (3, 1)}


def test_a_mask_decides_cell_by_cell(X):
    X[X < 6] = 0.0
    cells = X.cells((2, 1))
    assert only(cells) == {(2, 1)}


def test_what_came_of_cells(X):
    source = X.ancestors().leaves[0]
    Z = (X - X.mean(axis=0))[X[:, 0] > 1]
    assert source.cells([1], "income").descendants(Z) == column(1, range(3))
    assert source.cells([1], ["income"]).descendants(X * 2) == {(1, 1)}
    assert source.cells(columns=["age", 2]).descendants(X * 2) == column(0) | column(2)
    assert source.cells([3]).descendants(X.sum(axis=1)) == {(3,)}
    assert source.cells([3], "debt").descendants(X[3, 2]) == {(0,)}  # a scalar counts as a row
    # Whoever is kept, the ages decided how many there are.
    assert len(source.cells([0], "age").descendants(Z)) == Z.size
    assert repr(source.cells([1], "income").descendants(X * 2)) == "row 1, column income"
    assert repr(source.cells([1, 2], "income")) == "credit_scores.csv rows 1-2, column income"
    assert repr(source.cells([1])) == "credit_scores.csv row 1, all columns"
    assert len(source.cells([0]).descendants(array(VALUES, name="other"))) == 0


def test_cells_that_there_are_not(X):
    source = X.ancestors().leaves[0]
    with pytest.raises(LineageError, match=r"no column 'wage'. It has age, income, debt"):
        source.cells([1], "wage")
    with pytest.raises(LineageError, match=r"no column 3: they are 0 to 2"):
        source.cells([1], 3)
    with pytest.raises(LineageError, match=r"1.5 is no column"):
        source.cells([1], [1.5])
    with pytest.raises(RowError, match=r"no row 9"):
        source.cells([9])
    unnamed = array(VALUES, name="unnamed").ancestors().leaves[0]
    with pytest.raises(LineageError, match=r"no column 7"):
        unnamed.cells([1], 7).descendants(from_source(VALUES, unnamed))


def test_a_trace_names_columns(X):
    Z = ((X - X.mean(axis=0)) / X.std(axis=0))[X[:, 0] > 1]
    trace = Z.cells((1, 1)).trace()
    assert str(trace) == "credit_scores.csv row 2, column income · normalize → row_filter"
    assert trace.trace_to_file() == "credit_scores.csv row 2, column income"
    assert trace.rows == Z[1].trace().rows
    assert str(X.cells().trace()) == "credit_scores.csv rows 0-3, columns age, income, debt"
    assert str(array(5.0, name="five").cells().trace()) == "five row 0"
    assert str(np.zeros_like(X).cells().trace()).startswith("no source row")


def test_a_trace_of_a_file_names_line_and_column(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("age,income\n36,10\n41,20\n")
    X = traceprop.load_csv(path)
    assert (
        str((X * 2).cells((1, 1)).trace()) == "people.csv row 1 (line 3), column income · multiply"
    )


def test_a_scalar_counts_as_one_row(X):
    total = X.sum()
    assert total.cells(()) == total.cells(0) == total.cells((0,)) == total.cells()


def test_masks_that_were_not_kept():
    with granularity("op"):
        X = array(VALUES)
        kept = X[X[:, 0] > 1]
    assert only(kept.cells((0, 0))) == set(np.ndindex(4, 3))


def test_columns_of_a_table_are_the_sources(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("name,age,income\nada,36,10\nbob,41,20\n")
    table = traceprop.read_csv(path)
    ratio = table["income"] / table["age"]
    cells = ratio.cells(1)
    assert repr(cells) == "{people.csv: row 1, columns age, income}"
    assert only(cells) == {(1, 1), (1, 2)}


def test_rows_of_a_leaf_are_the_sources():
    source = MemorySource.of(VALUES, "table", ())
    part = from_source(VALUES[[3, 1]], source, rows=[3, 1])
    assert only((part * 2).cells((0, 2))) == {(3, 2)}


def test_scalars_and_arrays_of_any_number_of_axes():
    assert only(array(5.0).cells()) == {(0,)}
    cube = array(np.arange(24.0).reshape(2, 3, 4), name="cube")
    cells = cube[1].T.cells((3, 2))
    assert only(cells) == {(1, 2, 3)}
    assert repr(cells) == "{cube: row 1, column (2, 3)}"


def test_a_position_outside_is_named(X):
    with pytest.raises(LineageError, match=r"\(9, 0\) is no cell of an array of shape \(4, 3\)"):
        X.cells((9, 0))


def test_cell_set():
    cells = CellSet({(3,): RowSet([0, 3, 4])}, ("a", "b", "c"))
    assert list(cells) == [(0, 0), (1, 0), (1, 1)]
    assert len(cells) == 3
    assert (1, 1) in cells
    assert (1, 2) not in cells
    assert (1,) not in cells
    assert (0, 3) not in cells
    assert repr(cells) == "rows 0-1, column a; row 1, column b"
    assert cells | CellSet({(): RowSet([7])}) == {(0, 0), (1, 0), (1, 1), (7,)}
    assert repr(CellSet({})) == "no cells"
