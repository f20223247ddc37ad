"""Saved lineages: all that a template can hold comes back, damage is told, nothing is executed."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from traceprop import lineage
from traceprop.errors import LineageError
from traceprop.lineage import load_lineage, save_lineage
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.saved import arrow_file


def pipeline(values):
    X = lineage.array(values, name="X", columns=["a", "b"])
    Y = lineage.array(values[::-1].copy(), name="Y")
    yield X[np.array([2, 0])] * 2.5
    yield X[X[:, 0] > 0, 1]
    yield np.concatenate([X, Y])[::-1][..., None]
    yield np.add.reduce(X, axis=0, keepdims=True) + np.float32(3)
    yield np.where(np.isnan(X), -np.inf, X).astype(np.float32)
    yield np.add.reduceat(X, [0, 2])
    yield np.linalg.svd(X, full_matrices=False).S
    yield np.clip(X, None, np.array([1.0, 2.0]))
    yield X * 1j
    written = X.copy()
    part = written[1:3]
    part[:, 0] = Y[0, 0]
    yield written
    grown = np.zeros_like(X)
    np.add.at(grown, np.array([1, 1, 0, 3]), X)
    yield grown
    yield np.apply_along_axis(lambda row: row.sum(), 1, X)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(4, 2))


def test_every_row_answers_as_before(values, tmp_path):
    tensors = list(pipeline(values))
    save_lineage(tmp_path / "all.arrow", *tensors)
    graph = load_lineage(tmp_path / "all.arrow")
    assert len(graph.roots) == len(tensors)
    for k, tensor in enumerate(tensors):
        n = tensor.shape[0] if tensor.ndim else 1
        for row in range(n):
            expected = tensor[row : row + 1].trace()
            assert graph.trace(row, root=k).rows == expected.rows
        assert graph.sources(k) == tensor.sources()
        assert graph.ops(root=k) == tensor.ops()
        for kind in ("direct", "statistic", "control"):
            before, after = tensor.dependencies(), graph.dependencies(k)
            assert getattr(after, kind) == getattr(before, kind)
        for ours, theirs in zip(lineage.origins(tensor), graph.origins(k), strict=True):
            np.testing.assert_array_equal(ours.indptr, theirs.indptr)
            np.testing.assert_array_equal(ours.rows, theirs.rows)


def test_records_of_all_kinds_come_back(tmp_path):
    point = [("x", "f8"), (("the other one", "y"), "f4")]
    kind = [("a", "i4"), ("p", point), ("c", "f8", (2, 3)), ("ps", point, (2,))]
    records = lineage.array(np.zeros(3, dtype=kind), name="records")
    found = (records[1:], records[["a", "c"]], records["c"][:, 0], records["p"]["y"])
    save_lineage(tmp_path / "records", *found)
    loaded = load_lineage(tmp_path / "records")
    assert [node.dtype for node in loaded.roots] == [each.dtype for each in found]
    assert loaded.sources(0) == found[0].sources()


def test_a_loaded_lineage_can_be_saved_again(values, tmp_path):
    save_lineage(tmp_path / "one", *pipeline(values))
    save_lineage(tmp_path / "two", load_lineage(tmp_path / "one"))
    one, two = load_lineage(tmp_path / "one"), load_lineage(tmp_path / "two")
    assert [n.name for n in one] == [n.name for n in two]
    assert one.sources(2) == two.sources(2)


def test_no_tracked_value_is_saved(tmp_path):
    secret = np.full(8, 1234.5678)
    X = lineage.array(secret, name="X")
    save_lineage(tmp_path / "lineage", (X * 2)[X > 0] + 1)
    assert secret.tobytes()[:8] not in (tmp_path / "lineage").read_bytes()


def test_a_failed_save_leaves_the_old_file(values, tmp_path, monkeypatch):
    path = tmp_path / "lineage"
    save_lineage(path, *pipeline(values))
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_lineage(path, *pipeline(values))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["lineage"]


def test_a_lineage_is_for_its_owner_alone_and_on_disk_when_saved(values, tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr("os.fsync", lambda file: (synced.append(file), fsync(file)))
    save_lineage(tmp_path / "lineage", *pipeline(values))
    assert (tmp_path / "lineage").stat().st_mode & 0o777 == 0o600
    assert len(synced) == 2  # the file, and the folder


def test_two_threads_save_to_one_path(values, tmp_path):
    tensors = list(pipeline(values))
    path = tmp_path / "lineage"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: save_lineage(path, each), tensors * 3))
    assert len(load_lineage(path).roots) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["lineage"]


def test_a_folder_that_is_not_there_is_named(values, tmp_path):
    with pytest.raises(LineageError, match=f"There is no folder {tmp_path}/no: make it"):
        save_lineage(tmp_path / "no" / "lineage", *pipeline(values))


@pytest.mark.parametrize("where", ["args", "kwargs"])
def test_a_header_nested_without_end_is_damaged(values, tmp_path, where):
    path = tmp_path / "lineage"
    save_lineage(path, *pipeline(values))
    deep = "[" * 100_000 + "]" * 100_000

    def nest(header):
        header["nodes"][-1][where] = "NESTED"

    rewrite(path, nest, lambda text: text.replace('"NESTED"', deep))
    with pytest.raises(LineageError, match="damaged"):
        load_lineage(path)
    rewrite_text = "[" * 500 + "]" * 500  # read by JSON, too deep for what makes values of it
    save_lineage(path, *pipeline(values))
    rewrite(path, nest, lambda text: text.replace('"NESTED"', rewrite_text))
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 400)
        with pytest.raises(LineageError, match="damaged"):
            load_lineage(path)
    finally:
        sys.setrecursionlimit(limit)


def rewrite(path, change, nest=str):
    with pa.ipc.open_file(path) as reader:
        table = reader.read_all()
    header = json.loads(table.schema.metadata[b"traceprop.lineage"])
    change(header)
    text = nest(json.dumps(header)).encode()
    digest = arrow_file._digest(text, table.to_pydict())  # as one who knows the format would
    metadata = {b"traceprop.lineage": text, b"traceprop.lineage.sha256": digest}
    schema = table.schema.with_metadata(metadata)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table.cast(schema))


DAMAGE = {
    "earlier version": (lambda h: h.update(version=1), "version 1; this Traceprop reads"),
    "later version": (lambda h: h.update(version=99), "version 99; this Traceprop reads"),
    "other kind": (lambda h: h.update(format="something"), "not a saved lineage"),
    "no nodes": (lambda h: h.pop("nodes"), "damaged"),
    "input after itself": (lambda h: h["nodes"][0].update(inputs=[5]), "damaged"),
    "root that isn't there": (lambda h: h.update(roots=[10_000]), "damaged"),
    "unknown tag": (lambda h: h["nodes"][-1].update(args=[{"eval": "1"}]), "damaged"),
    "array that isn't there": (lambda h: h["nodes"][-1].update(args=[{"array": 999}]), "damaged"),
    "no source": (lambda h: h.update(sources=[]), "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told(values, tmp_path, damage):
    path = tmp_path / "lineage"
    save_lineage(path, *pipeline(values))
    change, message = DAMAGE[damage]
    rewrite(path, change)
    with pytest.raises(LineageError, match=message):
        load_lineage(path)


def test_missing_truncated_and_foreign_files(values, tmp_path):
    with pytest.raises(LineageError, match="no saved lineage"):
        load_lineage(tmp_path / "nowhere")
    path = tmp_path / "lineage"
    save_lineage(path, *pipeline(values))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"ARROW1\0\0 and nonsense", b"{}"):
        path.write_bytes(content)
        with pytest.raises(LineageError, match=r"not a saved lineage|damaged"):
            load_lineage(path)


def answers(path):
    graph = load_lineage(path)
    return repr(graph.sources()), repr(graph.ops()), str(graph.trace(0)), repr(graph.dependencies())


def check_damage(path, step):
    """Change each `step`-th byte in three ways and cut the file there: told, or without effect."""
    X = lineage.array(np.arange(6.0).reshape(3, 2), name="X", columns=("a", "b"))
    save_lineage(path, (X - X.mean(axis=0))[X[:, 0] > 1])
    whole, right = path.read_bytes(), answers(path)
    told = 0
    for place in range(0, len(whole), step):
        changed = [whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]
                   for bits in (0x01, 0x20, 0xFF)]  # fmt: skip
        for content in (whole[:place], *changed):
            path.write_bytes(content)
            try:
                found = answers(path)
            except LineageError:
                told += 1
            else:
                assert found == right
    assert told > len(whole) / step


def test_damaged_bytes_are_told_or_have_no_effect(tmp_path):
    check_damage(tmp_path / "lineage", 11)


@pytest.mark.nightly
def test_every_damaged_byte_is_told_or_has_no_effect(tmp_path):
    check_damage(tmp_path / "lineage", 1)


def test_a_lineage_100_000_deep_survives(tmp_path):
    X = lineage.array(np.arange(6.0).reshape(3, 2), name="X", columns=("a", "b"))
    deep = X
    for _ in range(100_000):
        deep = deep + 1
    assert deep.cells((1, 0)).trace().rows == deep[1].trace().rows == {"X": RowSet([1])}
    assert X.ancestors().leaves[0].cells([1], "b").descendants(deep) == {(1, 1)}
    path = tmp_path / "deep"
    save_lineage(path, deep)
    again = load_lineage(path)
    assert len(again.ops(raw=True)) == len(deep.ops(raw=True)) == 100_000
    assert again.sources() == copy.deepcopy(deep).sources() == deep.sources()
    assert pickle.loads(pickle.dumps(deep)).sources() == deep.sources()  # noqa: S301


def test_an_operation_that_is_not_known_is_never_run(values, tmp_path):
    path = tmp_path / "lineage"
    X = lineage.array(values, name="X")
    save_lineage(path, np.exp(X) + 1)

    def replace(header):
        header["nodes"][-1]["op"] = "os:system"

    rewrite(path, replace)
    graph = load_lineage(path)
    assert graph.ops()[-1] == "os:system"
    assert len(graph.sources()["X"]) == 4  # the sound answer about the unknown
    with pytest.raises(TypeError, match="saved by name only"):
        graph.roots[0].op("true")


def test_a_pickle_brings_the_operations_that_it_names(tmp_path):
    """A new process has loaded no family of rules when the pickle's operations are looked up."""
    path = tmp_path / "pickle"
    wide, _ = np.broadcast_arrays(lineage.array(np.arange(3.0), name="X"), np.ones((2, 3)))
    path.write_bytes(pickle.dumps(wide))
    program = (
        "import pickle, sys, traceprop, traceprop.lineage\n"
        "tensor = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(tensor.shape, list(tensor.sources()['X']))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert told.stdout == "(2, 3) [0, 1, 2]\n"
