"""What a user names, as a list of files: a path, several, a glob, or URLs.

`resolve` turns that into `Input`s; an `Input` is one file's stored bytes, wherever they are. A
reader asks it for them whole (`read`), opens it to read as it goes (`open`), and for its digest and
a stamp that tells cheaply whether it was touched. Every refusal is a `SourceError` that names the
file.

>>> for file in resolve("data/*.parquet"):  # doctest: +SKIP
...     data, stamp = file.read()  # uint8 array: the file's own bytes
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from io import IOBase
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.inputs import files, globs, remote

Path = str | os.PathLike[str]
Named = Path | Sequence[Path]
Stamp = files.FileStamp | remote.RemoteStamp


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One file.

    Attributes
    ----------
    uri : str
        As the user named it; for a glob, the file it matched in the pattern's own form.
    path : str
        Where it is opened again: an absolute path, or a URL.
    name : str
        How messages call it: the end of its path, as much of it as tells it from the others.
    filesystem : fsspec.AbstractFileSystem, optional
        What opens a URL; never saved.
    """

    uri: str
    path: str
    name: str
    filesystem: Any = None

    @property
    def is_remote(self) -> bool:
        """Whether it is named by a URL."""
        return self.filesystem is not None or remote.is_url(self.path)

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open its stored bytes, seekable, as a context manager."""
        if self.is_remote:
            return remote.opened(self.filesystem, self.path, self.name)
        return cast("AbstractContextManager[BinaryIO]", files.opened(self.path, self.name))

    def read(self, hasher: files.Hasher | None = None) -> tuple[npt.NDArray[np.uint8], Stamp]:
        """Return all stored bytes, and a stamp; a file that changes meanwhile is refused.

        `hasher` gets the bytes too, as they come where that can be.
        """
        if not self.is_remote:
            return files.read_file(self.path, self.name, hasher)
        before = self.stamp()
        with self.open() as file:
            data = np.frombuffer(bytearray(file.read()), np.uint8)
        if hasher is not None:
            hasher.add(data.data)
        if self.stamp() != before:
            raise SourceError(
                f"{self.name} changed while it was read; load it again when nothing writes to it"
            )
        return data, before

    def digest(self) -> tuple[str, Stamp]:
        """Return the SHA-256 of its present bytes, and the stamp it had before the read."""
        if not self.is_remote:
            return files.file_digest(self.path, self.name)
        stamp = self.stamp()
        with self.open() as file:
            return hashlib.file_digest(cast("Any", file), "sha256").hexdigest(), stamp

    def stamp(self) -> Stamp:
        """Return its present stamp; `stamp.vouches_for(later)` says whether it is untouched."""
        if self.is_remote:
            return remote.stamp(self.filesystem, self.path, self.name)
        return files.stamp_file(self.path, self.name)


def resolve(named: Named, filesystem: Any = None) -> list[Input]:
    """List the files that a user names.

    Parameters
    ----------
    named : path, or sequence of paths
        Each a path, a glob (``data/*.csv``, ``data/**/*.csv``), or a URL or glob of URLs that
        fsspec opens (``s3://bucket/data/*.csv``). A path that exists is taken as it is, whatever
        characters it has.
    filesystem : fsspec.AbstractFileSystem, optional
        Opens all of them, instead of the one that fsspec makes for a URL.

    Returns
    -------
    list of Input
        At least one, in the order named; those of a glob sorted.

    Raises
    ------
    SourceError
        Where nothing is named or matched, a glob matches a folder, or a file is named twice.
    MissingExtraError
        Where a URL needs a package that is not installed.
    """
    listed = _paths(named)
    if not listed:
        raise SourceError("no file is named: give a path, a list of paths, or a glob")
    found = [each for path in listed for each in _find(os.fsdecode(path), filesystem)]
    _check_distinct(found)
    names = _distinct_names([each.path for each in found])
    return [replace(each, name=name) for each, name in zip(found, names, strict=True)]


def _paths(named: object) -> list[Path]:
    several = isinstance(named, Iterable) and not isinstance(
        named, str | bytes | os.PathLike | IOBase
    )
    listed: list[Any] = [*cast("Iterable[Any]", named)] if several else [named]
    for path in listed:
        if not isinstance(path, str | os.PathLike) or _is_nothing(os.fsdecode(path)):
            raise SourceError(
                f"{path!r} is no path: name files by a path, a list of paths, a glob or URLs; data "
                "in memory is loaded by tp.array, tp.from_pandas or Table.from_arrow"
            )
    return listed


def _is_nothing(path: str) -> bool:
    """Whether no file can have this path: the empty one would be the working folder."""
    return not path or "\0" in path


def stored_input(path: str, name: str) -> Input:
    """Return the file that a saved lineage names, which anyone may have written.

    Raises
    ------
    SourceError
        Where the path is relative, or not that of a file of this name; where it is a URL that this
        process was not told to open (`remote.allow_remote`).
    """
    if not f"/{path}".endswith(f"/{name}") or not name:
        raise SourceError(f"a saved lineage calls {path!r} {name!r}; it is damaged, or was altered")
    if remote.is_url(path):
        remote.check_allowed(path, name)
    elif os.path.normpath(path) != path or not os.path.isabs(path):
        raise SourceError(
            f"a saved lineage names {path!r}, which is no absolute path; it is damaged, or was "
            "altered"
        )
    return Input(path, path, name)


def _find(path: str, filesystem: Any) -> list[Input]:
    """Return the files of one path, glob or URL, not yet with their final names."""
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    if filesystem is not None or remote.is_url(path):
        filesystem, urls = remote.find(path, filesystem)
        if not urls[0].startswith("file://"):
            return [Input(url, url, "", filesystem) for url in urls]
        local = [url.removeprefix("file://") for url in urls]
        return [Input(each, os.path.abspath(each), "") for each in local]
    known = os.path.expanduser(path) if path.startswith("~") else path
    if globs.is_pattern(known) and not os.path.lexists(known):
        matched = globs.expand(known)
        return [Input(each, os.path.abspath(each), "") for each in matched]
    return [Input(path, os.path.abspath(known), "")]


def _check_distinct(found: Sequence[Input]) -> None:
    """Refuse a file that is named twice, also by way of a link."""
    seen: dict[str, Input] = {}
    for each in found:
        real = each.path if each.is_remote else os.path.realpath(each.path)
        if real in seen:
            raise SourceError(
                f"{seen[real].uri} and {each.uri} are the same file; name it once, so that its "
                "rows are not counted twice"
            )
        seen[real] = each


def _distinct_names(paths: Sequence[str]) -> list[str]:
    """Return for each path its last part, preceded by its folders where others end alike."""
    parts = [path.rstrip("/").split("/") for path in paths]
    lengths = [1] * len(paths)
    while True:
        names = ["/".join(part[-n:]) for part, n in zip(parts, lengths, strict=True)]
        count = Counter(names)
        longer = [
            n + (count[name] > 1 and n < len(part))
            for name, n, part in zip(names, lengths, parts, strict=True)
        ]
        if longer == lengths:
            return names
        lengths = longer
