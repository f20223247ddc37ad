"""Files named by a URL, read through fsspec, which is loaded only for them.

Promise: credentials are never part of what a source keeps, and a URL that a saved lineage names is
opened only where this process was told to, by loading it or by `allow_remote`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from traceprop.errors import MissingExtraError, MissingFileError, SourceError
from traceprop.lazy import needing_extras

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?:://|::)")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
#: What a file system says of a file that changes with its content.
_VALIDATORS = ("ETag", "etag", "generation", "LastModified", "last_modified", "mtime", "created")

_allowed: set[str] = set()


@dataclass(frozen=True, slots=True)
class RemoteStamp:
    """What a file system says of a file that changes with its content; maybe nothing."""

    facts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> RemoteStamp:
        """Pick them from what fsspec's `info` gave."""
        known = tuple((key, str(info[key])) for key in _VALIDATORS if info.get(key) is not None)
        return cls((*known, ("size", str(info.get("size")))) if known else ())

    def vouches_for(self, later: object) -> bool:
        """Whether a file with the stamp `later` still has the bytes it had at this one."""
        return bool(self.facts) and self == later


def is_url(path: str) -> bool:
    """Whether a path is a URL, as ``s3://bucket/key`` is, or a chain such as ``simplecache::…``."""
    return _URL.match(path) is not None


def allow_remote(prefix: str) -> None:
    """Let saved lineages open files whose URL is `prefix` or lies beneath it.

    Without it, a lineage that was saved by another process names such a file but doesn't connect
    to it: whoever wrote a lineage would otherwise decide where its reader's machine connects to.

    Examples
    --------
    >>> tp.sources.allow_remote("s3://bucket/training/")  # doctest: +SKIP
    """
    if not is_url(prefix):
        raise SourceError(f"{prefix!r} is no URL; give one such as 's3://bucket/folder/'")
    _allowed.add(prefix.rstrip("/"))


def check_allowed(url: str, name: str) -> None:
    """Refuse a URL that nobody in this process asked for; `SourceError` says how to allow it."""
    climbs = ".." in re.split(r"[/\\]|%2[fF]", url)
    if climbs or not any(url == known or url.startswith(f"{known}/") for known in _allowed):
        raise SourceError(
            f"{name} is at {url}, which a saved lineage names; it is opened only once you say "
            f"traceprop.sources.allow_remote({url.rpartition('/')[0] + '/'!r})"
        )


def find(named: str, filesystem: Any) -> tuple[Any, list[str]]:
    """Return the file system of a URL or pattern, and the URLs of the files it names, sorted.

    Parameters
    ----------
    named : str
        A URL; with `filesystem`, also a path of that.
    filesystem : fsspec.AbstractFileSystem, optional
        The user's own; default the one that fsspec makes for the URL.
    """
    if _PASSWORD.search(named):
        raise SourceError(
            "a URL with a password can't name a source, since lineage and certificates keep it; "
            "give the password by fsspec's configuration or filesystem="
        )
    filesystem, path = _file_system(named, filesystem)
    with refusals(named):
        paths = [path]
        if any(mark in path for mark in "*?[") and not filesystem.isfile(path):
            matched = filesystem.glob(path, detail=True)
            folders = sorted(each for each, info in matched.items() if info["type"] != "file")
            if folders and "**" not in path:
                raise SourceError(f"{named!r} matches the folder {folders[0]}; match files only")
            paths = sorted(set(matched).difference(folders))
        if not paths:
            raise SourceError(f"no file matches {named!r}; check the pattern")
    urls = [named if each == path else _url(filesystem, each, named) for each in paths]
    _allowed.update(urls)
    return filesystem, urls


def _url(filesystem: Any, path: str, pattern: str) -> str:
    """Return the URL of a path that a pattern matched, through the same chain of file systems."""
    chain, _, last = pattern.rpartition("::")
    if not chain:
        return str(filesystem.unstrip_protocol(path))
    return f"{chain}::{last.partition('://')[0]}://{path.lstrip('/')}"


@contextmanager
def opened(filesystem: Any, url: str, name: str) -> Iterator[BinaryIO]:
    """Open a file for reading; `SourceError` where it can't be."""
    filesystem, path = _file_system(url, filesystem)
    with refusals(name), filesystem.open(path, "rb") as file:
        yield file


def stamp(filesystem: Any, url: str, name: str) -> RemoteStamp:
    """Return a file's present stamp."""
    filesystem, path = _file_system(url, filesystem)
    with refusals(name):
        filesystem.invalidate_cache()
        return RemoteStamp.of(filesystem.info(path))


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn what a file system refuses into a `SourceError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise MissingFileError(f"{name} does not exist; check the URL") from None
    except IsADirectoryError:
        raise SourceError(f"{name} is a folder, not a file; name the file inside it") from None
    except OSError as error:
        raise SourceError(f"{name} can't be read: {error.strerror or error}") from error


def _file_system(url: str, filesystem: Any) -> tuple[Any, str]:
    if filesystem is not None:
        return filesystem, filesystem._strip_protocol(url)
    with needing_extras():
        from fsspec.core import url_to_fs
    try:
        found, path = url_to_fs(url)
    except ImportError as missing:
        raise MissingExtraError(f"{url} can't be opened: {missing}", name=missing.name) from missing
    except ValueError as unknown:
        raise SourceError(f"{url!r} can't be opened: {unknown}") from unknown
    return found, path
