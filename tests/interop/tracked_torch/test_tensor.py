"""Tracked torch tensors: doors, views, writes, queries, autograd, types, threads."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import traceprop as tp
from traceprop.errors import LineageError, LineageEscapeWarning
from traceprop.interop.torch import SampleTensor, TorchTensor
from traceprop.lineage import values


def table(dtype=torch.float32, **options):
    data = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=dtype)
    return tp.array(data, name="t", columns=("age", "debt"), **options)


def rows(tensor):
    found = tensor.sources()
    return list(found["t"]) if found else []


def test_import_traceprop_imports_no_torch():
    code = "import sys, traceprop as tp; tp.array([1.0]) + 1; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_array_of_a_torch_tensor_is_a_provenance_tensor():
    plain = torch.ones(3, 2)
    X = tp.array(plain, name="t")
    assert isinstance(X, tp.ProvenanceTensor)
    assert isinstance(X, TorchTensor)
    plain[0] = 5
    assert (X == 1).all()._array  # it was copied
    assert tp.array(plain, dtype=torch.float16).dtype == torch.float16


def test_queries_and_idioms():
    X = table()
    scaled = (X - X.mean(dim=0)) / X.std(dim=0)
    kept = scaled[X[:, 0] > 1]
    assert [str(step) for step in kept.ops()] == ["normalize", "row_filter"]
    assert str(kept[0].trace()) == "t row 1 · normalize → row_filter"
    assert rows(kept) == [1, 2]
    assert list(kept.dependencies().statistic["t"]) == [0, 1, 2]
    assert kept.columns == ("age", "debt")
    assert rows(X["debt"][1:]) == [1, 2]
    assert str(X.softmax(dim=1).cells((1, 0))) == "{t: row 1, columns age, debt}"
    assert str((X * 2).cells((1, 0))) == "{t: row 1, column age}"


def test_idioms_go_by_the_numpy_function_that_a_torch_function_stands_for():
    X = table()
    steps = {
        "log": torch.log1p(X), "clip": X.clamp(0, 3), "concat": torch.cat([X, X]),
        "center": X - X.mean(0), "impute": torch.where(torch.isnan(X), 0.0, X),
        "row_select": X.index_select(0, torch.tensor([2, 0])),
        "min_max_scale": (X - X.amin(0)) / (X.amax(0) - X.amin(0)),
    }  # fmt: skip
    assert {name: str(made.ops()[-1]) for name, made in steps.items()} == {n: n for n in steps}


def test_numpy_and_torch_are_one_lineage_on_one_memory():
    N = tp.array(np.arange(6.0).reshape(3, 2), name="t")
    T = tp.torch.from_numpy(N)
    back = (T * 2).numpy()
    assert type(back) is tp.ProvenanceTensor
    assert rows(np.log1p(back)[1:]) == [1, 2]
    T[1] = 0.0  # a write in torch is news to NumPy
    assert rows(N) == [0, 2]
    N[0] = 0.0  # and the other way round
    assert rows(T) == [2]
    assert values(T).tolist() == values(N).tolist()


def test_operands_of_both_libraries():
    N, T = tp.array(np.ones(3), name="n"), tp.array(torch.ones(3), name="t")
    for made in (N + T, T + N, T * np.ones(3), np.ones(3) - T, torch.ones(3) - T, 2 - T):
        assert type(made) is TorchTensor
        assert rows(made[1]) == [1]
    assert list((N + T)[1].sources()["n"]) == [1]
    assert (np.float64(2) * T).dtype == torch.float32  # as torch does
    assert list(N[T > 0].dependencies().control["t"]) == [0, 1, 2]
    assert list(T[N > 0].dependencies().control["n"]) == [0, 1, 2]
    assert type(np.concatenate([T, T])) is tp.ProvenanceTensor
    with pytest.raises(TypeError):
        np.sin(T)


def test_training_tensors_stay_what_they_were():
    N = tp.array(np.eye(3), name="t")
    batch = N.torch()
    assert type(batch) is SampleTensor
    assert type(tp.torch.from_numpy(N).torch()) is SampleTensor
    tracked = tp.array(batch[1:])
    assert rows(tracked) == [1, 2]
    assert rows(tracked[0] * 2) == [1]
    with pytest.raises(LineageError, match="can't be replayed"):
        tp.replay(tracked, sources={"t": np.eye(3)})


@pytest.mark.parametrize(
    "write",
    [
        lambda X, V: V.mul_(X[0]),
        lambda X, V: V.__setitem__(slice(None), X[0]),
        lambda X, V: V.copy_(X[0].clone()),
        lambda X, V: torch.add(X[0], 1, out=V),
        lambda X, V: F.relu(V.add_(X[0]), inplace=True),
    ],
    ids=["mul_", "setitem", "copy_", "out", "inplace"],
)
def test_a_write_through_a_view_is_news_to_the_whole(write):
    X = table()
    write(X, X[1])
    assert 0 in rows(X[1])
    assert rows(X[2]) == [2]


def test_a_write_that_raises_leaves_the_sound_answer():
    X = table()
    with pytest.raises(RuntimeError):
        X.add_(torch.ones(5))
    assert rows(X[0]) == [0, 1, 2]


def test_a_function_that_reads_what_it_writes_is_answered_with_every_row():
    X = table()
    X.masked_scatter_(torch.tensor([[False, False], [True, True], [True, True]]), X)
    assert rows(X[2]) == [0, 1, 2]


def test_a_mask_that_is_written_later_chose_what_it_chose():
    X = table()
    mask = X[:, 0] > 1
    kept = X[mask]
    mask.fill_(True)
    assert rows(kept) == [1, 2]
    plain = torch.tensor([True, False, True])
    other = X[plain]
    plain[:] = False
    assert rows(other) == [0, 2]


def test_as_strided_shows_memory_that_nobody_can_follow():
    X = table()
    view = X.t().as_strided((2,), (1,))
    view.zero_()
    assert rows(X) == [0, 1, 2]


def test_tracked_values_in_a_plain_tensor_come_back():
    X, total = table(), torch.zeros(2)
    with pytest.warns(LineageEscapeWarning, match="plain tensor"):
        total.add_(X.sum(0))
    assert rows(X / total)[0:1] == [0]
    assert list((X / total)[0].dependencies().all()["t"]) == [0, 1, 2]


def test_gradients_leave_the_lineage():
    X = table()
    layer = torch.nn.Linear(2, 1)
    loss = layer(X).square().mean()
    assert loss.requires_grad
    assert rows(layer(X)[1]) == [1]
    with pytest.warns(LineageEscapeWarning, match="backward"):
        loss.backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        assert not layer(X).requires_grad
    leaf = tp.array(torch.ones(2, requires_grad=True))
    assert not leaf.requires_grad  # a copy, of which the original knows nothing
    assert leaf.requires_grad_().requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64, torch.int8])
def test_types(dtype):
    X = table().to(dtype)
    assert X.dtype == dtype
    assert rows((X + X)[1]) == [1]
    plain = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    again = tp.replay(X + X, sources={"t": plain.numpy()})
    assert again.dtype == dtype
    assert torch.equal(again._array, (X + X)._array)


def test_shapes():
    assert list(tp.array(torch.tensor(3.0), name="t").sources()["t"]) == [0]
    assert tp.array(torch.empty(0, 3)).sum(0).shape == (3,)
    turned = tp.array(torch.arange(6.0).reshape(2, 3).t(), name="t")
    assert rows(turned[1]) == [1]
    assert [rows(each) for each in table()] == [[0], [1], [2]]


def pickled(X):
    return pickle.loads(pickle.dumps(X))  # noqa: S301 - our own bytes


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copies_keep_their_lineage(copied):
    kept = copied(table()[1:])
    assert type(kept) is TorchTensor
    assert rows(kept) == [1, 2]


def test_what_numpy_tensors_have_and_torch_has_not():
    with pytest.raises(AttributeError, match=r"X\.numpy\(\)\.astype"):
        table().astype(float)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = table().nothing


def test_a_replay_without_rows_refuses_torch_steps_by_name():
    X = table()
    with pytest.raises(LineageError, match=r"torch of numpy .* can't be replayed without rows"):
        tp.replay(X * 2, without={"t": [0]}, sources={"t": values(X)})


def test_a_number_of_rows_that_was_read_in_torch_is_not_replayed_without_rows():
    data = np.arange(40.0).reshape(20, 2)
    for make in (lambda: tp.array(data, name="t"), lambda: table_of(data)):
        N = make()
        count = len(tp.torch.from_numpy(N))
        with pytest.raises(LineageError, match="without rows"):
            tp.replay(N / count, without={"t": [0]}, sources={"t": data})


def table_of(data):
    return tp.array(torch.from_numpy(data), name="t").numpy()


def test_random_numbers_are_not_replayed():
    X = table()
    with pytest.raises(LineageError, match="generator's state"):
        tp.replay(F.dropout(X), sources={"t": values(X)})


def test_views_of_memory_that_are_written_while_another_thread_reads():
    X = table()
    parts = [X[i] for i in range(3)]

    def work(i):
        for _ in range(200):
            parts[i].add_(1)
        return rows(parts[i])

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [[0], [1], [2]]
    assert rows(X) == [0, 1, 2]


def test_escapes_name_the_callers_line():
    X = table()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        F.softmax(X, dim=int(X[0, 0]))
    assert X.escapes()[0].filename == __file__
    assert all(each.filename == __file__ for each in seen)


def test_an_operation_granularity_keeps_no_rows():
    with tp.granularity("op"):
        kept = table()[torch.tensor([True, False, False])]
    assert rows(kept) == [0, 1, 2]


@pytest.mark.parametrize(
    "apart",
    [
        torch.broadcast_tensors,
        torch.atleast_2d,
        lambda *two: torch.meshgrid(*two, indexing="ij"),
        lambda *two: torch.meshgrid(*two, indexing="xy"),
    ],
)
def test_results_of_several_views_of_one_memory_see_writes_through_each_other(apart):
    """The second was taken for a view of the first, whose write it then missed."""
    plain = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    whole = tp.array(plain.clone(), name="s")
    results = apart(torch.flatten(whole), torch.flatten(whole))
    wanted = apart(torch.flatten(plain), torch.flatten(plain))
    one, other = results[0], results[1]
    assert type(results) is tuple
    for got, want in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(values(got), want)
        assert got._array.stride() == want.stride()
    torch.flatten(whole)[:2].sub_(torch.flatten(whole)[2:])
    for each in (one, other):
        (rows,) = torch.flatten(each)[:1].sources().values()
        assert list(rows) == [0, 1]
