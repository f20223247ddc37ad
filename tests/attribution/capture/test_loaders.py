"""Ordinary DataLoaders, from their workers to the rows of the store: each is its sample's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, WeightedRandomSampler

from tests.attribution.capture.loops import Memory, assert_near
from tests.naive import gradients as naive
from traceprop.attribution.capture.context import TrainingContext
from traceprop.interop.torch import dataset

N, D, C = 45, 5, 3


def weighted() -> WeightedRandomSampler:
    return WeightedRandomSampler(np.linspace(0.1, 3, N).tolist(), 60, replacement=True)


LOADERS: dict[str, dict[str, Any]] = {
    "in order": {},
    "shuffled": {"shuffle": True},
    "without the last": {"shuffle": True, "drop_last": True},
    "weighted, with repeats": {"sampler": weighted},
    "in the order of finishing": {"shuffle": True, "in_order": False},
    "weighted, in the order of finishing": {"sampler": weighted, "in_order": False},
    "weighted, pinned in no memory, without the last": {"sampler": weighted, "drop_last": True},
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:'in_order=False' is only")
def test_rows_are_their_samples(name: str, workers: int) -> None:
    """The labels and inputs of each sample are its own, so that only its own gradient fits."""
    rng = np.random.default_rng(0)
    data = dataset(rng.standard_normal((N, D)), rng.integers(0, C, N))
    options = {key: make() if callable(make) else make for key, make in LOADERS[name].items()}
    torch.manual_seed(0)
    model, store = nn.Linear(D, C), Memory()
    visits = np.zeros(N)
    with TrainingContext(model, store) as ctx:
        for _ in range(2):
            for i, (Xb, yb) in enumerate(DataLoader(data, 7, num_workers=workers, **options)):
                Xb, yb = Xb.to("cpu", torch.float64).float(), yb.to("cpu", non_blocking=True)
                np.add.at(visits, Xb.sample_ids, 1)
                ctx.backward(functional.cross_entropy(model(Xb), yb), batch_idx=i)
    # The weights stay, so that a row is its sample's gradient as often as it came.
    assert data.targets is not None
    each = naive.gradients(
        model, data.inputs, data.targets,
        lambda o, t: functional.cross_entropy(o, t, reduction="none"),
    )  # fmt: skip
    assert_array_equal(store.ids, np.flatnonzero(visits))
    assert_near(store.gradients, (visits[:, None] * each)[store.ids])
    assert visits.sum() == 2 * {"sampler": 60}.get(next(iter(options), ""), N) or "drop" in str(
        options
    )
    assert store.record.epochs == 2
    assert sum(map(len, store.record.order)) == visits.sum()
