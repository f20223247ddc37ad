"""Ids on tensors: there only while each row is its sample's.

The values tell the truth: the row of sample i holds the number i + 1 everywhere, so that after any
chain of operations the ids can be checked against what is in the rows.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from traceprop.interop.torch import SampleDataset, SampleTensor, dataset, tensor
from traceprop.interop.torch.sample_tensor import take_samples

N = 20


def owner(*shape: int) -> SampleDataset:
    rows = np.arange(1.0, N + 1).reshape(N, *[1] * len(shape))
    return dataset(np.broadcast_to(rows, (N, *shape)), np.zeros(N))


def batch(*shape: int) -> SampleTensor:
    data = owner(*shape)[[3, 1, 4, 15, 9]]
    assert isinstance(data, tuple)
    return data[0]


def assert_true(value: Tensor, scale: float = 1.0) -> None:
    """Check that every row with an id holds the values of that sample."""
    assert isinstance(value, SampleTensor)
    ids = value.sample_ids
    assert ids is not None
    assert ids.shape == value.shape[: ids.ndim]
    expected = torch.tensor((ids + 1.0).reshape(ids.shape + (1,) * (value.ndim - ids.ndim)))
    assert torch.equal(value.plain().double(), (scale * expected).expand(value.shape))


KEPT: dict[str, Callable[[Tensor], Tensor]] = {
    "to": lambda x: x.to("cpu", torch.float64),
    "to with a copy": lambda x: x.to("cpu", copy=True, non_blocking=True),
    "to nothing new": lambda x: x.to(torch.float32),
    "float": lambda x: x.float(),
    "double": lambda x: x.double(),
    "half": lambda x: x.half(),
    "long": lambda x: x.long(),
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach(),
    "contiguous": lambda x: x.contiguous(),
    "requires_grad_": lambda x: x.requires_grad_(),
    "slice": lambda x: x[1:4],
    "backwards": lambda x: x.flip(0),
    "step": lambda x: x[::2],
    "list": lambda x: x[[4, 0, 0]],
    "array": lambda x: x[np.array([4, 0, 0])],
    "index tensor": lambda x: x[torch.tensor([2, 2, 1])],
    "mask": lambda x: x[torch.tensor([True, False, True, True, False])],
    "its own mask": lambda x: x[x[:, 0, 0] > 4],
    "none left": lambda x: x[torch.zeros(5, dtype=torch.bool)],
    "columns": lambda x: x[:, 1:],
    "one column": lambda x: x[:, 0],
    "chosen columns": lambda x: x[:, [2, 0]],
    "ellipsis": lambda x: x[..., 0],
    "a new last axis": lambda x: x[..., None],
    "rows and columns": lambda x: x[[0, 3], [1, 0]],
    "spread indices": lambda x: x[[1, 0]][:, [0], :],
    "one sample": lambda x: x[2],
    "the last one": lambda x: x[-1],
    "select": lambda x: x.select(0, 3),
    "index_select": lambda x: torch.index_select(x, 0, torch.tensor([3, 1])),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: torch.chunk(x, 2)[0],
    "unbind": lambda x: x.unbind(0)[4],
    "view": lambda x: x.view(5, -1),
    "view of a slice": lambda x: x[1:].view(4, 2, 3),
    "reshape": lambda x: x.reshape(5, 2, 3),
    "reshape to a size": lambda x: x.reshape(x.shape),
    "flatten": lambda x: x.flatten(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "permute": lambda x: x.permute(0, 2, 1),
    "cat": lambda x: torch.cat([x[3:], x[:2]]),
    "stack of samples": lambda x: torch.stack([x[4], x[0]]),
    "roll": lambda x: x.roll(2, 0),
    "a repeated view": lambda x: x.view(-1),
}


@pytest.mark.parametrize("name", KEPT)
def test_row_preserving_operations_keep_true_ids(name: str) -> None:
    assert_true(KEPT[name](batch(3, 2)))


DROPPED: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(0),
    "sort": lambda x: x.sort(0).values,
    "matmul": lambda x: x @ torch.ones(2, 4),
    "linear": lambda x: nn.functional.linear(x, torch.ones(4, 2)),
    "comparison": lambda x: x > 2,
    "transposed": lambda x: x.transpose(0, 1),
    "T": lambda x: x.flatten(1).T,
    "a new first axis": lambda x: x[None],
    "spread in first place": lambda x: x[:, [0, 1], [1, 0]].T,
    "with plain rows": lambda x: torch.cat([x, torch.zeros(1, 3, 2)]),
    "mixed rows": lambda x: x + x.flip(0),
    "two data sets": lambda x: torch.cat([x, batch(3, 2)]),
    "rows broadcast": lambda x: x[:1, 0] + torch.zeros(4, 2),
    "rolled over all": lambda x: x.roll(1),
    "reinterpreted": lambda x: x.view(torch.int32),
    "as operand of to": lambda x: torch.zeros(5, 3, 2).to(x),
    "as an index": lambda x: torch.zeros(100, 3)[x[:, 0, 0].long()],
    "softmax": lambda x: x.softmax(0),
    "columns without numbers": lambda x: x[:, :0],
    "rows joined": lambda x: x.flatten(1).view(1, -1),
    "in inference mode": lambda x: _in_inference(x),
}


def _in_inference(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.double()


@pytest.mark.parametrize("name", DROPPED)
def test_other_operations_give_plain_tensors(name: str) -> None:
    assert type(DROPPED[name](batch(3, 2))) is Tensor


@pytest.mark.parametrize(
    ("operation", "scale"),
    [
        (lambda x: 2 * x, 2),
        (lambda x: x / 4, 0.25),
        (lambda x: (x - torch.zeros(2)) * torch.full((5, 1, 1), 3.0), 3),
        (lambda x: x + x, 2),
        (lambda x: -x, -1),
        (lambda x: x.clamp(min=-1), 1),
        (lambda x: x.mul_(3), 3),
        (lambda x: x.__iadd__(x), 2),
    ],
)
def test_elementwise_arithmetic_keeps_the_ids(
    operation: Callable[[Tensor], Tensor], scale: float
) -> None:
    assert_true(operation(batch(3, 2)), scale)


WRITES: dict[str, Callable[[Tensor], object]] = {
    "setitem": lambda x: x.__setitem__(slice(0, 2), x[2:4]),
    "copy_": lambda x: x.copy_(x.flip(0)),
    "through a view": lambda x: x.view(5, -1).copy_(x.flip(0).view(5, -1)),
    "through the plain tensor": lambda x: x.plain().copy_(x.flip(0)),  # type: ignore[attr-defined]
    "through detach": lambda x: x.detach().zero_(),
    "index_copy_": lambda x: x.index_copy_(0, torch.tensor([0, 1]), x[[1, 0]]),
    "transpose_": lambda x: x.transpose_(0, 1),
    "out=": lambda x: torch.mul(batch(3, 2), 2, out=x),
    "data": lambda x: setattr(x, "data", x.plain().flip(0)),  # type: ignore[attr-defined]
    "mixed rows in place": lambda x: x.add_(x.flip(0)),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_may_move_rows_takes_the_ids(name: str) -> None:
    x = batch(3, 2)
    WRITES[name](x)
    assert x.sample_ids is None
    assert type(x.double()) is Tensor
    assert not isinstance(pickle.loads(pickle.dumps(x)), SampleTensor)  # noqa: S301
    assert not isinstance(copy.deepcopy(x), SampleTensor)


def test_pickle_and_deepcopy_keep_ids_and_owner() -> None:
    x = batch(3)
    for twin in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):  # noqa: S301
        assert_true(twin)
        assert twin.owner is x.owner


def test_a_pickled_batch_of_a_data_set_that_is_gone_keeps_its_key() -> None:
    x = batch(3)
    data, key = pickle.dumps(x), x.owner.key  # type: ignore[union-attr]
    del x
    twin = pickle.loads(data)  # noqa: S301
    assert_true(twin)
    assert twin.owner == key


def test_all_rows_as_one_tensor() -> None:
    X = np.arange(1.0, 7.0)[:, None].repeat(3, axis=1)
    whole = tensor(X)
    assert_true(whole)
    assert np.array_equal(whole.sample_ids, np.arange(6))
    assert_true(whole[2:5])
    whole.zero_()
    assert float(whole.owner.inputs[0, 0]) == 1  # type: ignore[union-attr]


def test_samples_are_taken_from_nested_arguments() -> None:
    x, y = batch(3), batch(3)
    plain, found = take_samples(((x, [y, 5]), {"mask": None, "x": {"deep": x}}))
    assert [id(t) for t in found] == [id(x), id(y), id(x)]
    assert type(plain[0][0]) is type(plain[0][1][0]) is type(plain[1]["x"]["deep"]) is Tensor
    assert plain[0][0].data_ptr() == x.data_ptr()


_STEPS: list[Callable[[Tensor, int], Tensor]] = [
    lambda x, r: x[r % max(1, len(x)) :],
    lambda x, r: x[torch.randperm(len(x), generator=torch.Generator().manual_seed(r))],
    lambda x, r: x[[r % len(x)]] if len(x) else x,
    lambda x, r: x.flatten(1),
    lambda x, r: x.unsqueeze(r % 2),
    lambda x, r: x.squeeze(),
    lambda x, r: x.transpose(0, -1),
    lambda x, r: x.roll(r, r % x.ndim),
    lambda x, r: x.flip(r % x.ndim),
    lambda x, r: x.reshape(-1, x.shape[-1]),
    lambda x, r: x.reshape(x.shape[0], -1),
    lambda x, r: torch.cat([x, x[:r]]),
    lambda x, r: torch.stack([x, x], r % 2),
    lambda x, r: x[r % len(x)] if len(x) else x,
    lambda x, r: x[..., :1],
    lambda x, r: x.expand(2, *x.shape),
    lambda x, r: x.double(),
    lambda x, r: x[:, [0, -1]] if x.ndim > 1 and x.shape[1] else x,
]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(_STEPS), st.integers(0, 7)), min_size=1, max_size=6))
def test_ids_are_true_after_any_chain(chain: list[tuple[Callable[..., Tensor], int]]) -> None:
    x: Tensor = batch(2, 3)
    for step, number in chain:
        if x.ndim == 0 or x.ndim > 5 or x.numel() > 10_000:
            break
        x = step(x, number)
        if isinstance(x, SampleTensor):
            assert_true(x)
