"""Deleting, rewriting or keeping a named file, as was said when it was named.

Between the naming and this may lie a crash and days, in which others work. Promises: a file is
deleted or replaced only where the path still leads to the very bytes that were named, and these
have no name but the named ones; where it doesn't, nothing is touched, and what is said is what is
there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from traceprop.errors import UnlearnError
from traceprop.files import PRIVATE_FILE, sync_folder, write_file
from traceprop.unlearning.purging.named_files import NamedFile, digest_of

_CHANGED = "it was changed since it was named, and is left alone"
_NO_FILE = "since it was named, something that is no file took its place, and is left alone"
_LINKED = "since it was named it got another name (a hard link), and is left alone"
_MISSING = "it was not there any more when the purge came to it; where it is isn't known"
_MOVED = "it was moved, or got another name, as the purge came to it; where it is isn't known"


def carry_out(file: NamedFile, named: Sequence[str], pipeline: Path, deleting: Path) -> NamedFile:
    """Do to a file what was said, and return it as it is then; a second call changes nothing.

    Parameters
    ----------
    file : NamedFile
    named : sequence of str
        The paths of all files that were named: one file may have several of them.
    pipeline : Path
        The file of the new pipeline; read only for a file that is rewritten.
    deleting : Path
        A mark of the purge's own, written just before it deletes the file: a file that isn't there
        was deleted by it where the mark is, and else by somebody, or moved.

    Raises
    ------
    UnlearnError
        The system refused.
    """
    path = Path(file.path)
    try:
        descriptor = _open(path)
        if descriptor is None:
            if _is_gone(path):
                return file if deleting.exists() else replace(file, done="missing", reason=_MISSING)
            return replace(file, done="kept", reason=_reason(file, _NO_FILE))
        try:
            return _carry_out(file, path, descriptor, named, pipeline, deleting)
        finally:
            os.close(descriptor)
    except OSError as refused:
        raise UnlearnError(
            f"{path} can't be {file.done} ({refused.strerror}); mend that, and the purge goes on "
            f"with traceprop.unlearning.finish_purges(store)"
        ) from refused


def _carry_out(
    file: NamedFile,
    path: Path,
    descriptor: int,
    named: Sequence[str],
    pipeline: Path,
    deleting: Path,
) -> NamedFile:
    """Do it to the regular file that was opened at the path."""
    there = _digest(descriptor)
    if file.done == "kept":
        return replace(file, sha256_after=there)
    new = digest_of(pipeline) if file.done == "rewritten" else None
    if there == new:  # by a run before the crash
        return replace(file, sha256_after=new)
    about = os.fstat(descriptor)
    if there != file.sha256:
        return replace(file, done="kept", reason=_CHANGED, sha256_after=there)
    if about.st_nlink > sum(_is_same(other, about) for other in named):
        return replace(file, done="kept", reason=_LINKED, sha256_after=there)
    if new is None:
        write_file(deleting, b"", mode=PRIVATE_FILE)
        path.unlink()
        sync_folder(path.parent)
    else:
        write_file(path, pipeline.read_bytes(), mode=PRIVATE_FILE)
    if os.fstat(descriptor).st_nlink != about.st_nlink - 1:
        return replace(file, done="missing", reason=_MOVED)
    return file if new is None else replace(file, sha256_after=digest_of(path))


def _open(path: Path) -> int | None:
    """Open a regular file for reading, following no link; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as refused:
        if refused.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def _is_gone(path: Path) -> bool:
    return not os.path.lexists(path)


def _reason(file: NamedFile, found: str) -> str:
    """Say what was found; of a file that was to be kept, also why it was."""
    return f"{file.reason}; {found}" if file.done == "kept" else found


def _is_same(path: str, about: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), about)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _digest(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
