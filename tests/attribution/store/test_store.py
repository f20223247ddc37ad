"""GradientStore without provenance: what it keeps, refuses and reports."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.attribution.store.runs import PROJECTOR, WIDTH, commit, make_record, mark_of
from traceprop.attribution.estimators.problem import problem_of
from traceprop.attribution.model_files import restore_model
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.folder.lock import LOCK_NAME
from traceprop.attribution.store.folder.manifest import _seal
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.curvature.digest import model_digest
from traceprop.errors import DataError, StoreError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grad"


@pytest.fixture
def stored(path: Path) -> GradientStore:
    store = GradientStore(k=8, path=path)
    commit(store, mark=3)
    return store


def _python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- what it keeps ---------------------------------------------------------------------------


def test_a_run_comes_back(path: Path, stored: GradientStore):
    for store in (stored, GradientStore(path=path), GradientStore.open(path)):
        assert mark_of(store) == 3
        assert (store.k, store.dtype, store.seed, store.n_samples) == (8, "float32", 0, 5)
        assert store.projector == PROJECTOR
        assert store.gradients.dtype == np.float32
        assert not store.gradients.flags.writeable
        assert store.path == path


def test_a_second_process_reads_it_without_torch(path: Path, stored: GradientStore):
    code = (
        "import sys; from traceprop.attribution import GradientStore;"
        "s = GradientStore.open(sys.argv[1]); print(s.gradients.sum(), s.record.penalty);"
        "assert s.info() and not {'torch', 'numba', 'pyarrow'} & set(sys.modules)"
    )
    assert _python(code, path) == f"{3.0 * 5 * WIDTH} 0.1"


def test_samples_in_any_order_keep_their_rows(path: Path):
    store = GradientStore(k=8, path=path)
    gradients = np.arange(3 * WIDTH, dtype=np.float64).reshape(3, WIDTH)
    store.commit(gradients, [7, 0, 4], PROJECTOR, make_record(9), None)
    assert store.sample_ids.tolist() == [7, 0, 4]
    np.testing.assert_array_equal(store.gradients, gradients)


def test_files_are_little_endian_rows(path: Path, stored: GradientStore):
    raw = (path / "shards" / "0-0.bin").read_bytes()
    assert raw == np.full(5 * WIDTH, 3, "<f4").tobytes()
    assert (path / "shards" / "0-0.ids").read_bytes() == np.arange(5, dtype="<i8").tobytes()


def test_info_is_plain_json(stored: GradientStore, path: Path):
    facts = json.loads(json.dumps(stored.info()))
    assert facts["samples"] == 5
    assert facts["width"] == WIDTH
    assert facts["projection"] == "identity"
    assert facts["manifest"] == "manifest-1.json"
    assert facts["model_sha256"] == f"{3:064x}"
    assert GradientStore(k=5, path=path.with_name("new")).info()["k"] == 5
    assert repr(stored) == f"GradientStore('{path}', k=8, 5 samples)"


def test_opening_is_fast_and_takes_no_memory(path: Path):
    """150,000 samples of 256 numbers (150 MB): opened in a blink, read only where asked."""
    n, k = 150_000, 256
    store = GradientStore(k=k, path=path)
    projector = Projector((Block("weight", (k,)),), k=k)
    store.commit(np.ones((n, k), np.float32), np.arange(n), projector, make_record(n), None)
    code = (
        "import resource, sys, time; from traceprop.attribution import GradientStore;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "before = peak(); start = time.perf_counter(); s = GradientStore.open(sys.argv[1]);"
        "row = s.gradients[-1].sum(); assert row == s.k;"
        "print(time.perf_counter() - start, peak() - before)"
    )
    seconds, kilobytes = map(float, _python(code, path).split())
    assert seconds < 0.25  # 5 ms on a quiet machine
    assert kilobytes < 20_000


# ---- settings --------------------------------------------------------------------------------


def test_a_new_store_has_the_defaults(path: Path):
    store = GradientStore(path=path)
    assert (store.k, store.dtype, store.seed) == (4096, "float32", 0)


@pytest.mark.parametrize(("name", "value"), [("k", 4096), ("seed", 1)])
def test_other_settings_are_refused_by_both_names(path, stored, name, value):
    made = getattr(stored, name)
    with pytest.raises(StoreError, match=f"made with {name}={made}, not {name}={value}"):
        GradientStore(path=path, **{name: value})
    assert GradientStore(path=path, **{name: made}).n_samples == 5


@pytest.mark.parametrize(
    "settings",
    [{"k": 0}, {"k": True}, {"k": 2.5}, {"k": "./grad"}, {"seed": -1}, {"dtype": "float8"}],
)
def test_settings_that_cannot_be_are_refused(path: Path, settings: dict):
    with pytest.raises(StoreError, match=f"{next(iter(settings))}="):
        GradientStore(path=path, **settings)
    assert not path.exists()


def test_numpy_integers_are_settings(path: Path):
    store = GradientStore(k=np.int64(8), path=path, seed=np.uint8(0))
    commit(store)
    assert GradientStore(k=np.int32(8), path=path).info()["k"] == 8
    with pytest.raises(StoreError, match="was made with k=8"):
        GradientStore(k=np.int64(9), path=path)


def test_a_path_is_needed():
    with pytest.raises(StoreError, match="needs a folder"):
        GradientStore(k=8)


# ---- nothing there ---------------------------------------------------------------------------


def test_a_question_never_makes_a_folder(path: Path):
    store = GradientStore(path=path)
    assert store.record is None
    assert store.n_samples == 0
    assert store.sources == store.steps == ()
    for question in (
        lambda: store.gradients,
        lambda: store.sample_ids,
        lambda: store.projector,
        lambda: store.get_provenance(0),
        lambda: store.samples_from_source("a.csv", [0]),
        lambda: store.by_source([]),
        lambda: store.lineage(),
        lambda: store.check_model({}),
        lambda: GradientStore.open(path),
    ):
        with pytest.raises(StoreError, match="There is no store at"):
            question()
    assert not path.exists()


def test_a_folder_without_a_run_has_no_model_and_no_problem(path: Path):
    store = GradientStore(path=path)
    for question in (
        lambda: restore_model(store),
        lambda: problem_of(torch.nn.Linear(1, 1), store),
    ):
        with pytest.raises(StoreError, match=r"grad holds no run: give the folder of a store"):
            question()


def test_a_prepared_store_holds_nothing_yet(path: Path):
    with_lock = GradientStore(path=path)
    with_lock.prepare()
    with_lock.prepare()
    assert GradientStore(path=path).n_samples == 0
    with_lock.close()
    with pytest.raises(StoreError, match="holds no run yet"):
        GradientStore.open(path)


# ---- refusals --------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_overwrite_replaces_it(path: Path, stored: GradientStore):
    for store in (stored, GradientStore(path=path)):
        with pytest.raises(StoreError, match="already holds a run of 5 samples"):
            store.prepare()
        with pytest.raises(StoreError, match="already holds a run of 5 samples"):
            commit(store, mark=4)
    again = GradientStore(k=8, path=path, overwrite=True)
    assert again.n_samples == 0
    assert mark_of(GradientStore.open(path)) == 3
    commit(again, mark=5)
    assert mark_of(again) == mark_of(GradientStore.open(path)) == 5
    assert sorted(p.name for p in path.iterdir()) == [
        LOCK_NAME,
        "manifest-2.json",
        "run-2",
        "shards",
    ]
    with pytest.raises(StoreError, match="already holds a run"):
        commit(again, mark=6)


def test_a_run_that_came_in_between_is_seen(path: Path):
    early = GradientStore(k=8, path=path)
    commit(GradientStore(k=8, path=path), mark=1)
    with pytest.raises(StoreError, match="already holds a run"):
        early.prepare()
    assert mark_of(GradientStore.open(path)) == 1
    GradientStore(k=8, path=path, overwrite=True).prepare()  # the lock was given back


def test_a_reader_goes_on_beside_a_writer(path: Path, stored: GradientStore):
    reader = GradientStore.open(path)
    gradients = reader.gradients
    commit(GradientStore(k=8, path=path, overwrite=True), mark=9)
    np.testing.assert_array_equal(gradients, np.full((5, WIDTH), 3))
    assert mark_of(GradientStore.open(path)) == 9


def test_a_second_writer_is_refused(path: Path):
    first = GradientStore(k=8, path=path)
    first.prepare()
    second = GradientStore(k=8, path=path)
    with pytest.raises(StoreError, match=f"being written by process {os.getpid()}"):
        commit(second)
    code = (
        "import sys; from traceprop.attribution import GradientStore\n"
        "try: GradientStore(path=sys.argv[1]).prepare()\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    assert "StoreError" in _python(code, path)
    commit(first, mark=1)
    assert mark_of(GradientStore.open(path)) == 1


def test_a_forked_worker_does_not_give_the_lock_up(path: Path):
    """A DataLoader's worker holds a copy of the store, and drops it long before training ends."""
    code = (
        "import os, sys; from traceprop.attribution import GradientStore\n"
        "store = GradientStore(path=sys.argv[1]); store.prepare(); child = os.fork()\n"
        "if child == 0: store.close(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "try: GradientStore(path=sys.argv[1]).prepare()\n"
        "except Exception as e: print(type(e).__name__, f'process {os.getpid()}.' in str(e))"
    )
    assert _python(code, path) == "StoreError True"


def test_other_folders_are_left_alone(tmp_path: Path):
    (tmp_path / "photo.txt").write_text("holiday")
    for overwrite in (False, True):
        with pytest.raises(StoreError, match="not a gradient store"):
            GradientStore(path=tmp_path, overwrite=overwrite)
    with pytest.raises(StoreError, match="is a file"):
        GradientStore(path=tmp_path / "photo.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["photo.txt"]


def test_a_folder_that_was_filled_in_between_is_left_alone(path: Path):
    store = GradientStore(k=8, path=path)
    path.mkdir()
    (path / "photo.txt").write_text("holiday")
    with pytest.raises(StoreError, match="not a gradient store"):
        store.prepare()
    assert [p.name for p in path.iterdir()] == ["photo.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_of_another_schema_is_left_alone(path: Path, stored: GradientStore, overwrite):
    manifest = path / "manifest-1.json"
    body = json.loads(manifest.read_bytes()) | {"schema": 0}
    del body["sha256"]
    manifest.write_bytes(_seal(body))
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with pytest.raises(
        StoreError, match="has schema 0; this version of Traceprop reads schemas 1 and 2"
    ):
        GradientStore(path=path, overwrite=overwrite)
    assert before == {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_an_empty_folder_becomes_a_store(path: Path):
    path.mkdir()
    commit(GradientStore(k=8, path=path), mark=2)
    assert mark_of(GradientStore.open(path)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradients": np.full((5, WIDTH), np.inf)}, "gradient of sample 0 has NaN or infinite"),
        ({"gradients": np.zeros((0, WIDTH)), "ids": []}, "no sample in them"),
        ({"gradients": np.zeros((5, 3))}, "don't belong into a store"),
        ({"ids": np.arange(4)}, "4 sample ids for 5 gradients"),
        ({"ids": [0, 1, 2, 3, 3]}, "Sample 3 has more than one row"),
        ({"ids": [-1, 1, 2, 3, 4]}, "Sample -1 is no sample"),
        ({"ids": [0, 1, 2, 3, 5]}, "Sample 5 has a gradient, but there are 5 training inputs"),
        ({"projector": Projector((Block("w", (WIDTH,)),), k=9)}, "k=9, seed=0 don't belong"),
        ({"projector": Projector((Block("w", (WIDTH,)),), k=8, seed=2)}, "seed=2 don't belong"),
    ],
)
def test_what_is_out_of_step_is_refused_before_a_byte_moves(path: Path, change: dict, message: str):
    given = {
        "gradients": np.zeros((5, WIDTH)), "ids": np.arange(5), "projector": PROJECTOR,
    } | change  # fmt: skip
    store = GradientStore(k=8, path=path)
    with pytest.raises(DataError, match=message):
        store.commit(given["gradients"], given["ids"], given["projector"], make_record(5), None)
    assert not path.exists()


def test_the_first_diverged_sample_is_named_wherever_it_is(path: Path):
    n, k = 5000, 1024  # more than one block of rows
    gradients = np.zeros((n, k), np.float32)
    gradients[4321, 7] = np.nan
    store = GradientStore(k=k, path=path)
    projector = Projector((Block("weight", (k,)),), k=k)
    with pytest.raises(DataError, match="sample 14321 has NaN"):
        store.commit(gradients, np.arange(n) + 10_000, projector, make_record(n), None)


def test_check_model(stored: GradientStore, path: Path):
    model = torch.nn.Linear(3, 2)
    with pytest.raises(StoreError, match="recorded from another model"):
        stored.check_model(model)
    again = GradientStore(k=8, path=path, overwrite=True)
    record = dataclasses.replace(make_record(5), model_digest=model_digest(model))
    again.commit(np.zeros((5, WIDTH)), np.arange(5), PROJECTOR, record, None)
    again.check_model(model)


def test_plain_arrays_have_no_provenance(stored: GradientStore):
    assert stored.sources == ()
    for question in (
        lambda: stored.get_provenance(0),
        lambda: stored.samples_from_source("a.csv", [0]),
        lambda: stored.by_source([(0, 1.0)]),
        lambda: stored.lineage(),
    ):
        with pytest.raises(StoreError, match="trained on plain arrays"):
            question()


def test_names_load_lazily():
    code = (
        "import sys, traceprop.attribution as a; assert 'GradientStore' in dir(a);"
        "assert not {'torch', 'numba', 'pyarrow', 'scipy'} & set(sys.modules);"
        "a.GradientStore, a.ForgetSet, a.Projector, a.TrainingRecord;"
        "assert 'torch' not in sys.modules; a.TrainingContext, a.compute_influence_scores"
    )
    _python(code)
    import traceprop.attribution

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = traceprop.attribution.nothing
