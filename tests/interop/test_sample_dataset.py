"""The data set behind ordinary DataLoaders, and what it refuses."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

from traceprop.errors import DataError
from traceprop.interop.torch import SampleDataset, SampleTensor, dataset, tensor
from traceprop.interop.torch.sample_dataset import find_dataset

N = 53


@pytest.fixture
def data() -> SampleDataset:
    """Row i holds i, i and i; its label is 10 i."""
    return dataset(np.arange(float(N))[:, None].repeat(3, 1), 10 * np.arange(N))


def check(batches: Iterator[Any]) -> Counter[int]:
    """Check each batch's ids against its values; return how often each sample came."""
    seen: Counter[int] = Counter()
    for Xb, yb in batches:
        assert isinstance(Xb, SampleTensor)
        assert type(yb) is Tensor
        ids = Xb.sample_ids
        assert ids is not None
        assert torch.equal(Xb.plain(), torch.from_numpy(ids)[:, None].repeat(1, 3).float())
        assert torch.equal(yb, torch.from_numpy(10 * ids))
        seen.update(ids.tolist())
    return seen


ALL = Counter(range(N))


@pytest.mark.parametrize("arguments", [{"shuffle": True}, {"drop_last": True}, {"shuffle": False}])
def test_loaders_in_this_process(data: SampleDataset, arguments: dict[str, Any]) -> None:
    loader = DataLoader(data, batch_size=8, **arguments)
    for _ in range(2):
        seen = check(loader)
        assert seen == (Counter(range(48)) if "drop_last" in arguments else ALL)


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers(data: SampleDataset, context: str, in_order: bool) -> None:
    loader = DataLoader(
        data, batch_size=7, shuffle=True, num_workers=2, in_order=in_order,
        multiprocessing_context=context, persistent_workers=True,
    )  # fmt: skip
    for _ in range(2):
        for Xb, yb in loader:
            assert Xb.owner is data
            check(iter([(Xb, yb)]))
    assert check(loader) == ALL


def test_a_sampler_with_repeats(data: SampleDataset) -> None:
    weights = torch.linspace(0.1, 3, N)
    sampler = WeightedRandomSampler(weights.tolist(), 200, replacement=True)
    seen = check(DataLoader(data, batch_size=16, sampler=sampler))
    assert sum(seen.values()) == 200
    assert max(seen.values()) > 1


def test_batches_made_by_a_batch_sampler_or_none_at_all(data: SampleDataset) -> None:
    sampler = BatchSampler(RandomSampler(data), 9, drop_last=False)
    assert check(DataLoader(data, batch_sampler=sampler)) == ALL
    assert check(DataLoader(data, sampler=sampler, batch_size=None)) == ALL


def test_a_subset_counts_as_the_whole(data: SampleDataset) -> None:
    part, rest = random_split(data, [20, N - 20])
    seen = check(DataLoader(part, batch_size=6, shuffle=True))
    assert seen + check(DataLoader(rest, batch_size=6)) == ALL
    assert set(seen) == set(part.indices)


def test_collating_by_hand(data: SampleDataset) -> None:
    def collate(items: list[Any]) -> tuple[Tensor, Tensor]:
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])

    assert check(DataLoader(data, batch_size=8, shuffle=True, collate_fn=collate)) == ALL
    assert (
        check(DataLoader(data, batch_size=8, collate_fn=lambda i: default_collate(list(i)))) == ALL
    )


class Augmented(Dataset[Any]):
    """A data set of the user's around ours: works on one sample at a time."""

    def __init__(self, base: SampleDataset) -> None:
        self.base = base

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int) -> Any:
        x, y = self.base[i]
        return x + 0.0, y


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_data_set_around_it(data: SampleDataset, workers: int) -> None:
    loader = DataLoader(Augmented(data), batch_size=8, shuffle=True, num_workers=workers)
    assert check(loader) == ALL


def test_features_alone(data: SampleDataset) -> None:
    alone = tensor(data.inputs).owner
    assert isinstance(alone, SampleDataset)
    for Xb in DataLoader(alone, batch_size=8, shuffle=True):
        check(iter([(Xb, torch.from_numpy(10 * Xb.sample_ids))]))


def test_two_data_sets_joined_have_no_common_ids(data: SampleDataset) -> None:
    other = dataset(np.zeros((3, 3)), np.zeros(3))
    loader = DataLoader(ConcatDataset([data, other]), batch_size=N + 3)
    (Xb, _), = loader  # fmt: skip
    assert type(Xb) is Tensor


def test_items_slices_and_arrays_of_ids(data: SampleDataset) -> None:
    x, y = data[-1]
    assert (x.sample_ids, int(y)) == (N - 1, 10 * (N - 1))
    assert x.sample_ids.ndim == 0
    assert check(
        iter([data[:], data[5:9], data[[3, 3]], data[torch.tensor([1])]])
    ) == ALL + Counter([5, 6, 7, 8, 3, 3, 1])
    with pytest.raises(IndexError):
        data[N]
    with pytest.raises(IndexError):
        data.__getitems__([0, N])


def test_the_registry_holds_no_data_set_alive(data: SampleDataset) -> None:
    key = data.key
    assert find_dataset(key) is data
    twin = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert find_dataset(key) is data
    assert check(DataLoader(twin, batch_size=8)) == ALL
    short = dataset([[1.0]], [0])
    gone = short.key
    del short
    gc.collect()
    assert find_dataset(gone) is None


@pytest.mark.parametrize(
    ("X", "y", "dtype", "target_dtype"),
    [
        (np.ones((2, 1)), np.array([0.0, 1.0]), torch.float32, torch.int64),
        (np.ones((2, 1), np.float16), np.array([0.0, 1.5]), torch.float32, torch.float32),
        (np.ones((2, 1), np.int32), np.array([True, False]), torch.int32, torch.bool),
        (torch.ones(2, 1, dtype=torch.float64), torch.tensor([3, 4]), torch.float32, torch.int64),
        ([[1], [2]], [0.5, 1], torch.int64, torch.float32),
    ],
)
def test_types(X: Any, y: Any, dtype: torch.dtype, target_dtype: torch.dtype) -> None:
    data = dataset(X, y)
    assert (data.inputs.dtype, data.targets.dtype) == (dtype, target_dtype)  # type: ignore[union-attr]
    asked = dataset(X, y, dtype=torch.float64, target_dtype=torch.float32)
    assert (asked.inputs.dtype, asked.targets.dtype) == (torch.float64, torch.float32)  # type: ignore[union-attr]


def test_the_data_are_copied() -> None:
    X = np.ones((2, 1), np.float32)
    data = dataset(X, [0, 1])
    X[:] = 5
    assert float(data.inputs.max()) == 1


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((3, 2)), np.ones(2), "X has 3 rows and y has 2"),
        ([[1.0, 2.0], [3.0, np.nan]], [0, 1], "X holds nan at sample 1, column 1"),
        ([[1.0], [-np.inf]], [0, 1], "X holds -inf at sample 1, column 0"),
        ([[1.0], [2.0]], [np.nan, 1.0], "y holds nan at sample 0;"),
        ([[1.0], [1e300]], [0, 1], r"1e\+300 at sample 1, column 0, too large for torch.float32"),
        (np.array([["a"], ["b"]]), [0, 1], "X has values of type <U1"),
        (np.empty((0, 2)), [], "X has no rows"),
        (1.0, [0], "X has no rows"),
    ],
)
def test_bad_data_are_refused(X: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset(X, y)
