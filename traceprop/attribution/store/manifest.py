"""What a store says it holds: one JSON file a commit, and which of them counts.

Promises: a manifest with any flipped byte is refused; the newest whole manifest whose files are
all there is the store; a manifest of another schema is an error, never skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from traceprop.attribution.store.files import FileEntry, StoreFolder
from traceprop.attribution.store.lock import LOCK_NAME, is_lock
from traceprop.errors import StoreError

FORMAT = "traceprop-gradient-store"
SCHEMA = 1
MANIFEST_NAME = re.compile(r"manifest-(0|[1-9]\d{0,17})\.json")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """Rows that one rank wrote: a file of gradients, and one of the samples they belong to."""

    rank: int
    number: int
    rows: int
    gradients: FileEntry
    sample_ids: FileEntry

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return {
            "rank": self.rank,
            "number": self.number,
            "rows": self.rows,
            "gradients": self.gradients.to_json(),
            "sample_ids": self.sample_ids.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ShardEntry:
        """Read an entry written by `to_json`."""
        return cls(
            int(value["rank"]),
            int(value["number"]),
            int(value["rows"]),
            FileEntry.from_json(value["gradients"]),
            FileEntry.from_json(value["sample_ids"]),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """One committed state of a store.

    Parameters
    ----------
    number : int
        Counts the commits of this folder, from 1.
    parent : tuple of (int, str) or None
        Number and SHA-256 of the manifest that this one replaced.
    created : str
        When, in UTC, ISO 8601.
    k, dtype, seed, width : int, str, int, int
        The store's settings, and the numbers kept per sample (k, or fewer where the model has
        fewer parameters).
    projector : dict
        What `Projector.to_json` gave.
    steps : tuple of str
        The preprocessing of the training inputs, by name.
    sources : tuple of dict
        What `describe_source` gave for every source of the training tensors.
    run : str
        The folder of the run's own files: its provenance and its training record.
    shards : tuple of ShardEntry
        The gradients.
    files : tuple of FileEntry
        Everything below `run`.
    """

    number: int
    parent: tuple[int, str] | None
    created: str
    k: int
    dtype: str
    seed: int
    width: int
    projector: dict[str, Any]
    steps: tuple[str, ...]
    sources: tuple[dict[str, Any], ...]
    run: str
    shards: tuple[ShardEntry, ...]
    files: tuple[FileEntry, ...]

    @property
    def name(self) -> str:
        """The manifest's own file name."""
        return f"manifest-{self.number}.json"

    @property
    def rows(self) -> int:
        """How many rows of gradients are committed."""
        return sum(shard.rows for shard in self.shards)

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest vouches for."""
        kept = [entry for shard in self.shards for entry in (shard.gradients, shard.sample_ids)]
        return (*kept, *self.files)

    def encode(self) -> bytes:
        """Return the manifest as canonical JSON that ends in its own SHA-256."""
        body = {
            "format": FORMAT,
            "schema": SCHEMA,
            "number": self.number,
            "parent": self.parent and {"number": self.parent[0], "sha256": self.parent[1]},
            "created": self.created,
            "k": self.k,
            "dtype": self.dtype,
            "seed": self.seed,
            "rows": self.rows,
            "width": self.width,
            "projector": self.projector,
            "steps": list(self.steps),
            "sources": list(self.sources),
            "run": self.run,
            "shards": [shard.to_json() for shard in self.shards],
            "files": [entry.to_json() for entry in self.files],
        }
        return _seal(body)

    @classmethod
    def decode(cls, content: bytes) -> Manifest:
        """Read a manifest.

        Raises
        ------
        ValueError
            The bytes are not those of a manifest as it was written.
        StoreError
            It is whole, but of a schema that this version doesn't read.
        """
        value = _unseal(content)
        if value.get("format") != FORMAT:
            raise ValueError("it is not a gradient store's manifest")
        if value.get("schema") != SCHEMA:
            raise StoreError(
                f"The store has schema {value.get('schema')}; this version of Traceprop reads "
                f"schema {SCHEMA}. Open it with the version that wrote it, or record the run again."
            )
        try:
            return cls._from_body(value)
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field is missing or malformed: {error}") from error

    @classmethod
    def _from_body(cls, value: dict[str, Any]) -> Manifest:
        parent = value["parent"]
        manifest = cls(
            number=int(value["number"]),
            parent=None if parent is None else (int(parent["number"]), str(parent["sha256"])),
            created=str(value["created"]),
            k=int(value["k"]),
            dtype=str(value["dtype"]),
            seed=int(value["seed"]),
            width=int(value["width"]),
            projector=dict(value["projector"]),
            steps=tuple(map(str, value["steps"])),
            sources=tuple(map(dict, value["sources"])),
            run=str(value["run"]),
            shards=tuple(map(ShardEntry.from_json, value["shards"])),
            files=tuple(map(FileEntry.from_json, value["files"])),
        )
        if manifest.rows != value["rows"]:
            raise ValueError(f"it counts {value['rows']} rows, its shards {manifest.rows}")
        return manifest


@dataclass(frozen=True, slots=True)
class FolderState:
    """What is in a folder, as far as a store is concerned.

    Parameters
    ----------
    manifest : Manifest or None
        The newest whole one.
    sha256 : str or None
        The digest of its bytes, for the next one's `parent`.
    damaged : tuple of str
        What is wrong with each newer one.
    numbers : tuple of int
        The numbers of all manifests there, newest first.
    """

    manifest: Manifest | None
    sha256: str | None
    damaged: tuple[str, ...]
    numbers: tuple[int, ...]


def inspect_folder(folder: StoreFolder) -> FolderState:
    """Find the manifest that counts.

    Raises
    ------
    StoreError
        The folder holds other things than a store, or a store of another schema.
    """
    _check_is_store(folder)
    while True:
        numbers = _numbers(folder)
        found = _newest_whole(folder, numbers)
        # A writer that replaced the store in between removed what was listed: look again.
        if found.manifest is not None or _numbers(folder) == numbers:
            return found


def _newest_whole(folder: StoreFolder, numbers: tuple[int, ...]) -> FolderState:
    damaged: list[str] = []
    for number in numbers:
        name = f"manifest-{number}.json"
        try:
            content = folder.locate(name).read_bytes()
            manifest = Manifest.decode(content)
        except FileNotFoundError:
            continue
        except ValueError as error:
            damaged.append(f"{name} is damaged: {error}")
            continue
        short = [entry.path for entry in manifest.entries() if folder.missing_bytes(entry)]
        if manifest.number != number:
            damaged.append(f"{name} was renamed: it is number {manifest.number}")
        elif short:
            damaged.append(f"{name} names {short[0]}, which is missing or cut short")
        else:
            digest = hashlib.sha256(content).hexdigest()
            return FolderState(manifest, digest, tuple(damaged), numbers)
    return FolderState(None, None, tuple(damaged), numbers)


def _numbers(folder: StoreFolder) -> tuple[int, ...]:
    if not folder.root.exists():
        return ()
    names = (MANIFEST_NAME.fullmatch(path.name) for path in folder.root.iterdir())
    return tuple(sorted((int(match[1]) for match in names if match), reverse=True))


def _check_is_store(folder: StoreFolder) -> None:
    """Refuse a path where something else than a store is."""
    root = folder.root
    if not root.exists():
        return
    if not root.is_dir():
        raise StoreError(f"{root} is a file, not a store's folder. Give another path=.")
    if not any(root.iterdir()) or _numbers(folder) or is_lock(root / LOCK_NAME):
        return
    raise StoreError(
        f"{root} is not a gradient store: it holds other files and no manifest. "
        f"Give the folder of a store, or a new one."
    )


def _seal(body: dict[str, Any]) -> bytes:
    """Return JSON in one spelling, with the SHA-256 of the rest as last field."""
    text = json.dumps(body, indent=1, ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-2]},\n "sha256": "{digest}"\n}}\n'.encode()


def _unseal(content: bytes) -> dict[str, Any]:
    """Undo `_seal`; `ValueError` where a single byte isn't as it was written."""
    value = json.loads(content)
    if not isinstance(value, dict) or "sha256" not in value:
        raise ValueError("it has no checksum")
    del value["sha256"]
    if _seal(value) != content:
        raise ValueError("its checksum doesn't match")
    return value
