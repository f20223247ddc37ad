"""File patterns: which files a glob names, in sorted order, and nothing that it doesn't.

`*`, `?` and `[…]` match within a name, `**` any folders beneath; hidden names need a dot in the
pattern. Promise: a pattern that names no file, a folder, or a link to a folder beneath `**` is
refused by name, so no file is left out, taken twice or taken from elsewhere unseen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from traceprop.errors import SourceError


def is_pattern(path: str) -> bool:
    """Whether a path has a character that a glob gives a meaning."""
    return any(mark in path for mark in "*?[")


def expand(pattern: str) -> list[str]:
    """Return the files that a pattern names, sorted by their names' characters.

    Parameters
    ----------
    pattern : str
        Relative ones begin at the working folder, and give relative paths.

    Raises
    ------
    SourceError
        Where it matches nothing, matches a folder, meets a link to a folder beneath ``**``, or a
        folder can't be listed.
    """
    parts = [part for part in pattern.split("/") if part]
    if parts[-1] == "**":
        parts.append("*")
    root = "/" if pattern.startswith("/") else ""
    found = sorted(set(_matches(root, parts, pattern, deep=False)))
    if not found:
        raise SourceError(
            f"no file matches {pattern!r} (looked from {os.getcwd()}); check the pattern"
        )
    return found


def _matches(folder: str, parts: list[str], pattern: str, *, deep: bool) -> Iterator[str]:
    """Yield the files beneath `folder` that `parts` name; `deep` where a ``**`` came before."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matches(folder, rest, pattern, deep=True)
        for entry in _entries(folder, pattern):
            path = os.path.join(folder, entry.name)
            if not entry.name.startswith(".") and entry.is_dir():
                if entry.is_symlink():
                    raise _link(path, pattern)
                yield from _matches(path, parts, pattern, deep=True)
        return
    if not is_pattern(part):
        named = [os.path.join(folder, part)]
    else:
        named = [
            os.path.join(folder, entry.name)
            for entry in _entries(folder, pattern)
            if fnmatchcase(entry.name, part)
            and (part.startswith(".") or not entry.name.startswith("."))
        ]
    for path in named:
        if rest:
            if os.path.isdir(path):
                yield from _matches(path, rest, pattern, deep=deep)
        elif not os.path.isdir(path):
            if os.path.lexists(path):
                yield path
        elif not deep:
            raise SourceError(
                f"{pattern!r} matches the folder {path}; write a pattern that matches files only, "
                "such as 'data/*.csv', or 'data/**/*.csv' for files in folders beneath"
            )


def _entries(folder: str, pattern: str) -> list[os.DirEntry[str]]:
    with _listing(folder, pattern), os.scandir(folder or ".") as entries:
        return sorted(entries, key=lambda entry: entry.name)


@contextmanager
def _listing(folder: str, pattern: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SourceError(
            f"no file matches {pattern!r}: there is no folder {folder}; check the pattern"
        ) from None
    except OSError as error:
        raise SourceError(
            f"{pattern!r} can't be looked up: the folder {folder} can't be listed "
            f"({error.strerror})"
        ) from error


def _link(path: str, pattern: str) -> SourceError:
    target = os.path.realpath(path)
    circle = (os.path.realpath(os.path.dirname(path)) + "/").startswith(target.rstrip("/") + "/")
    leads = f"leads back to {target}, a circle" if circle else f"leads to {target}"
    return SourceError(
        f"{pattern!r} meets the link {path}, which {leads}; ** follows no links to folders: name "
        "the folders themselves, as a list of patterns"
    )
