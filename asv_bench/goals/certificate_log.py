"""Goals of the audit log: replayed certificates, a log that was changed, what an entry costs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from asv_bench.goals import Goal, at_most, exactly
from asv_bench.timing import median_interval
from traceprop.audit.canonical import canonical
from traceprop.audit.entry import make_entry, read_line
from traceprop.audit.folder import audit_folder
from traceprop.audit.log_check import check_log
from traceprop.audit.recording import flush, record
from traceprop.compliance.envelope import open_envelope, sign
from traceprop.compliance.keys import SigningKey, public_path
from traceprop.compliance.replay import Replay
from traceprop.compliance.verify import verify

_ENTRIES = 40
_TIMED = 1_000

Change = Callable[[dict[str, Any]], None]

# Each is signed by the right key, keeps to the schema, and holds by itself: only the store and its
# log can tell. By what was changed: the change, and the words of its reason.
_REPLAYED: dict[str, tuple[Change, str]] = {
    "another serial": (lambda p: p.update(serial="f" * 32), "not in the store's audit log"),
    "another model after": (
        lambda p: p["models"].update(after={"sha256": "a" * 64}),
        "with another model after the removal: replayed",
    ),
    "another model before": (
        lambda p: p["models"].update(before={"sha256": "b" * 64}),
        "the store recorded the model",
    ),
    "another log": (lambda p: p["log"].update(id="0" * 32), "it belongs to the audit log"),
    "another head": (
        lambda p: p["log"]["head"].update(sha256="0" * 64),
        "is not the one that the certificate was made after",
    ),
    "a head to come": (lambda p: p["log"]["head"].update(serial=9_999), "entries are missing"),
    "other content": (
        lambda p: p["removal"].update(unaudited=False),
        "with another content: replayed",
    ),
}


def log_goals(folder: Path, key: SigningKey) -> Iterator[Goal]:
    """Yield the lines, on a store that a certificate was made from.

    Parameters
    ----------
    folder : Path
        Holds the store `grad` and its `certificate.json`.
    key : SigningKey
        Signed it.
    """
    store, certificate = folder / "grad", folder / "certificate.json"
    public = public_path(key.path)
    again = verify(certificate, public, store=store, replay=Replay())
    yield exactly("certificates that store, log and a second removal confirm", int(again.ok), 1)
    yield _replayed(folder, key)
    for n in range(_ENTRIES - len(check_log(store).entries)):
        record(store, "query", {"n": n})
    yield from _damaged(store, folder / "damaged")
    yield _time(store)


def _replayed(folder: Path, key: SigningKey) -> Goal:
    wrong = []
    for what, (change, said) in _REPLAYED.items():
        statement = json.loads(open_envelope((folder / "certificate.json").read_bytes()).payload)
        change(statement["predicate"])
        statement["subject"][0]["digest"] = statement["predicate"]["models"]["after"]
        path = folder / "replayed.json"
        path.write_bytes(sign(canonical(statement), key).to_bytes())
        public = public_path(key.path)
        verdict = verify(path, public, store=folder / "grad")
        if verdict.ok or said not in verdict.reason or not verify(path, public).ok:
            wrong.append(f"{what}: {verdict.reason}")
    what = f"replayed certificates of {len(_REPLAYED)} not refused for their reason"
    return exactly(what, len(wrong), 0, "; ".join(wrong))


def _damaged(store: Path, folder: Path) -> Iterator[Goal]:
    """One line a kind of damage: how many logs pass, or fail at another entry."""
    flush()  # what is not on the disk yet may be gone, which is no fault of the log's
    shutil.copytree(audit_folder(store), audit_folder(folder))
    path = audit_folder(folder) / "log" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = {
        "changed": _changed(lines),
        "re-hashed": _rehashed(lines),
        "dropped": ((n, [*lines[:n], *lines[n + 1 :]]) for n in range(len(lines))),
        "reordered": _reordered(lines),
    }
    for kind, cases in kinds.items():
        wrong = count = 0
        for at, damaged in cases:
            path.write_bytes(b"".join(damaged))
            wrong += check_log(folder).at != at
            count += 1
        yield exactly(f"logs of {count:,} with a {kind} entry that don't fail at it", wrong, 0)


def _changed(lines: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Every 23rd byte of every entry, one bit of it."""
    for n, line in enumerate(lines):
        for i in range(n % 23, len(line), 23):
            changed = bytearray(line)
            changed[i] ^= 1 << (i % 8)
            yield n, [*lines[:n], bytes(changed), *lines[n + 1 :]]


def _rehashed(lines: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Another entry in the same place, sound in itself."""
    for n, line in enumerate(lines):
        old = read_line(line)
        new = make_entry(old.log, n, old.time, old.kind, old.previous, plain={"forged": True})
        yield n, [*lines[:n], new.to_line(), *lines[n + 1 :]]


def _reordered(lines: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for n in range(len(lines) - 1):
        for other in (n + 1, len(lines) - 1):
            moved = lines.copy()
            moved[n], moved[other] = moved[other], moved[n]
            yield n, moved


def _time(store: Path) -> Goal:
    """What a query waits for its entry: written, and synced within a second by another thread."""
    facts = {"inputs_sha256": "a" * 64, "n_inputs": 1, "method": "influence", "targets": [1],
             "top_k": 20, "order": "largest", "model_sha256": "b" * 64,
             "answer_sha256": "c" * 64}  # fmt: skip
    seconds = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        record(store, "query", facts)
        seconds.append(time.perf_counter() - start)
    milliseconds = np.array(seconds) * 1e3
    middle, low, high = median_interval(milliseconds)
    p99 = float(np.quantile(milliseconds, 0.99))
    note = f"95 % {low:.2f} to {high:.2f}; 99th percentile {p99:.2f}"
    return at_most("time that a query waits for its entry, median", middle, 1, " ms", note)
