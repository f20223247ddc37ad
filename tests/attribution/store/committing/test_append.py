"""Several runs in one store: more epochs, checkpoints, more data; and what doesn't belong."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from tests.attribution.store.runs import PROJECTOR, WIDTH, commit, make_record
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.folder.manifest import SCHEMA, _seal
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.rows.row_source import ArrayRows
from traceprop.curvature.losses import LossSpec
from traceprop.errors import DataError, RowError, StoreError

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grad"


def _rows(mark: float, n: int = 5) -> np.ndarray:
    return np.full((n, WIDTH), mark, np.float32)


def _table(tmp_path: Path, name: str, n: int):
    file = tmp_path / name
    file.write_text("a,b,c\n" + "".join(f"{i},{i + 1},{len(name)}\n" for i in range(n)))
    return tp.load_csv(file)


# ---- the same data: rows add up --------------------------------------------------------------


def test_training_resumed_on_the_same_data_adds_up(path: Path):
    commit(GradientStore(k=8, path=path), mark=3)
    again = GradientStore(path=path, append=True)
    record = dataclasses.replace(make_record(5, mark=3), model_digest="f" * 64, epochs=4)
    again.commit(_rows(10), np.arange(5), PROJECTOR, record, None)
    for store in (again, GradientStore.open(path)):
        np.testing.assert_array_equal(store.gradients, _rows(13))
        assert store.n_samples == 5
        assert store.repeats
        assert store.record.model_digest == "f" * 64  # as training ended
        assert store.record.epochs == 7
        assert len(store.record.inputs) == 5
    assert not (path / "run-2" / "record" / "inputs.npy").exists()  # kept once
    assert store.verify().ok
    with pytest.raises(StoreError, match="add to it with"):
        commit(GradientStore(path=path), mark=1)


def test_a_part_of_the_samples_may_be_seen_again(path: Path):
    commit(GradientStore(k=8, path=path), mark=3)
    again = GradientStore(path=path, append=True)
    again.commit(_rows(10, 2), [4, 1], PROJECTOR, make_record(5, mark=3), None)
    assert again.gradients[:, 0].tolist() == [3, 13, 3, 3, 13]
    assert again.sample_ids.tolist() == [0, 1, 2, 3, 4]


def test_each_checkpoint_has_rows_of_its_own(path: Path):
    store = GradientStore(k=8, path=path)
    rows = [ArrayRows(_rows(10.0**c), np.arange(5), checkpoint=c) for c in range(3)]
    store.commit_rows(rows, PROJECTOR, make_record(5), None)
    store = GradientStore.open(path)
    assert [shard.checkpoint for shard in store.shards()] == [0, 1, 2]
    assert [float(shard.values[0, 0]) for shard in store.shards()] == [1, 10, 100]
    assert [shard.start for shard in store.shards()] == [0, 5, 10]
    assert store.n_samples == 5
    np.testing.assert_array_equal(store.gradients, _rows(111))
    assert store.info()["parts"][0]["checkpoints"] == [0, 1, 2]
    store.compact()
    assert len(store.shards()) == 3  # checkpoints stay apart
    with pytest.raises(DataError, match="each once"):
        GradientStore(k=8, path=path, overwrite=True).commit_rows(
            [rows[0], rows[0]], PROJECTOR, make_record(5), None
        )


# ---- other data: samples of their own --------------------------------------------------------


def test_more_data_are_samples_numbered_on(path: Path, tmp_path: Path):
    store = GradientStore(k=8, path=path)
    first, second = _table(tmp_path, "one.csv", 5), _table(tmp_path, "other.csv", 4)
    commit(store, mark=1, tensors=(first,))
    more = GradientStore(path=path, append=True)
    more.commit(_rows(2, 4), np.arange(4), PROJECTOR, make_record(4, mark=2), (second[::-1],))
    store = GradientStore.open(path)
    assert store.sample_ids.tolist() == list(range(9))
    assert store.gradients[:, 0].tolist() == [1] * 5 + [2] * 4
    assert not store.repeats
    assert store.record.inputs[:, 0].tolist() == [1] * 5 + [2] * 4
    assert [str(source) for source in store.sources] == ["one.csv", "other.csv"]
    assert store.get_provenance(4).trace_to_file() == "one.csv row 4"
    assert store.get_provenance(5).trace_to_file() == "other.csv row 3"
    assert list(store.samples_from_source("other.csv", [0, 2])) == [6, 8]
    assert store.by_source([(0, 1.0), (8, 5.0)]) == {store.sources[1]: 5.0, store.sources[0]: 1.0}
    assert [len(root.inputs) for root in store.lineage().roots] == [0, 1]  # a table, a slice
    with pytest.raises(RowError, match=r"There is no sample 9: .* has 0 to 4, 5 to 8"):
        store.get_provenance(9)
    assert store.verify().ok


def test_rows_of_one_source_in_two_runs(path: Path, tmp_path: Path):
    table = _table(tmp_path, "one.csv", 9)
    commit(GradientStore(k=8, path=path), mark=1, tensors=(table[:5],))
    commit(GradientStore(path=path, append=True), mark=2, tensors=(table[4:],))
    store = GradientStore.open(path)
    assert [str(source) for source in store.sources] == ["one.csv"]
    assert list(store.samples_from_source("one.csv", [4])) == [4, 5]  # in both
    assert list(store.samples_from_source("one.csv", [8, 0])) == [0, 9]
    assert str(store.get_provenance(9)).startswith("one.csv row 8 (line 10)")


# ---- what doesn't belong together ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((4, 2), np.float32)}, r"inputs of shape \(3,\) and float32"),
        ({"targets": np.zeros(4, np.int32)}, "targets of shape"),
        ({"loss": LossSpec("mse", "mean")}, "under the loss cross_entropy .mean., this run is"),
    ],
)
def test_a_run_of_another_kind_is_refused(path: Path, change: dict, message: str):
    commit(GradientStore(k=8, path=path), mark=1)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"}
    record = dataclasses.replace(make_record(4, mark=2), **change)
    with pytest.raises(StoreError, match=message):
        GradientStore(path=path, append=True).commit(
            _rows(2, 4), np.arange(4), PROJECTOR, record, None
        )
    assert before == {
        p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"
    }


def test_a_run_of_another_model_is_refused(path: Path):
    commit(GradientStore(k=8, path=path), mark=1)
    other = Projector((Block("weight", (3, 2)),), k=8)
    with pytest.raises(StoreError, match="a model with other parameters or shapes"):
        GradientStore(path=path, append=True).commit(
            _rows(2), np.arange(5), other, make_record(5), None
        )
    with pytest.raises(StoreError, match="append=True keeps the runs"):
        GradientStore(path=path, append=True, overwrite=True)


# ---- gathered on disk ------------------------------------------------------------------------


def test_rows_gather_in_a_file_that_goes(path: Path):
    store = GradientStore(k=8, path=path)
    sink = store.row_sink(WIDTH)
    for ids, value in (([3, 0], 1.0), ([0, 0, 900], 2.0)):
        sink.add(np.array(ids), np.full((len(ids), WIDTH), value, np.float32))
    assert sink.seen(np.array([0, 1, 3, 900, 5000])).tolist() == [True, False, True, True, False]
    sink.add(np.array([3]), np.full((1, WIDTH), 7, np.float32), replace=True)
    assert (path / "writing" / "0.rows").exists()
    assert sink.sample_ids.tolist() == [0, 3, 900]
    store.commit_rows([sink], PROJECTOR, make_record(901), None)
    assert not (path / "writing").exists()
    assert GradientStore.open(path).gradients[:, 0].tolist() == [5, 7, 2]


def test_what_a_dead_run_left_is_told_and_cut(path: Path):
    commit(GradientStore(k=8, path=path), mark=1)
    (path / "writing").mkdir()
    (path / "writing" / "0.rows").write_bytes(b"torn")
    (note,) = GradientStore.open(path).verify().notes
    assert "1 files are left of a writer that stopped" in note
    assert "writing/0.rows" in note
    commit(GradientStore(path=path, append=True), mark=1)
    assert not (path / "writing" / "0.rows").exists()


def test_sums_that_overflow_are_refused_at_the_commit(path: Path):
    store = GradientStore(k=8, path=path)
    sink = store.row_sink(WIDTH)
    for _ in range(2):
        sink.add(np.array([4]), np.full((1, WIDTH), 3e38, np.float32))
    with pytest.raises(DataError, match="sample 4 has NaN or infinite"):
        store.commit_rows([sink], PROJECTOR, make_record(5), None)
    assert GradientStore(path=path).n_samples == 0
    assert not (path / "writing").exists()


_LARGE_RUN = """
import resource, sys
import numpy as np
import numba_kernels.crc32c, numba_kernels.projection
from tests.attribution.store.runs import make_record
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.gradient_store import GradientStore
n, k = 60_000, 1024
store = GradientStore(k=k, path=sys.argv[1], dtype=sys.argv[2])
sink = store.row_sink(k)
record = make_record(n)
rows = np.ones((256, k), np.float32)
sink.add(np.arange(256), rows); sink.add(np.arange(256), -rows)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for epoch in range(2):
    for start in range(0, n, 256):
        ids = (np.arange(start, min(start + 256, n)) * 7919) % n
        sink.add(ids, rows[: len(ids)])
store.commit_rows([sink], Projector((Block("w", (k,)),), k=k), record, None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
assert (store.rows[::1000] == 2).all()
"""


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_run_needs_no_memory_for_its_rows(path: Path, dtype: str):
    """60,000 samples of 1,024 numbers: 234 MiB of rows."""
    command = [sys.executable, "-c", _LARGE_RUN, str(path), dtype]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 150


# ---- the schema before this one --------------------------------------------------------------


def test_a_store_of_the_first_schema_is_read_and_appended_to(path: Path):
    commit(GradientStore(k=8, path=path), mark=3)
    manifest = path / "manifest-1.json"
    body = json.loads(manifest.read_bytes())
    (part,) = body.pop("parts")
    for name in ("derived", "erasing", "erasures", "repeats", "sha256"):
        del body[name]
    shard = part["shards"][0]
    old_shard = {n: shard[n] for n in ("rank", "number", "rows", "gradients", "sample_ids")}
    old = body | {"schema": 1, "shards": [old_shard]}
    old |= {name: part[name] for name in ("steps", "sources", "run", "files")}
    manifest.write_bytes(_seal(old))
    store = GradientStore.open(path)
    np.testing.assert_array_equal(store.gradients, _rows(3))
    assert store.verify().ok
    commit(GradientStore(path=path, append=True), mark=3)
    np.testing.assert_array_equal(GradientStore.open(path).gradients, _rows(6))
    assert json.loads((path / "manifest-2.json").read_bytes())["schema"] == SCHEMA
