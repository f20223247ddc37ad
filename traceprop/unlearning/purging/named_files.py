"""Files that a user names for a purge: weights, lineages, pipelines, records, exports.

Promises: everything that makes a file impossible to purge is refused before anything is touched; no
link is followed, and no file is accepted that has names which weren't given.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from traceprop.errors import UnlearnError

Kind = Literal["weights", "lineage", "pipeline", "removal record", "export"]
Done = Literal["deleted", "rewritten", "kept", "missing"]

_WEIGHTS = {
    ".npz", ".npy", ".pt", ".pth", ".bin", ".safetensors", ".ckpt", ".onnx", ".h5", ".joblib",
    ".pkl",
}  # fmt: skip
_WHY: dict[Kind, str] = {
    "weights": "a model, or the state of its training, that was made with the rows",
    "lineage": "a lineage holds hashes of rows, masks and constants",
    "pipeline": "its statistics were computed with the rows",
    "removal record": "it names the samples of a removal",
    "export": "named as a copy of the rows, or of what was computed from them",
}


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file, and what is or was done to it.

    Parameters
    ----------
    path : str
        Where it is, absolute.
    kind : str
        What it is, by its content where it is Traceprop's own, else by its name.
    done : {"deleted", "rewritten", "kept", "missing"}
        What becomes of it; missing is what wasn't there any more when the purge came to it.
    reason : str
        Why.
    size : int
        Its bytes before.
    sha256 : str
        Its digest before.
    sha256_after : str or None
        Its digest afterwards; None where it is gone or no file, or nothing was done yet.
    """

    path: str
    kind: Kind
    done: Done
    reason: str
    size: int
    sha256: str
    sha256_after: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the file as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.done:9}  {self.path} ({self.kind}): {self.reason}"


def named_files(
    checkpoints: Iterable[str | os.PathLike[str]],
    keep: Mapping[str | os.PathLike[str], str],
    *,
    new_pipeline: bool,
    beside: Mapping[Path, str],
) -> tuple[NamedFile, ...]:
    """Check the files that a purge was given, and say what it does to each.

    Parameters
    ----------
    checkpoints : iterable of path-like
        Files that hold the rows, or what was made with them.
    keep : mapping of path-like to str
        Files that stay, each with the reason.
    new_pipeline : bool
        Whether the removal made a new preparation, which a saved pipeline is replaced with.
    beside : mapping of Path to str
        Files and folders that are no checkpoints, with what they are: the store, the sources.

    Raises
    ------
    UnlearnError
        A file is missing, is a link or a folder, has another name, is part of the store or a
        source, is named twice, or can't be changed.
    """
    asked = [*((path, None) for path in listed(checkpoints)), *keep.items()]
    found = [_named(Path(path), why, new_pipeline, beside) for path, why in asked]
    paths = [each.path for each in found]
    for path in paths:
        if paths.count(path) > 1:
            raise UnlearnError(f"{path} is named twice; name each file once")
    for each in found:
        _check_links(each, paths)
    return tuple(found)


def listed(paths: Iterable[str | os.PathLike[str]]) -> tuple[str | os.PathLike[str], ...]:
    """Return paths as a tuple; `UnlearnError` for one path, which would be taken for letters."""
    if isinstance(paths, str | bytes | os.PathLike):
        raise UnlearnError(f"checkpoints={os.fspath(paths)!r} is one path; give a list")
    return tuple(paths)


def _named(
    path: Path, why: str | None, new_pipeline: bool, beside: Mapping[Path, str]
) -> NamedFile:
    if path.is_symlink():
        raise UnlearnError(f"{path} is a link; name the file itself, {os.path.realpath(path)}")
    if path.is_dir():
        raise UnlearnError(f"{path} is a folder; name its files, one by one")
    path = path.resolve()
    if not path.is_file():
        raise UnlearnError(f"there is no file {path}; name a file that is there, or leave it out")
    for other, what in beside.items():
        if path == other or path.is_relative_to(other):
            raise UnlearnError(f"{path} is {what}; leave it out")
    try:
        content_sha256, kind = digest_of(path), _kind(path)
    except OSError as refused:
        raise UnlearnError(f"{path} can't be read ({refused.strerror}); leave it out") from refused
    size = path.stat().st_size
    if why is not None:
        if not why.strip() or not why.isprintable():
            raise UnlearnError(f"{path} is to be kept without a reason; give one line of text")
        return NamedFile(str(path), kind, "kept", why, size, content_sha256)
    done: Done = "deleted"
    reason = _WHY[kind]
    if kind == "pipeline":
        done = "rewritten" if new_pipeline else "kept"
        reason = (
            "replaced with the preparation that was made without the rows" if new_pipeline
            else f"{reason}, and the new model still needs it: the old preparation was kept"
        )  # fmt: skip
    if done != "kept" and not os.access(path.parent, os.W_OK | os.X_OK):
        raise UnlearnError(
            f"{path} can't be {done}: its folder isn't writable; make it writable, or give a "
            f"reason to keep the file"
        )
    return NamedFile(str(path), kind, done, reason, size, content_sha256)


def _check_links(file: NamedFile, paths: list[str]) -> None:
    """Refuse a file that would live on under another name."""
    about = os.stat(file.path)
    same = [path for path in paths if os.path.samestat(os.stat(path), about)]
    if file.done != "kept" and about.st_nlink > len(same):
        raise UnlearnError(
            f"{file.path} has {about.st_nlink} names (hard links), and would be there under the "
            f"others; name them all"
        )


def _kind(path: Path) -> Kind:
    suffix = path.suffix.lower()
    if suffix == ".arrow":
        return _arrow_kind(path)
    if suffix == ".json" and path.stat().st_size < 64 << 20:
        try:
            head = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return "export"
        is_record = isinstance(head, dict) and head.get("format") == "traceprop-removal-record"
        return "removal record" if is_record else "export"
    return "weights" if suffix in _WEIGHTS else "export"


def _arrow_kind(path: Path) -> Kind:
    import pyarrow as pa

    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
            known = reader.schema.metadata or {}
    except pa.ArrowException:
        return "export"
    if b"traceprop.lineage" in known:
        return "lineage"
    return "pipeline" if b"traceprop.pipeline" in known else "export"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
