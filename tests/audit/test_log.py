"""The audit log: what is written is there, and what was changed is named by its entry."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc8785

from tests.naive.log import first_wrong
from traceprop.audit import recording, settings
from traceprop.audit.entry import make_entry, read_line, seal_facts
from traceprop.audit.log import AuditLog
from traceprop.audit.log_check import check_log
from traceprop.audit.recording import record
from traceprop.audit.retention import destroy_keys, let_go
from traceprop.audit.settings import LEAST_DAYS, VARIABLE, LogSettings, settings_of
from traceprop.errors import AuditError, AuditWarning

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a name that nobody may read"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store's folder, with a log of six entries (0 is the beginning)."""
    path = tmp_path / "grad"
    path.mkdir()
    for kind in ("query", "removal", "export", "verification", "query"):
        record(path, kind, {"who": SECRET, "n": 3, "score": 0.25})
    recording.flush()
    return path


def _lines(store: Path) -> list[bytes]:
    return AuditLog(store).files.log.read_bytes().splitlines(keepends=True)


def _write(store: Path, lines: list[bytes]) -> None:
    AuditLog(store).files.log.write_bytes(b"".join(lines))


def test_entries_are_there_in_order_and_say_nothing(store: Path):
    found = check_log(store)
    assert found.ok, found.reason
    assert [entry.kind for entry in found.entries] == [
        "begin", "query", "removal", "export", "verification", "query",
    ]  # fmt: skip
    log = AuditLog(store).files.log.read_bytes()
    assert SECRET.encode() not in log
    assert b"0.25" not in log
    # Equal facts look different each time, and are there for who has the keys.
    assert len({entry.commitments["who"] for entry in found.entries[1:]}) == 5
    assert found.openings[3].facts == {"who": SECRET, "n": 3, "score": 0.25}


def test_a_line_is_rfc_8785_json(store: Path):
    for line in _lines(store):
        assert rfc8785.dumps(json.loads(line)) + b"\n" == line
        body = json.loads(line)
        own = body.pop("sha256")
        assert hashlib.sha256(rfc8785.dumps(body)).hexdigest() == own


def test_only_the_owner_can_read_it(store: Path):
    folder = AuditLog(store).files.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_every_changed_byte_fails_at_its_entry(store: Path):
    data = AuditLog(store).files.log.read_bytes()
    starts = [0]
    for line in _lines(store):
        starts.append(starts[-1] + len(line))
    for serial in range(6):
        for at in range(starts[serial], starts[serial + 1], 7):
            changed = bytearray(data)
            changed[at] ^= 1
            AuditLog(store).files.log.write_bytes(changed)
            found = check_log(store)
            assert not found.ok, at
            assert found.at == serial, (at, found.reason)
            assert [entry.serial for entry in found.entries] == list(range(serial))


@pytest.mark.parametrize("serial", range(6))
def test_a_dropped_entry_fails_there(store: Path, serial: int):
    lines = _lines(store)
    _write(store, lines[:serial] + lines[serial + 1 :])
    found = check_log(store)
    assert not found.ok
    assert found.at == serial, found.reason


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (2, 5), (4, 5), (0, 5)])
def test_a_reordered_entry_fails_there(store: Path, first: int, second: int):
    lines = _lines(store)
    lines[first], lines[second] = lines[second], lines[first]
    _write(store, lines)
    found = check_log(store)
    assert not found.ok
    assert found.at == first, found.reason


@pytest.mark.parametrize("serial", range(6))
def test_an_entry_replaced_by_a_sound_one_fails_there(store: Path, serial: int):
    lines = _lines(store)
    old = read_line(lines[serial])
    new = make_entry(old.log, serial, old.time, old.kind, old.previous, plain={"forged": True})
    lines[serial] = new.to_line()
    _write(store, lines)
    found = check_log(store)
    assert not found.ok
    assert found.at == serial, found.reason
    if serial < 5:  # of the last one, a log without its head can't tell
        assert first_wrong(lines) == serial


def test_an_inserted_entry_fails(store: Path):
    lines = _lines(store)
    _write(store, [*lines[:3], lines[2], *lines[3:]])
    assert check_log(store).at == 2
    other = store.with_name("other")
    other.mkdir()
    for _ in range(5):
        record(other, "query", {"n": 1})
    _write(store, [*lines[:3], _lines(other)[3], *lines[4:]])
    found = check_log(store)
    assert not found.ok
    assert found.at == 2  # the one from another log doesn't follow it


def test_the_plain_model_agrees(store: Path):
    lines = _lines(store)
    assert first_wrong(lines) is None
    for serial in range(5):
        assert first_wrong(lines[:serial] + lines[serial + 1 :]) == serial


def test_facts_that_were_changed_beside_the_log_fail_at_their_entry(store: Path):
    openings = AuditLog(store).files.openings
    openings.write_bytes(openings.read_bytes().replace(b'"n":3', b'"n":4', 3))
    assert check_log(store).at == 1


def test_destroyed_keys_leave_the_log_as_it_was(store: Path):
    before = AuditLog(store).files.log.read_bytes()
    assert destroy_keys(store, [2, 5]) == 2
    assert AuditLog(store).files.log.read_bytes() == before
    found = check_log(store)
    assert found.ok
    assert sorted(found.openings) == [1, 3, 4]
    # Without the key, no try of the right facts fits.
    guesses = {seal_facts(bytes(32), {"who": SECRET})["who"]}
    assert found.entries[2].commitments["who"] not in guesses
    assert destroy_keys(store, [2]) == 0
    with pytest.raises(AuditError, match="no entry 9"):
        destroy_keys(store, [9])


def test_keys_that_a_crash_left_in_a_copy_are_destroyed_too(store: Path):
    openings = AuditLog(store).files.openings
    left = openings.with_name(f".{openings.name}.0123456789abcdef.tmp")
    left.write_bytes(openings.read_bytes())
    destroy_keys(store, [2])
    assert not left.exists()


@pytest.mark.parametrize("name", ["log.jsonl", "openings.jsonl"])
def test_nothing_is_written_through_a_link(store: Path, name: str):
    path = AuditLog(store).files.folder / name
    elsewhere = path.rename(store / "elsewhere")
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(AuditError, match="can't be written"):
        AuditLog(store).append("query", {"n": 1})
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize(
    "head",
    [
        {"log": 1, "serial": "x", "sha256": [], "start": None, "end": None},
        {"log": "a", "serial": 1.5, "sha256": "b", "start": 0, "end": 9},
        {"log": "a", "serial": 0, "sha256": "b", "start": -5, "end": 9},
    ],
)
def test_a_head_that_no_log_has_is_refused(store: Path, head: dict[str, object]):
    AuditLog(store).files.head.write_text(json.dumps(head))
    for ask in (check_log, lambda path: AuditLog(path).append("query", {"n": 1})):
        with pytest.raises(AuditError, match=r"head\.json can't be read"):
            ask(store)


def test_facts_that_json_cannot_write_are_not_those_that_were_sealed(store: Path):
    openings = AuditLog(store).files.openings
    whole = openings.read_bytes()
    openings.write_bytes(whole.replace(SECRET.encode(), b"\\ud800", 1))
    assert check_log(store).at == 1
    openings.write_bytes(whole.replace(b'{"entry":1,', b'{"entry":1e400,', 1))
    found = check_log(store)
    assert found.ok
    assert 1 not in found.openings


def test_an_entry_of_a_moment_that_there_is_not_fails(store: Path):
    lines = _lines(store)
    old = read_line(lines[0])
    lines[0] = make_entry(
        old.log, 0, "2026-99-99T00:00:00.000Z", "begin", old.previous, plain=old.plain
    ).to_line()
    _write(store, lines)
    assert check_log(store).at == 0


def test_old_entries_go_and_the_rest_still_verifies(store: Path):
    with pytest.raises(AuditError, match="184"):
        AuditLog(store).set(LogSettings(retention_days=30))
    assert let_go(store) == 0
    later = datetime.now(UTC) + timedelta(days=LEAST_DAYS + 1)
    assert let_go(store, later) == 5
    found = check_log(store)
    assert found.ok, found.reason
    assert [entry.kind for entry in found.entries] == ["query", "checkpoint"]
    assert sorted(found.openings) == [5]
    record(store, "removal", {"n": 1})
    AuditLog(store).append("query", {"n": 2})  # another process's view
    found = check_log(store)
    assert found.ok, found.reason
    assert found.entries[-1].serial == 8
    # Without the checkpoint's word, a log that begins later is a log with entries missing.
    _write(store, _lines(store)[1:])
    assert check_log(store).at == 5
    with pytest.raises(AuditError, match="doesn't verify"):
        let_go(store, later)


def test_settings_are_entries(store: Path, monkeypatch: pytest.MonkeyPatch):
    assert settings_of(store) == LogSettings(on=True, retention_days=LEAST_DAYS)
    AuditLog(store).set(LogSettings(on=False, retention_days=3650))
    assert record(store, "query", {"n": 1}) is None
    AuditLog(store).set(LogSettings(on=True, retention_days=3650))
    monkeypatch.setenv(VARIABLE, "off")
    assert record(store, "query", {"n": 1}) is None
    monkeypatch.setenv(VARIABLE, "of")
    with pytest.raises(AuditError, match="on or off"):
        record(store, "query", {"n": 1})
    found = check_log(store)
    assert [dict(e.plain) for e in found.entries if e.kind == "settings"] == [
        {"on": False, "retention_days": 3650},
        {"on": True, "retention_days": 3650},
    ]
    assert found.entries[-1].kind == "settings"


def test_settings_are_read_again_only_where_their_file_is_another(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reads = []
    read = settings._read
    monkeypatch.setattr(settings, "_read", lambda path: reads.append(path) or read(path))
    recording._LOGS.clear()
    for n in range(4):
        record(store, "query", {"n": n})
    assert len(reads) == 1
    AuditLog(store).set(LogSettings(on=False))  # as another process would
    del reads[:]
    assert record(store, "query", {"n": 4}) is None
    assert record(store, "query", {"n": 5}) is None
    assert len(reads) == 1
    file = AuditLog(store).files.settings
    file.write_bytes(file.read_bytes()[:-1])
    for _ in range(2):
        with pytest.raises(AuditError, match="can't be read as the settings"):
            record(store, "query", {"n": 6})
    file.unlink()
    assert record(store, "query", {"n": 7}) is not None
    # A link that leads to another store leads to its log.
    other, link = tmp_path / "other", tmp_path / "link"
    other.mkdir()
    link.symlink_to(store)
    before = len(check_log(store).entries)
    record(link, "query", {"n": 8})
    link.unlink()
    link.symlink_to(other)
    record(link, "query", {"n": 9})
    assert len(check_log(store).entries) == before + 1
    assert [entry.kind for entry in check_log(other).entries] == ["begin", "query"]


def test_a_torn_tail_is_cut_and_the_log_says_so(store: Path):
    files = AuditLog(store).files
    whole = files.log.read_bytes()
    for torn in (b'{"commit', bytes(500), whole[-40:]):
        files.log.write_bytes(files.log.read_bytes() + torn.rstrip(b"\n"))
        found = check_log(store)
        assert found.ok
        assert "a crash cut short" in found.reason
        with pytest.warns(AuditWarning, match="no whole entry"):
            AuditLog(store).append("query", {"n": 1})
        found = check_log(store)
        assert found.ok, found.reason
        assert [entry.kind for entry in found.entries[-2:]] == ["cut", "query"]
    assert files.log.read_bytes().startswith(whole)


def test_what_was_on_the_disk_for_good_is_never_cut(store: Path):
    files = AuditLog(store).files
    whole = files.log.read_bytes()
    for damaged in (whole[:-20], whole[:-300], whole[:-30] + bytes(30)):
        files.log.write_bytes(damaged)
        with pytest.raises(AuditError, match="log verify"):
            AuditLog(store).append("query", {"n": 1})
        assert files.log.read_bytes() == damaged
        assert check_log(store).at is not None
    files.log.unlink()
    with pytest.raises(AuditError, match="gone"):
        AuditLog(store).append("query", {"n": 1})


def test_a_damaged_opening_is_one_that_is_gone(store: Path):
    openings = AuditLog(store).files.openings
    openings.write_bytes(openings.read_bytes()[:-30])
    record(store, "query", {"n": 7})
    found = check_log(store)
    assert found.ok
    assert sorted(found.openings) == [1, 2, 3, 4, 6]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(AuditError, match="TRACEPROP_AUDIT_LOG=off"):
        record(tmp_path / "missing" / "grad", "query", {"n": 1})
    with pytest.raises(AuditError, match="can't be read"):
        check_log(tmp_path / "grad")


_WRITER = """
import sys
from traceprop.audit.recording import record
for i in range(int(sys.argv[2])):
    record(sys.argv[1], "removal" if i % 50 == 9 else "query", {"i": i, "who": sys.argv[3]})
"""


def test_threads_and_processes_write_at_once(store: Path):
    command = [sys.executable, "-c", _WRITER, str(store), "100"]
    processes = [subprocess.Popen([*command, f"p{n}"], cwd=ROOT) for n in range(3)]
    failures = []

    def write(name: str) -> None:
        for i in range(100):
            try:
                record(store, "query", {"i": i, "who": name})
            except AuditError as failed:
                failures.append(failed)

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert not failures
    found = check_log(store)
    assert found.ok, found.reason
    written = [found.openings[e.serial].facts for e in found.entries[6:]]
    assert len(written) == 600
    for name in ("p0", "p1", "p2", "t0", "t1", "t2"):
        assert [facts["i"] for facts in written if facts["who"] == name] == list(range(100))


def test_a_failure_to_sync_is_raised_by_the_next_record(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "WITHIN_S", 0.01)
    done = threading.Event()

    def refuse(self: AuditLog) -> None:
        done.set()
        raise AuditError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "sync", refuse)
        record(store, "query", {"n": 1})
        assert done.wait(5)
        for thread in threading.enumerate():
            if thread.name == "traceprop audit log":
                thread.join(5)
    with pytest.raises(AuditError, match="disk is full"):
        record(store, "query", {"n": 2})
    assert record(store, "query", {"n": 2}) is not None


def test_flush_waits_for_what_the_thread_has_begun(store: Path, monkeypatch: pytest.MonkeyPatch):
    """After it, a program can end or delete the folder: nothing is written there any more."""
    monkeypatch.setattr(recording, "WITHIN_S", 0.01)
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    sync = AuditLog.sync

    def slow(self: AuditLog) -> None:
        begun.set()
        assert may_end.wait(5)
        sync(self)
        ended.set()

    monkeypatch.setattr(AuditLog, "sync", slow)
    record(store, "query", {"n": 1})
    assert begun.wait(5)
    flushing = threading.Thread(target=recording.flush)
    flushing.start()
    flushing.join(0.1)
    assert flushing.is_alive()
    may_end.set()
    flushing.join(5)
    assert ended.is_set()


def test_entries_are_on_the_disk_within_a_second(store: Path):
    head = AuditLog(store).files.head
    entry = record(store, "query", {"n": 1})
    for thread in threading.enumerate():
        if thread.name == "traceprop audit log":
            thread.join(5)
    assert json.loads(head.read_bytes())["serial"] == entry.serial
