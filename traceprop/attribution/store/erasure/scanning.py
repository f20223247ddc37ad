"""Every file of a store searched for the bytes of samples that were erased.

What is searched for is each sample's row of gradients as it was stored, its input and its label,
byte for byte and at any offset. Rows of fewer than 16 bytes, or of one byte repeated, are in any
file by chance and aren't searched for. Promise: a file that couldn't be read is an error, never
passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.formats import ID
from traceprop.attribution.store.folder.layout import RECORD
from traceprop.attribution.store.folder.manifest import Manifest
from traceprop.attribution.store.folder.ordinary import open_ordinary
from traceprop.attribution.store.rows.shards import open_shards
from traceprop.attribution.store.run.record import DATA_FILES, ORDER_FILE, load_order, mapped

LEAST_BYTES = 16
_CHUNK = 32 << 20
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True, eq=False)
class Needles:
    """Byte strings of one length.

    Parameters
    ----------
    what : str
        What they are of.
    content : ndarray of uint8, shape (m, length)
        Distinct.
    short : int
        How many more are too plain to be searched for.
    """

    what: str
    content: NDArray[np.uint8]
    short: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a search found.

    Parameters
    ----------
    files : tuple of (str, int)
        Every file that was read whole, below the store's folder, with its bytes.
    searched, unsearchable : int
        How many byte strings were searched for, and how many were too plain to be.
    found : tuple of str
        Where the samples' bytes, or their numbers, still are.
    alike : int
        How many times a sample that stays has the very bytes of one that was erased.
    """

    files: tuple[tuple[str, int], ...]
    searched: int
    unsearchable: int
    found: tuple[str, ...]
    alike: int

    def __str__(self) -> str:
        size = sum(size for _, size in self.files)
        text = f"{len(self.files)} files, {size} bytes, searched for {self.searched} rows' bytes: "
        text += f"FOUND in {'; '.join(self.found)}." if self.found else "none found."
        if self.unsearchable:
            text += f" {self.unsearchable} rows are too short or plain to be searched for."
        if self.alike:
            text += f" {self.alike} times a sample that stays has the same bytes."
        return text


def needles_of(
    folder: StoreFolder, manifest: Manifest, samples: NDArray[np.int64]
) -> list[Needles]:
    """Return the bytes of samples, as the store holds them now."""
    found = []
    rows = [
        shard.values[np.flatnonzero(np.isin(shard.sample_ids, samples))]
        for shard in open_shards(folder, manifest)
    ]
    found.append(_needles("gradient", np.concatenate(rows)))
    for part in manifest.parts:
        if part.data != part.run:
            continue
        for name in DATA_FILES:
            array = mapped(folder.locate(f"{part.run}/{RECORD}/{name}"))
            own = samples - part.first_sample
            own = own[(own >= 0) & (own < len(array))]
            if array.size and len(own):
                found.append(_needles(name.removesuffix("s.npy"), np.asarray(array[own])))
    return found


def scan(
    folder: StoreFolder, manifest: Manifest, needles: list[Needles], samples: NDArray[np.int64]
) -> Scan:
    """Read every file below a store's folder and look for samples' byte strings and numbers.

    Parameters
    ----------
    folder : StoreFolder
    manifest : Manifest
        As it is after the erasure.
    needles : list of Needles
    samples : ndarray of int64
        The samples, whose numbers no shard and no batch may have.
    """
    own = _own_rows(folder, manifest)
    files: list[tuple[str, int]] = []
    found = _numbers_left(folder, manifest, samples)
    alike = 0
    for path in sorted(path for path in folder.root.rglob("*") if path.is_file()):
        name = path.relative_to(folder.root).as_posix()
        files.append((name, path.stat().st_size))
        for each in needles:
            for place, _ in places_of(path, each):
                if _is_own_row(own.get(path), place, each):
                    alike += 1
                elif len(found) < _MOST_NAMED:
                    found.append(f"{name} at byte {place} ({each.what})")
    searched = sum(len(each.content) for each in needles)
    short = sum(each.short for each in needles)
    return Scan(tuple(files), searched, short, tuple(found), alike)


def _numbers_left(folder: StoreFolder, manifest: Manifest, samples: NDArray[np.int64]) -> list[str]:
    """Return the files of sample numbers that still have one of these."""
    found = []
    for part in manifest.parts:
        numbers = {
            shard.sample_ids.path: np.fromfile(folder.locate(shard.sample_ids.path), ID)
            for shard in part.shards
        }
        order = f"{part.run}/{RECORD}/{ORDER_FILE}"
        if any(entry.path == order for entry in part.files):
            visits = load_order(folder, part.run).samples
            numbers[order] = np.where(visits < 0, visits, part.first_sample + visits)
        found += [f"{name} (number)" for name in numbers if np.isin(samples, numbers[name]).any()]
    return found


def _own_rows(folder: StoreFolder, manifest: Manifest) -> dict[Path, tuple[int, int]]:
    """By file of fixed-width rows, where its first row begins and how long each is.

    The new shards and data hold samples that stay, and zeros: a row there is one of theirs.
    """
    own = {}
    for shard in open_shards(folder, manifest):
        own[shard.path] = (0, shard.values.shape[1] * shard.values.itemsize)
    for part in manifest.parts:
        for name in DATA_FILES if part.data == part.run else ():
            path = folder.locate(f"{part.run}/{RECORD}/{name}")
            array = mapped(path)
            if array.size:
                own[path] = (path.stat().st_size - array.nbytes, array.nbytes // len(array))
    return own


def _is_own_row(rows: tuple[int, int] | None, place: int, needles: Needles) -> bool:
    """Tell whether a hit is a whole row of a sample that stays, which has the same values."""
    if rows is None:
        return False
    first, width = rows
    return place >= first and (place - first) % width == 0 and needles.content.shape[1] == width


def places_of(path: Path, needles: Needles) -> list[tuple[int, int]]:
    """Return where in a file byte strings begin, and which of them it is."""
    from numba_kernels.needles import find_needles

    length = needles.content.shape[1]
    if not len(needles.content):
        return []
    probe = _best_probe(needles.content)
    places: list[tuple[int, int]] = []
    start, tail = 0, b""
    with open_ordinary(path) as file:
        while chunk := file.read(_CHUNK):
            data = np.frombuffer(tail + chunk, np.uint8)
            hits, which = find_needles(data, needles.content, probe)
            places += zip((hits + start - len(tail)).tolist(), which.tolist(), strict=True)
            start += len(chunk)
            tail = (tail + chunk)[-(length - 1) :]
    return places


def shared_rows(folder: StoreFolder, manifest: Manifest, needles: Needles) -> NDArray[np.bool_]:
    """Tell which byte strings are also a row of a sample that stays, as the store holds it."""
    shared = np.zeros(len(needles.content), bool)
    for path, rows in _own_rows(folder, manifest).items():
        for place, which in places_of(path, needles):
            shared[which] |= _is_own_row(rows, place, needles)
    return shared


def _best_probe(needles: NDArray[np.uint8]) -> int:
    """Return where eight bytes begin that have the fewest zeros: those are rare in a file."""
    zeros = np.cumsum((needles == 0).sum(axis=0))
    inside = zeros[7:] - np.r_[0, zeros[:-8]]
    return int(np.argmin(inside))


def _needles(what: str, rows: NDArray[Any]) -> Needles:
    content = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
    if content.shape[1] < LEAST_BYTES:
        return Needles(what, np.empty((0, LEAST_BYTES), np.uint8), len(content))
    plain = (content == content[:, :1]).all(axis=1)
    return Needles(what, np.unique(content[~plain], axis=0), int(plain.sum()))
