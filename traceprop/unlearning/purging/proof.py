"""What a purge did, and the search that shows it: the part of a certificate about stored copies.

Promises: it names files and counts, and no sample or row; each file's state is read back from the
disk after everything was done.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.erasure.erasure import PROOF_LIMITS, look_again
from traceprop.attribution.store.erasure.scanning import Needles, places_of
from traceprop.unlearning.purging.named_files import NamedFile
from traceprop.unlearning.records.left import Left, State

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge did.

    Parameters
    ----------
    n_samples, n_rows : int
        Samples that were erased, and their rows of gradients.
    rewritten, dropped, kept : tuple of str
        The store's files: written anew without the samples; removed whole; left, with the reason.
    files : tuple of NamedFile
        The files that were named, and what was done to each.
    scanned, scanned_bytes : int
        Files that were searched afterwards, and their bytes.
    searched, unsearchable : int
        Byte strings that were searched for, and rows too short or plain for that.
    found_in_store, found_in_files : tuple of str
        Where the rows' bytes, or their numbers, still are, or may be.
    alike : int
        Times that bytes were met which a sample that stays has as well.
    resumed : bool
        Whether a crash lay between its beginning and its end.
    finished : str
        When, in UTC, by this machine's clock.
    folder : str
        Where the new weights and the record were written before anything was erased.
    limits : str
        What it doesn't cover.
    """

    n_samples: int
    n_rows: int
    rewritten: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    files: tuple[NamedFile, ...]
    scanned: int
    scanned_bytes: int
    searched: int
    unsearchable: int
    found_in_store: tuple[str, ...]
    found_in_files: tuple[str, ...]
    alike: int
    resumed: bool
    finished: str
    folder: str = field(repr=False)
    limits: str = PROOF_LIMITS

    @property
    def store_clean(self) -> bool:
        """Whether no search found the rows in the store."""
        return not self.found_in_store

    @property
    def clean(self) -> bool:
        """Whether the store and all named files that are there were searched, and none has rows."""
        return self.store_clean and not self.found_in_files

    def to_dict(self) -> dict[str, Any]:
        """Return the purge as JSON values, for records and certificates."""
        return {
            "n_samples": self.n_samples,
            "n_rows": self.n_rows,
            "store": {
                "rewritten": list(self.rewritten),
                "dropped": list(self.dropped),
                "kept": list(self.kept),
            },
            "files": [each.to_dict() for each in self.files],
            "scan": {
                "n_files": self.scanned,
                "n_bytes": self.scanned_bytes,
                "searched": self.searched,
                "unsearchable": self.unsearchable,
                "alike": self.alike,
                "found_in_store": list(self.found_in_store),
                "found_in_files": list(self.found_in_files),
            },
            "store_clean": self.store_clean,
            "clean": self.clean,
            "resumed": self.resumed,
            "finished": self.finished,
            "limits": self.limits,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path) -> Purge:
        """Return the purge that `to_dict` wrote down, whose results are in a folder."""
        erased, scan = values["store"], values["scan"]
        return cls(
            n_samples=values["n_samples"],
            n_rows=values["n_rows"],
            rewritten=tuple(erased["rewritten"]),
            dropped=tuple(erased["dropped"]),
            kept=tuple(erased["kept"]),
            files=tuple(NamedFile(**each) for each in values["files"]),
            scanned=scan["n_files"],
            scanned_bytes=scan["n_bytes"],
            searched=scan["searched"],
            unsearchable=scan["unsearchable"],
            found_in_store=tuple(scan["found_in_store"]),
            found_in_files=tuple(scan["found_in_files"]),
            alike=scan["alike"],
            resumed=values["resumed"],
            finished=values["finished"],
            folder=str(folder),
            limits=values["limits"],
        )

    def left(self) -> tuple[Left, ...]:
        """Name the copies of the rows, and what became of each."""
        store_note = (
            f"The rows' gradients, inputs, labels and places were written out of it; a search of "
            f"{self.scanned} files found no byte of theirs."
            if self.store_clean
            else f"Its own files were written anew, but the rows were found: "
            f"{'; '.join(self.found_in_store)}."
        )
        return (
            Left("gradient_store", "gradient store",
                 "erased" if self.store_clean else "not removed", store_note),
            *(_left(each) for each in self.files),
        )  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{self.n_samples} samples ({self.n_rows} rows of gradients) erased."]
        for title, names in (("rewritten", self.rewritten), ("dropped", self.dropped),
                             ("kept", self.kept)):  # fmt: skip
            lines += [f"{title:9}  {name}" for name in names]
        lines += [str(each) for each in self.files]
        found = (*self.found_in_store, *self.found_in_files)
        what = f"FOUND in {'; '.join(found)}" if found else "none found"
        lines.append(
            f"{self.scanned} files, {self.scanned_bytes} bytes, searched for {self.searched} rows' "
            f"bytes: {what}."
        )
        if self.unsearchable:
            lines.append(f"{self.unsearchable} rows are too short or plain to be searched for.")
        if self.alike:
            lines.append(f"{self.alike} times a sample that stays has the same bytes.")
        return "\n".join([*lines, self.limits])


def _left(file: NamedFile) -> Left:
    states: dict[str, State] = {"kept": "not removed", "missing": "not known to Traceprop"}
    return Left("named_file", file.path, states.get(file.done, "erased"),
                f"{file.done.capitalize()}: {file.reason}.")  # fmt: skip


def proof_of(
    store: GradientStore,
    plan: Mapping[str, Any],
    files: Sequence[NamedFile],
    needles: list[Needles],
    beside: Sequence[Path],
    folder: Path,
    *,
    resumed: bool,
) -> Purge:
    """Search the store, its audit folder and the named files, and put the proof together.

    Parameters
    ----------
    store : GradientStore
        As it is after the erasure.
    plan : mapping
        The journal's.
    files : sequence of NamedFile
        As they are now.
    needles : list of Needles
        The rows' bytes.
    beside : sequence of Path
        Files beside the store to search as well.
    folder : Path
        Where weights and record are.
    resumed : bool
    """
    samples = np.array(plan["samples"], np.int64)
    scan, shared = look_again(store, needles, samples)
    found: list[str] = []
    alike, n_bytes, n_files = scan.alike, 0, 0
    for file in files:
        path = Path(file.path)
        if not os.path.lexists(path):
            continue
        if path.is_symlink() or not path.is_file():
            found.append(f"{path}, which is no file any more and can't be searched")
            continue
        n_files, n_bytes = n_files + 1, n_bytes + path.stat().st_size
        if file.done in ("deleted", "missing"):
            found.append(f"{path} is there")
        hits, same = _look_in(path, needles, shared)
        found += hits
        alike += same
    for path in beside:
        n_files, n_bytes = n_files + 1, n_bytes + path.stat().st_size
        hits, same = _look_in(path, needles, shared)
        found += hits
        alike += same
    return Purge(
        n_samples=len(samples),
        n_rows=int(plan["n_rows"]),
        rewritten=tuple(plan["rewritten"]),
        dropped=tuple(plan["dropped"]),
        kept=tuple(plan["kept"]),
        files=tuple(files),
        scanned=len(scan.files) + n_files,
        scanned_bytes=sum(size for _, size in scan.files) + n_bytes,
        searched=scan.searched,
        unsearchable=scan.unsearchable,
        found_in_store=scan.found,
        found_in_files=tuple(found),
        alike=alike,
        resumed=resumed,
        finished=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        folder=str(folder),
    )


def _look_in(
    path: Path, needles: list[Needles], shared: list[NDArray[np.bool_]]
) -> tuple[list[str], int]:
    """Return where a file has bytes of the rows alone, and how often bytes that others have."""
    found: list[str] = []
    alike = 0
    for each, others in zip(needles, shared, strict=True):
        for place, which in places_of(path, each):
            if others[which]:
                alike += 1
            elif len(found) < _MOST_NAMED:
                found.append(f"{path} at byte {place} ({each.what})")
    return found, alike
