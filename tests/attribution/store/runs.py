"""Small runs to commit: every number in them tells which run they are from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.run.record import TrainingRecord
from traceprop.curvature.losses import LossSpec

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

WIDTH = 6
PROJECTOR = Projector((Block("weight", (2, 3)),), k=8)


def make_record(n: int = 5, mark: int = 0) -> TrainingRecord:
    rng = np.random.default_rng(mark)
    weights = {"0.weight": rng.normal(size=(2, 3)).astype(np.float32), "a/../b": np.zeros((0, 2))}
    return TrainingRecord(
        inputs=np.full((n, 3), mark, np.float32),
        targets=rng.integers(0, 2, n),
        loss=LossSpec("cross_entropy", "mean"),
        penalty=0.1,
        penalty_origin="weight_decay of SGD",
        optimizer={"name": "SGD", "lr": 0.5, "betas": [0.9, 0.99]},
        initial_weights=weights,
        final_weights=weights | {"scalar": np.array(mark, np.int64)},
        model_digest=f"{mark:064x}",
        architecture={"type": "Linear"},
        epochs=3,
        batch_size=32,
        input_columns=("a", "b", "ü"),
        seed=None,
    )


def commit(store: GradientStore, mark: int = 0, n: int = 5, tensors=None) -> None:
    """Commit a run whose gradients all are `mark`."""
    gradients = np.full((n, WIDTH), mark, np.float32)
    store.commit(gradients, np.arange(n), PROJECTOR, make_record(n, mark), tensors)


def mark_of(store: GradientStore) -> int | None:
    """Which run a store holds, with every part of it held against the others; None for none."""
    if not store.n_samples:
        return None
    n, record = store.n_samples, store.record
    mark = int(record.final_weights["scalar"])
    np.testing.assert_array_equal(store.gradients, np.full((n, WIDTH), mark))
    np.testing.assert_array_equal(store.sample_ids, np.arange(n))
    assert_equal_records(record, make_record(n, mark))
    return mark


def assert_equal_records(one: TrainingRecord, other: TrainingRecord) -> None:
    for field in dataclasses.fields(TrainingRecord):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("initial_weights", "final_weights"):
            assert list(a) == list(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
                assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        else:
            assert a == b, field.name
