"""Several processes that record one run: each writes its own shards, rank 0 commits them all.

Rank 0 holds the writer's lock and opens a session, a folder of a random name. The others write
their rows as shards, and put a fragment into the session that names them; rank 0 waits for all
fragments and publishes one manifest. Promises: a run is committed with the rows of all ranks or
not at all; what an earlier session left is never taken for this one's; a rank that fails to come
is named.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.committing.commit import restoring
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState, inspect_folder
from traceprop.attribution.store.folder.layout import RANKS, free_numbers, sessions
from traceprop.attribution.store.folder.manifest import Manifest, ShardEntry
from traceprop.attribution.store.folder.ordinary import read_ordinary
from traceprop.attribution.store.folder.settings import Settings
from traceprop.attribution.store.rows.shard_files import write_rows
from traceprop.attribution.store.run.run import Run
from traceprop.errors import StoreError

PATIENCE = 600.0
"""Seconds that ranks wait for each other."""
_POLL = 0.02

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of how many processes this one is.

    Parameters
    ----------
    number : int
        From 0.
    world_size : int
        How many there are.
    """

    number: int = 0
    world_size: int = 1


def this_rank(rank: int | None, world_size: int | None) -> Rank:
    """Return what was given, else what torch.distributed's environment says, else one process.

    Raises
    ------
    StoreError
        The numbers don't fit each other.
    """
    if rank is None and world_size is None:
        rank, world_size = (_from_environment(n, d) for n, d in (("RANK", 0), ("WORLD_SIZE", 1)))
    if rank is None or world_size is None or not 0 <= rank < world_size:
        raise StoreError(
            f"rank={rank} of world_size={world_size} is no rank: give both, 0 ≤ rank < world_size, "
            f"or neither under torchrun."
        )
    return Rank(rank, world_size)


def _from_environment(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise StoreError(
            f"{name}={text!r} in the environment is no number: give rank= and world_size=."
        )
    return int(text)


def open_session(folder: StoreFolder) -> str:
    """Begin a session, as rank 0 with the writer's lock; the others can join from now on."""
    drop_session(folder)
    token = secrets.token_hex(8)
    folder.make_scratch(f"{RANKS}/{token}")
    return token


def drop_session(folder: StoreFolder) -> None:
    """End the session, as rank 0: the others see by this that it is done."""
    for session in sessions(folder.root):
        folder.remove(session)
    folder.drop_scratch(RANKS)


def join_session(folder: StoreFolder) -> str:
    """Wait for rank 0's session and return it."""

    def found() -> str | None:
        there = sessions(folder.root)
        return there[-1].name if there else None

    return _awaited(found, lambda: f"rank 0 has not begun to record into {folder.root}")


def deliver(
    folder: StoreFolder, session: str, rank: Rank, settings: Settings, run: Run
) -> Manifest:
    """Write a rank's rows, hand them to rank 0, and wait until it has committed.

    Raises
    ------
    StoreError
        Rank 0 ended without a commit, or didn't end in time.
    OSError
        The system refused.
    """
    before = inspect_folder(folder)
    below = f"{RANKS}/{session}"
    _, number = free_numbers(folder.root, before.numbers)
    entries = []
    for i, rows in enumerate(run.rows):
        entry = write_rows(
            folder,
            rank.number,
            number + i,
            rows,
            0,
            settings.dtype,
            ids=f"{below}/{rank.number}-{i}.ids",
        )
        entries.append(entry.to_json())
    data = {} if run.tensors else _own_data(folder, f"{below}/{rank.number}", run)
    value = {"shards": entries, "projector": run.projector.to_json(), "data": data}
    folder.sync_folders()
    if (folder.root / below).is_dir():  # else rank 0 is gone, and _committed says so
        folder.publish(f"{below}/{rank.number}.json", json.dumps(value).encode())
    return _committed(folder, session, before)


def _own_data(folder: StoreFolder, name: str, run: Run) -> dict[str, Any]:
    """Write inputs and labels of a rank's samples, which no data set is known to hold."""
    ids = np.unique(np.concatenate([rows.sample_ids for rows in run.rows]))
    found: dict[str, Any] = {"samples": len(run.record.inputs)}
    arrays = {"ids": ids, "inputs": run.record.inputs[ids], "targets": run.record.targets[ids]}
    for what, array in arrays.items():
        path = folder.make_scratch(os.path.dirname(name)) / f"{os.path.basename(name)}-{what}.npy"
        np.save(path, array, allow_pickle=False)
        found[what] = path.relative_to(folder.root).as_posix()
    return found


def _committed(folder: StoreFolder, session: str, before: FolderState) -> Manifest:
    def ended() -> FolderState | None:
        gone = not (folder.root / RANKS / session).exists()
        return inspect_folder(folder) if gone else None

    after = _awaited(ended, lambda: f"rank 0 has not committed to {folder.root}")
    old = before.manifest.number if before.manifest else 0
    if after.manifest is None or after.manifest.number <= old:
        raise StoreError(
            f"Rank 0 ended without a commit to {folder.root}: see its error. Nothing was stored."
        )
    return after.manifest


@contextmanager
def gathered(
    folder: StoreFolder, before: FolderState, session: str, rank: Rank, run: Run
) -> Iterator[tuple[Run, tuple[ShardEntry, ...]]]:
    """Give rank 0's run with the data of all ranks, and the shards of the others.

    Raises
    ------
    StoreError
        A rank didn't come in time, or is of another model.
    """
    below = folder.root / RANKS / session
    with restoring(folder, before):
        values = []
        for other in range(1, rank.world_size):
            path = below / f"{other}.json"
            content = _awaited(
                lambda path=path: read_ordinary(path) if path.exists() else None,  # type: ignore[misc]
                lambda other=other: f"rank {other} has not handed its rows to rank 0",  # type: ignore[misc]
            )
            values.append(json.loads(content))
        for value in values:
            if value["projector"] != run.projector.to_json():
                raise StoreError(
                    "the ranks record models of other parameters or shapes; give each the same"
                )
        shards = [ShardEntry.from_json(each) for value in values for each in value["shards"]]
        yield _with_data(folder, run, [value["data"] for value in values]), tuple(shards)


def _with_data(folder: StoreFolder, run: Run, data: list[dict[str, Any]]) -> Run:
    """Return a run whose inputs and labels are those that any rank saw, in no order."""
    # Each rank knows its own batches alone, and which of them made one step together no one does.
    run = replace(run, record=replace(run.record, order=None))
    known = [each for each in data if each]
    if not known:
        return run
    n = max(len(run.record.inputs), *(int(each["samples"]) for each in known))
    inputs, targets = (
        _whole(folder, what, getattr(run.record, what), n, known) for what in ("inputs", "targets")
    )
    return replace(run, record=replace(run.record, inputs=inputs, targets=targets))


def _whole(
    folder: StoreFolder, what: str, own: NDArray[Any], n: int, others: list[dict[str, Any]]
) -> NDArray[Any]:
    """Return inputs or labels of n samples: rank 0's, and over them those of the other ranks."""
    whole = np.zeros((n, *own.shape[1:]), own.dtype)
    whole[: len(own)] = own
    for each in others:
        ids, part = (np.load(folder.locate(each[key]), allow_pickle=False) for key in ("ids", what))
        if part.shape[1:] != whole.shape[1:]:
            raise StoreError(f"the ranks saw {what} of other shapes; give each the same data")
        whole[ids] = part
    return whole


def _awaited(look: Callable[[], T | None], missing: Callable[[], str]) -> T:
    """Look until there is something."""
    end = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > end:
            raise StoreError(f"{missing()} after {PATIENCE:.0f} s: look at that process's error.")
        time.sleep(_POLL)
    return found
