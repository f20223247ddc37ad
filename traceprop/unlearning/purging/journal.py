"""What a purge has begun, on the disk beside the store, until it is done.

    <store>.audit/removals/<number>/journal.json   what is to be done; while it is there, not all is
                                    rows.npz       the rows' bytes, to search for
                                    deleting-<i>   the i-th named file is being deleted, or is
                                    and what the removal made (results.py)

Promises: `journal.json` comes last, in one step, and goes last; so a crash leaves either nothing
begun, or all that is needed to go on. Journal and rows are gone when the purge is done; what the
removal made stays, for its owner alone.
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traceprop.attribution.store.erasure.scanning import Needles
from traceprop.audit.canonical import canonical, parse
from traceprop.audit.folder import audit_folder
from traceprop.errors import UnlearnError
from traceprop.files import PRIVATE_FILE, make_private_folder, sync_folder, write_file
from traceprop.unlearning.purging.results import RECORD
from traceprop.unlearning.records.removal_record import RemovalRecord

_JOURNAL, _ROWS = "journal.json", "rows.npz"


@dataclass(frozen=True, slots=True)
class Journal:
    """A purge that has begun.

    Parameters
    ----------
    folder : Path
        Its own folder.
    plan : dict
        What is to be done, as JSON values.
    """

    folder: Path
    plan: Mapping[str, Any]

    @classmethod
    def begin(
        cls,
        store: Path,
        plan: Mapping[str, Any],
        needles: Sequence[Needles],
        write_results: Callable[[Path], None],
    ) -> Journal:
        """Write down a purge; when this returns, it has begun.

        Parameters
        ----------
        store : Path
        plan : mapping
            JSON values.
        needles : sequence of Needles
            The rows' bytes.
        write_results : callable
            Writes what the removal made into a folder.

        Raises
        ------
        UnlearnError
            It can't be written; nothing was begun.
        """
        folder = _removals(store) / secrets.token_hex(16)
        try:
            _make_folders(store)
            make_private_folder(folder)
            write_results(folder)
            write_file(folder / _ROWS, _pack(needles), mode=PRIVATE_FILE)
            for parent in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
                sync_folder(parent)
            write_file(folder / _JOURNAL, canonical(dict(plan)), mode=PRIVATE_FILE)
        except OSError as refused:
            shutil.rmtree(folder, ignore_errors=True)
            raise UnlearnError(
                f"the purge can't be written down in {folder} ({refused.strerror}), so it was not "
                f"begun; make the store's parent folder writable"
            ) from refused
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, plan)

    @property
    def is_proven(self) -> bool:
        """Whether all was done and the record has the proof: the rows' bytes go after that."""
        return not (self.folder / _ROWS).exists()

    def needles(self) -> list[Needles]:
        """Return the rows' bytes."""
        return _unpack((self.folder / _ROWS).read_bytes())

    def beside(self) -> list[Path]:
        """Return the files of the audit folder, but for the rows' bytes that are searched for."""
        audit = self.folder.parent.parent
        return sorted(
            path
            for path in audit.rglob("*")
            if path.is_file() and not path.is_symlink() and path != self.folder / _ROWS
        )

    def deleting(self, index: int) -> Path:
        """Return the mark that is made just before a named file is deleted."""
        return self.folder / f"deleting-{index}"

    def end(self) -> None:
        """Write down that all is done; the rows' bytes go."""
        left = sorted(self.folder.glob(".*.tmp"))  # by a crash, which may have had the rows
        marks = sorted(self.folder.glob("deleting-*"))
        for path in (*left, self.folder / _ROWS, *marks, self.folder / _JOURNAL):
            path.unlink(missing_ok=True)
            sync_folder(self.folder)


def unfinished(store: Path) -> list[Journal]:
    """Return the purges of a store that were begun and not ended, the lock being held.

    What a crash left of one that hadn't begun is removed.

    Raises
    ------
    UnlearnError
        A journal is damaged.
    """
    found = []
    for folder in sorted(path for path in _children(store) if path.is_dir()):
        path = folder / _JOURNAL
        if path.is_file():
            try:
                found.append(Journal(folder, parse(path.read_bytes())))
            except ValueError as damaged:
                raise UnlearnError(
                    f"{path} is damaged, so that purge can't be ended; erase the rows anew with "
                    f"store.erase, look at the files that were named, and remove {folder}"
                ) from damaged
            continue
        record = folder / RECORD
        if not record.is_file() or RemovalRecord.read(record).purge is None:
            shutil.rmtree(folder)
            sync_folder(folder.parent)
    return found


def begun(store: Path) -> bool:
    """Tell whether a purge of a store was begun and isn't ended."""
    return any((path / _JOURNAL).is_file() for path in _children(store))


@contextmanager
def purging(store: Path) -> Iterator[None]:
    """Keep other purges of a store out.

    Raises
    ------
    UnlearnError
        Another is going on.
    """
    try:
        _make_folders(store)
        descriptor = os.open(_removals(store) / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW,
                             PRIVATE_FILE)  # fmt: skip
    except OSError as refused:
        raise UnlearnError(
            f"a purge of {store} can't be written down beside it ({refused.strerror}); make its "
            f"parent folder writable"
        ) from refused
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UnlearnError(f"another purge of {store} is going on; wait until it is done") from None
    finally:
        os.close(descriptor)


def _removals(store: Path) -> Path:
    return audit_folder(store) / "removals"


def _children(store: Path) -> list[Path]:
    folder = _removals(store)
    return list(folder.iterdir()) if folder.is_dir() else []


def _make_folders(store: Path) -> None:
    make_private_folder(audit_folder(store))
    make_private_folder(_removals(store))


def _pack(needles: Sequence[Needles]) -> bytes:
    content = io.BytesIO()
    np.savez(
        content,
        what=np.array([each.what for each in needles]),
        short=np.array([each.short for each in needles], np.int64),
        allow_pickle=False,
        **{f"rows_{i}": each.content for i, each in enumerate(needles)},
    )
    return content.getvalue()


def _unpack(content: bytes) -> list[Needles]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return [
            Needles(str(what), file[f"rows_{i}"], int(file["short"][i]))
            for i, what in enumerate(file["what"])
        ]
