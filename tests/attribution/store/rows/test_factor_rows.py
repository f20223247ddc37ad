"""Rows of factors in a store: ranks may have them of one sample, and then they aren't added."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.attribution.store.runs import make_record
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.rows.row_source import ArrayRows
from traceprop.errors import StoreError

PROJECTOR = Projector((Block("weight", (4, 5), linear=True),), k=32, kind="factors")


def test_compaction_refuses_factors_of_one_sample(tmp_path: Path):
    """Two shards of a checkpoint, as two ranks leave them."""
    rng = np.random.default_rng(0)
    rows = [
        ArrayRows(rng.standard_normal((3, 9)).astype(np.float32), np.arange(3), checkpoint=i)
        for i in (1, 2)
    ]
    store = GradientStore(k=32, path=tmp_path / "grad")
    store.commit_rows(rows, PROJECTOR, make_record(5), None)
    expected = sum(PROJECTOR.gradients(each.gradients) for each in rows)
    np.testing.assert_allclose(store.rows[:], expected, rtol=1e-6)
    _as_of_one_checkpoint(store)
    store = GradientStore.open(store.path)
    with pytest.raises(StoreError, match="no sum that is factors"):
        store.compact()
    np.testing.assert_allclose(GradientStore.open(store.path).rows[:], expected, rtol=1e-6)


def _as_of_one_checkpoint(store: GradientStore) -> None:
    manifest = store._held().manifest
    (part,) = manifest.parts
    shards = tuple(replace(shard, checkpoint=1) for shard in part.shards)
    (store.path / manifest.name).write_bytes(
        replace(manifest, parts=(replace(part, shards=shards),)).encode()
    )
