"""Row formats: what comes back, how far it is off, what is refused; rows over several shards."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.attribution.store.runs import make_record
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.folder.formats import ROW_FORMATS, decode, encode
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.rows.row_source import ArrayRows
from traceprop.attribution.store.rows.shards import Shard
from traceprop.attribution.store.rows.stored_rows import StoredRows
from traceprop.errors import DataError, StoreError

K = 24

matrices = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    elements=st.floats(-(2.0**99), 2.0**99, width=32),
)


@given(matrices)
def test_int8_is_off_by_half_a_level_of_its_row(rows: np.ndarray):
    values, scales = encode(rows, np.arange(len(rows)), "int8")
    assert values.dtype == np.int8
    assert values.flags.c_contiguous
    levels = np.abs(rows).max(axis=1, keepdims=True) / 127
    off = np.abs(decode(values, scales).astype(float) - rows)
    assert (off <= 0.5001 * levels + 2e-36).all()
    assert (np.abs(values) <= 127).all()


@given(matrices)
def test_float32_comes_back_to_the_bit(rows: np.ndarray):
    values, scales = encode(rows, np.arange(len(rows)), "float32")
    assert scales is None
    np.testing.assert_array_equal(decode(values, scales), rows)


def test_rows_of_zeros_stay_zeros():
    values, scales = encode(np.zeros((2, 3), np.float32), np.arange(2), "int8")
    np.testing.assert_array_equal(decode(values, scales), np.zeros((2, 3)))


def test_what_float16_cannot_hold_is_refused_by_sample():
    rows = np.array([[1.0, 2.0], [1e5, 0.0]], np.float32)
    with pytest.raises(DataError, match=r"sample 9 has the value 1e\+05.*dtype='float32'"):
        encode(rows, np.array([3, 9]), "float16")
    values, _ = encode(rows[:1], np.array([3]), "float16")
    np.testing.assert_array_equal(decode(values, None), rows[:1])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_what_float32_cannot_hold_is_refused_by_sample(dtype: str):
    rows = np.ones((3, 4))
    rows[1, 2] = 1e39
    with pytest.raises(DataError, match="sample 8 has NaN or infinite"):
        encode(rows, np.array([7, 8, 9]), dtype)


def test_rows_whose_sum_alone_is_too_large_are_kept():
    """The quick check of a block is its sum, which may overflow where no row does."""
    rows = np.full((2, 2), 3e38, np.float32)
    assert ArrayRows(rows, np.arange(2)).width == 2
    with pytest.raises(DataError, match="sample 1 has NaN"):
        ArrayRows(np.array([[1.0], [np.nan]], np.float32), np.arange(2))


def _stored(path: Path, dtype: str, n: int = 50) -> tuple[GradientStore, np.ndarray]:
    rows = np.random.default_rng(0).standard_normal((n, K)).astype(np.float32)
    store = GradientStore(k=K, path=path, dtype=dtype)
    projector = Projector((Block("weight", (K,)),), k=K)
    store.commit(rows, np.arange(n)[::-1], projector, make_record(n), None)
    return GradientStore.open(path), rows


@pytest.mark.parametrize("dtype", ROW_FORMATS)
def test_a_store_of_each_format(tmp_path: Path, dtype: str):
    store, rows = _stored(tmp_path / "grad", dtype)
    (shard,) = store.shards()
    assert (store.dtype, shard.values.dtype) == (dtype, ROW_FORMATS[dtype])
    assert (shard.scales is not None) == (dtype == "int8")
    assert not shard.values.flags.writeable
    assert (shard.start, shard.offset, shard.checkpoint) == (0, 0, None)
    raw = shard.path.read_bytes()
    assert raw == np.asarray(shard.values).tobytes()
    tolerance = {"float32": 0, "float16": 1e-3, "int8": 2e-2}[dtype]
    np.testing.assert_allclose(store.gradients, rows, atol=tolerance)
    assert store.gradients.dtype == np.float32
    assert store.verify().ok
    with pytest.raises(StoreError, match=f"made with dtype='{dtype}'"):
        GradientStore(path=store.path, dtype="int8" if dtype != "int8" else "float32")


def test_a_scale_of_a_row_is_checked_too(tmp_path: Path):
    store, _ = _stored(tmp_path / "grad", "int8")
    path = store.path / "shards" / "0-0.scales"
    content = bytearray(path.read_bytes())
    content[17] ^= 4
    path.write_bytes(content)
    (problem,) = store.verify().problems
    assert problem == "shards/0-0.scales is damaged in bytes 0 to 199 (rows 0 to 49)."


def _shards(ids: list[list[int]], rows: np.ndarray) -> tuple[Shard, ...]:
    start, shards = 0, []
    for own in ids:
        part = rows[start : start + len(own)]
        shards.append(Shard(part, None, np.array(own), Path("x"), 0, start, None))
        start += len(own)
    return tuple(shards)


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True), min_size=1),
    st.data(),
)
def test_rows_of_several_shards_add_up_by_sample(ids: list[list[int]], draw: st.DataObject):
    total = sum(map(len, ids))
    rows = np.arange(2.0 * total, dtype=np.float32).reshape(total, 2)
    expected: dict[int, np.ndarray] = {}
    for sample, row in zip(chain.from_iterable(ids), rows, strict=True):
        expected[sample] = expected.get(sample, 0) + row
    repeats = len(expected) < total
    stored = StoredRows(_shards(ids, rows), 2, repeats)
    assert stored.shape == (len(expected), 2)
    assert sorted(stored.sample_ids.tolist()) == sorted(expected)
    whole = np.array([expected[sample] for sample in stored.sample_ids.tolist()])
    np.testing.assert_array_equal(np.concatenate(list(stored.blocks())), whole)
    start, stop, step = (draw.draw(st.integers(-9, 9)) for _ in range(3))
    part = slice(start, stop, step or None)
    np.testing.assert_array_equal(stored[part], whole[part])
    chosen = np.array(draw.draw(st.lists(st.integers(-len(whole), len(whole) - 1))), np.int64)
    np.testing.assert_array_equal(stored[chosen], whole[chosen])
    np.testing.assert_array_equal(stored[-1], whole[-1])
    with pytest.raises(IndexError):
        stored[np.array([len(whole)])]
