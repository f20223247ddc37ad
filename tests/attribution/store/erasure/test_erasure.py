"""Erasure: what goes, what stays, what is refused, and the proof that searches the files."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import traceprop as tp
from numba_kernels.needles import find_needles
from tests.attribution.store.runs import make_record
from tests.naive import store as naive
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store import writing
from traceprop.attribution.store.erasure import erasure as erasure_module
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.erasure.scanning import scan
from traceprop.attribution.store.folder.lock import WriterLock
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.run.record import BatchOrder, load_order
from traceprop.errors import RowError, StoreError, StoreWarning, UnlearnError

N, K, D = 40, 12, 5
PROJECTOR = Projector((Block("weight", (K,)),), k=K)


def _gradients() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, K)).astype(np.float32)


@pytest.fixture(params=["float32", "float16", "int8"])
def store(request, tmp_path: Path) -> GradientStore:
    return _store(tmp_path, request.param)


def _store(tmp_path: Path, dtype: str = "float32") -> GradientStore:
    """A run on a filtered file, then another on the same data, then one on other data."""
    rng = np.random.default_rng(1)
    csv = tmp_path / "people.csv"
    csv.write_text("a,b\n" + "".join(f"{i},{i * 7 % 11}\n" for i in range(2 * N)))
    table = tp.load_csv(csv)
    kept = table[table[:, 0] % 2 == 0]
    record = dataclasses.replace(
        make_record(N),
        inputs=rng.standard_normal((N, D)).astype(np.float32),
        targets=rng.standard_normal((N, 4)),
    )
    other = dataclasses.replace(record, inputs=record.inputs + 1)
    path = tmp_path / "grad"
    for data, mode, tensors in (
        (record, {}, (kept,)),
        (record, {"append": True}, (kept,)),
        (other, {"append": True}, None),
    ):
        opened = GradientStore(k=K, path=path, dtype=dtype, **mode)
        opened.commit(_gradients(), np.arange(N), PROJECTOR, data, tensors)
    return opened


def _forget(store: GradientStore, *samples: int) -> ForgetSet:
    return ForgetSet(np.array(samples, np.int64), {}, store)


def _files(store: GradientStore) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in store.path.rglob("*") if p.is_file() and p.name != "lock"}


def test_nothing_of_the_samples_is_left(store: GradientStore):
    forget_set = store.samples_from_source("people.csv", rows=[6, 20])
    assert list(forget_set) == [3, 10]
    shards = store.shards()
    needles = [bytes(shard.values[i]) for shard in shards[:2] for i in (3, 10)]
    needles += [bytes(store.record.inputs[i]) for i in (3, 10)]
    needles += [bytes(store.record.targets[i]) for i in (3, 10)]
    before = _files(store)
    assert all(any(needle in content for content in before.values()) for needle in needles)
    rows = np.delete(store.gradients, [3, 10], axis=0)
    ids = np.delete(store.sample_ids, [3, 10])
    store.put_derived("codes", [b"derived from all rows"], {"bits": 1})

    erasure = store.erase(forget_set)

    # The last run has the same labels and gradients: that is said, and is no trace of these.
    assert erasure.clean
    assert (erasure.scan.alike, erasure.scan.unsearchable) == (
        (2, 4) if store.dtype == "int8" else (4, 0)  # 12 bytes are too few to search for
    )
    for opened in (store, GradientStore.open(store.path)):
        np.testing.assert_array_equal(opened.gradients, rows)
        np.testing.assert_array_equal(opened.sample_ids, ids)
        assert opened.verify().ok
        assert opened.verify().notes == ()
        assert opened.derived("codes") is None
        assert (opened.record.inputs[[3, 10]] == 0).all()
        assert (opened.record.targets[[3, 10]] == 0).all()
        assert opened.get_provenance(4).trace_to_file() == "people.csv row 8"
        assert opened.info()["erasures"] == 1
        for row in (6, 20):
            with pytest.raises(RowError, match="an erasure took the samples out"):
                opened.samples_from_source("people.csv", [row])
        with pytest.raises(RowError, match="Sample 3 was erased"):
            opened.get_provenance(3)
        with pytest.raises(StoreError, match="an erasure dropped it"):
            opened.lineage()
    same = {path.relative_to(store.path).parts[0] for path in set(before) & set(_files(store))}
    assert same == {"run-2"}  # weights and settings of the second run, which holds no data
    for content in _files(store).values():
        assert not any(needle in content for needle in needles[4:6])


def test_the_order_of_batches_names_no_erased_sample(tmp_path: Path):
    """In every run on the data, also in those that keep no data of their own."""
    path = tmp_path / "grad"
    order = BatchOrder(np.array([3, 1, 2, 0, 3, 4], np.int32), np.array([2, 4, 6]))
    record = dataclasses.replace(make_record(5), order=order)
    for mode in ({}, {"append": True}):
        store = GradientStore(k=K, path=path, **mode)
        store.commit(_gradients()[:5], np.arange(5), PROJECTOR, record, None)
    dry = store.erase(_forget(store, 3), dry_run=True)
    erasure = store.erase(_forget(store, 3))
    assert erasure.clean
    assert [name for name in erasure.rewritten if "order.npy" in name] == [
        "run-1/record/order.npy", "run-2/record/order.npy",
    ]  # fmt: skip
    assert dry.rewritten == erasure.rewritten
    for run in store._held().manifest.parts:
        kept = load_order(store._folder, run.run)
        assert kept.samples.tolist() == [-1, 1, 2, 0, -1, 4]
        assert kept.ends.tolist() == [2, 4, 6]
    opened = GradientStore.open(path)
    assert opened.record.order.samples.tolist() == 2 * [-1, 1, 2, 0, -1, 4]
    assert opened.verify().ok
    left = scan(store._folder, store._held().manifest, [], np.array([2]))
    assert len(left.found) == 4


def test_the_digest_of_a_dropped_lineage_is_kept(tmp_path: Path):
    store = _store(tmp_path)
    digest = store.lineage_digest()
    store.erase(_forget(store, 1))
    assert GradientStore.open(store.path).lineage_digest() == digest
    store.erase(_forget(store, 2))
    assert GradientStore.open(store.path).lineage_digest() == digest


def test_a_dry_run_changes_nothing(store: GradientStore):
    before = _files(store)
    plan = store.erase(_forget(store, 3, 4), dry_run=True)
    assert before == _files(store)
    assert (plan.samples, plan.rows, plan.dry_run, plan.clean) == (2, 4, True, False)
    assert "run-1/record/inputs.npy" in plan.rewritten
    assert any(name.startswith("run-1/lineage: hashes") for name in plan.dropped)
    assert all("weights" in name or "record.json" in name for name in plan.kept)
    assert "2 samples (4 rows) would be erased" in str(plan)
    assert "snapshots of the file system" in str(plan)
    named = {name.split(":")[0] for name in (*plan.rewritten, *plan.dropped, *plan.kept)}
    assert named == {entry.path for entry in store._held().manifest.entries()}


def test_what_cannot_be_erased_is_refused_and_nothing_changes(store: GradientStore, tmp_path: Path):
    before = _files(store)
    (tmp_path / "second").mkdir()
    stranger = _store(tmp_path / "second")
    for forget_set, message in (
        (_forget(store), "an empty forget set"),
        (_forget(store, 3, 200), "sample 200 has no row"),
        (_forget(store, *range(2 * N)), "these are all samples"),
        (_forget(stranger, 3), "the forget set is of .*second"),
    ):
        for dry_run in (True, False):
            with pytest.raises(UnlearnError, match=message):
                store.erase(forget_set, dry_run=dry_run)
    assert before == _files(store)


def test_a_damaged_shard_hides_the_samples_and_waits(tmp_path: Path):
    store = _store(tmp_path)
    shard = store.path / "shards" / "0-0.bin"
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match=r"shards/0-0\.bin in .* is damaged"):
        store.erase(_forget(store, 7))
    with pytest.warns(StoreWarning, match="an erasure is not finished"):
        opened = GradientStore.open(store.path)
    assert 7 not in opened.sample_ids
    assert [len(shard) for shard in opened.shards()] == [7, 32, 7, 32, 40]
    assert [shard.offset for shard in opened.shards()][:2] == [0, 8 * K * 4]
    starts = [shard.start for shard in opened.shards()]
    assert starts == [0, 7, 39, 46, 78]
    content[50] ^= 1
    shard.write_bytes(content)
    finished = GradientStore.open(store.path)
    assert len(finished.shards()) == 3
    assert 7 not in finished.sample_ids
    assert finished.verify().ok


def test_a_reader_that_may_not_write_never_sees_hidden_samples(tmp_path: Path, monkeypatch):
    store = _store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(erasure_module, "_without_hidden", _killed)
        with pytest.raises(KeyboardInterrupt):
            store.erase(_forget(store, 7, 8))
    lock = WriterLock(store.path)  # another process is at work
    with pytest.warns(StoreWarning, match="is being written by"):
        opened = GradientStore.open(store.path)
    assert not {7, 8} & set(opened.sample_ids.tolist())
    assert opened.n_samples == 2 * N - 2
    lock.release()
    assert GradientStore.open(store.path)._held().manifest.erasures == 1


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_strays_of_an_erasure_are_cut_when_it_is_opened(tmp_path: Path):
    store = _store(tmp_path)
    store.erase(_forget(store, 7))
    old = store.path / "shards" / "0-0.bin"
    old.write_bytes(b"rows of before, brought back by a power cut")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GradientStore.open(store.path)
    assert not old.exists()
    assert writing.is_unfinished(store._folder, store._held().manifest) is False


def test_readers_of_a_store_that_had_an_erasure_go_on_beside_a_writer(tmp_path: Path):
    store = _store(tmp_path)
    store.erase(_forget(store, 7))
    writer = GradientStore(path=store.path, append=True)
    writer.row_sink(K).add(np.array([0]), _gradients()[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GradientStore.open(store.path).n_samples == 2 * N - 1
    assert (store.path / "writing" / "0.rows").exists()
    writer.close()


def test_an_erasure_is_finished_before_the_store_is_overwritten(tmp_path: Path, monkeypatch):
    store = _store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(erasure_module, "_without_hidden", _killed)
        with pytest.raises(KeyboardInterrupt):
            store.erase(_forget(store, 7))
    needle = bytes(_gradients()[7])
    assert needle in (store.path / "shards" / "0-0.bin").read_bytes()
    GradientStore(path=store.path, overwrite=True)
    assert not (store.path / "shards" / "0-0.bin").exists()
    assert 7 not in GradientStore.open(store.path).sample_ids


def test_a_file_that_keeps_the_bytes_is_found(tmp_path: Path):
    """Whatever else is in the folder is searched too."""
    store = _store(tmp_path)
    (store.path / "note.txt").write_bytes(b"x" * 33 + bytes(store.record.inputs[7]) + b"y")
    erasure = store.erase(_forget(store, 7))
    assert not erasure.clean
    assert erasure.scan.found == ("note.txt at byte 33 (input)",)
    assert "FOUND in note.txt at byte 33 (input)" in str(erasure)
    assert ("note.txt", 54) in erasure.scan.files


def test_what_was_derived_must_be_of_these_rows(tmp_path: Path):
    store, early = _store(tmp_path), GradientStore.open(tmp_path / "grad")
    store.put_derived("codes", [b"a", b"bc"], {"bits": 1})
    found = GradientStore.open(store.path).derived("codes")
    assert (found.path.read_bytes(), found.size, found.about) == (b"abc", 3, {"bits": 1})
    store.put_derived("codes", [b"new"], {})
    store.put_derived("factor", [b"2"], {})
    assert store.derived("codes").path.read_bytes() == b"new"
    assert store.info()["derived"] == ["codes", "factor"]
    assert len(list((store.path / "derived").iterdir())) == 2
    with pytest.raises(StoreError, match="has changed since it was opened"):
        early.put_derived("codes", [b"of other rows"], {})
    with pytest.raises(StoreError, match="can't name a file"):
        store.put_derived("../codes", [b""], {})
    again = GradientStore(path=store.path, append=True)
    again.commit(_gradients(), np.arange(N), PROJECTOR, store._held().record, None)
    assert again.derived("codes") is None
    assert not any((store.path / "derived").iterdir())


@given(
    st.binary(max_size=60).map(lambda data: bytes(byte % 3 for byte in data)),
    st.integers(8, 12),
    st.data(),
)
def test_needles_are_found_where_the_plain_search_finds_them(data, length, draw):
    needles = draw.draw(st.lists(st.lists(st.integers(0, 2), min_size=length, max_size=length)))
    if len(data) > length:
        start = draw.draw(st.integers(0, len(data) - length))
        needles.append(list(data[start : start + length]))
    if not needles:
        return
    content = np.array(needles, np.uint8)
    probe = draw.draw(st.integers(0, length - 8))
    places, which = find_needles(np.frombuffer(data, np.uint8), content, probe)
    assert places.tolist() == naive.find_needles(data, [bytes(each) for each in needles])
    for place, number in zip(places, which, strict=True):
        assert data[place : place + length] == bytes(content[number])
