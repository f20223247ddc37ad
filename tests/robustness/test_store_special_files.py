"""What lies in the place of a store's files: pipes, sockets, links, and files cut while open."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.attribution.store.runs import commit, mark_of
from traceprop.attribution.store.erasure import erasure as erasure_module
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.folder.lock import LOCK_NAME
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.cli.stores import store_commands
from traceprop.errors import StoreError, StoreWarning

SECONDS = 20


@pytest.fixture(autouse=True)
def _nothing_waits() -> Iterator[None]:
    """Fail where a test hangs: a pipe without a writer is waited for without end."""

    def stop(*_: object) -> None:
        raise TimeoutError("the store waits for something that is no file")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["grad", "grädient störe 梯度 #1"])
def path(request, tmp_path: Path) -> Path:
    return tmp_path / request.param


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    # By its name alone: a socket's address is short.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _folder(path: Path) -> None:
    path.mkdir()


KINDS = {"pipe": _pipe, "folder": _folder}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["manifest-1.json", "shards/0-0.bin", "shards/0-0.ids", "run-1/record/inputs.npy"]
)
def test_no_ordinary_file_is_refused_when_opening(path: Path, kind: str, name: str):
    commit(GradientStore(k=8, path=path), mark=3)
    (path / name).unlink()
    KINDS[kind](path / name)
    with pytest.raises(StoreError, match=r"holds no whole run: .*(no ordinary file|missing)"):
        GradientStore.open(path)
    run = CliRunner().invoke(store_commands, ["verify", str(path)])
    assert run.exit_code == 1, run.output
    assert "DAMAGED" in run.output


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_before_counts_where_the_newest_manifest_is_no_file(path: Path, kind: str):
    commit(GradientStore(k=8, path=path), mark=3)
    KINDS[kind](path / "manifest-9.json")
    with pytest.warns(StoreWarning, match="manifest-9.json is damaged: it is no ordinary file"):
        assert mark_of(GradientStore.open(path)) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.rows[:],
        lambda store: store.record.inputs,
        lambda store: store.verify().ok,
    ],
    ids=["rows", "record", "verify"],
)
def test_files_that_become_something_else_after_opening(path: Path, kind: str, ask):
    commit(GradientStore(k=8, path=path), mark=3)
    store = GradientStore.open(path)
    for name in ("shards/0-0.bin", "run-1/record/inputs.npy"):
        (path / name).unlink()
        KINDS[kind](path / name)
    try:
        assert ask(store) is False
    except StoreError as error:
        assert "no ordinary file" in str(error) or "Reading" in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_a_lock_that_is_no_file(path: Path, kind: str, tmp_path: Path):
    commit(GradientStore(k=8, path=path), mark=3)
    (path / LOCK_NAME).unlink()
    (KINDS | {"socket": _socket})[kind](path / LOCK_NAME)
    assert mark_of(GradientStore.open(path)) == 3
    with pytest.raises(StoreError, match="no ordinary file"):
        commit(GradientStore(path=path, append=True), mark=4)
    with pytest.raises(StoreError, match="no ordinary file"):
        GradientStore.open(path).put_derived("codes", [b"codes"], {})
    assert mark_of(GradientStore.open(path)) == 3


def test_a_shard_behind_a_link(path: Path, tmp_path: Path):
    """Inside of the store its bytes decide; what lies outside isn't the store's."""
    commit(GradientStore(k=8, path=path), mark=3)
    shard = path / "shards" / "0-0.bin"
    shard.rename(path / "shards" / "kept")
    shard.symlink_to("kept")
    assert mark_of(GradientStore.open(path)) == 3
    shutil.move(path / "shards" / "kept", tmp_path / "kept")
    shard.unlink()
    shard.symlink_to(tmp_path / "kept")
    with pytest.raises(StoreError, match="outside the store"):
        GradientStore.open(path)


@pytest.mark.parametrize("name", ["0-0.bin", "0-0.ids", "0-0.scales"])
def test_a_file_cut_after_opening_is_an_error(path: Path, name: str):
    commit(GradientStore(k=8, path=path, dtype="int8"), mark=3)
    store = GradientStore.open(path)
    os.truncate(path / "shards" / name, 3)
    with pytest.raises(StoreError, match=rf"{name} has 3 bytes instead of \d+"):
        _ = store.rows


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf, -1.0])
def test_a_scale_that_is_no_size(path: Path, scale: float):
    """A row with it would drop out of every answer, and nobody would know."""
    commit(GradientStore(k=8, path=path, dtype="int8"), mark=3)
    with (path / "shards" / "0-0.scales").open("r+b") as file:
        file.seek(4 * 2)
        file.write(np.array(scale, "<f4").tobytes())
    store = GradientStore.open(path)
    with pytest.raises(StoreError, match=r"0-0\.scales is damaged: row 2 has the scale"):
        _ = store.rows
    assert not store.verify().ok


def _unfinished(path: Path) -> None:
    """Leave a store whose erasure a crash interrupted just after it began."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    commit(GradientStore(k=8, path=path), mark=3)
    store = GradientStore.open(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure_module, "_without_hidden", killed)
        with pytest.raises(KeyboardInterrupt):
            store.erase(ForgetSet(np.array([1]), {}, store))


def _bytes(path: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_verify_changes_nothing_and_names_an_erasure_that_is_not_finished(path: Path):
    _unfinished(path)
    before = _bytes(path)
    run = CliRunner().invoke(store_commands, ["verify", str(path)])
    assert run.exit_code == 0, run.output
    assert "An erasure is not finished" in run.output
    assert _bytes(path) == before
    assert 1 not in GradientStore.open(path).sample_ids  # which finishes it
    run = CliRunner().invoke(store_commands, ["verify", str(path)])
    assert "not finished" not in run.output
    assert _bytes(path) != before


def test_verify_of_no_store(tmp_path: Path):
    run = CliRunner().invoke(store_commands, ["verify", str(tmp_path)])
    assert run.exit_code != 0
    assert "holds no run" in str(run.exception) + run.output


_AS_READER = """
import sys, warnings
from traceprop.attribution import GradientStore
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    store = GradientStore.open(sys.argv[1])
print(store.sample_ids.tolist(), [str(each.message) for each in caught])
"""


def test_an_erasure_that_is_not_finished_where_nothing_can_be_written(tmp_path: Path):
    path = tmp_path / "grad"
    _unfinished(path)
    mount = ["unshare", "--mount", "sh", "-c"]
    program = (
        'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && '
        f'exec {sys.executable} -c "$1" "$0"'
    )
    tried = subprocess.run([*mount, "mount --bind . ."], capture_output=True, cwd=tmp_path)
    if tried.returncode:
        pytest.skip("a folder can't be mounted read-only here")
    done = subprocess.run(
        [*mount, program, str(path), _AS_READER], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("[0, 2, 3, 4]")
    assert "an erasure is not finished, and can't be here" in done.stdout
