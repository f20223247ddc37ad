"""What a store says it holds: one JSON file a commit.

Promises: a manifest with any flipped byte is refused; a manifest of schema 1 is read as the store
of one part that it is, one of any other schema is an error.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from traceprop.attribution.store.folder.files import FileEntry
from traceprop.errors import StoreError

FORMAT = "traceprop-gradient-store"
SCHEMA = 2


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """Rows that one rank wrote.

    Parameters
    ----------
    rank, number : int
        Together the name of its files.
    rows : int
        How many rows it has.
    gradients, sample_ids : FileEntry
        The rows, and the sample that each belongs to.
    scales : FileEntry or None
        One float32 a row, for rows of int8.
    checkpoint : int or None
        Which recorded checkpoint the rows are of; None where they are of the run as a whole.
    """

    rank: int
    number: int
    rows: int
    gradients: FileEntry
    sample_ids: FileEntry
    scales: FileEntry | None = None
    checkpoint: int | None = None

    def entries(self) -> tuple[FileEntry, ...]:
        """Return the shard's files."""
        scales = () if self.scales is None else (self.scales,)
        return (self.gradients, *scales, self.sample_ids)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return {
            "rank": self.rank,
            "number": self.number,
            "rows": self.rows,
            "checkpoint": self.checkpoint,
            "gradients": self.gradients.to_json(),
            "scales": self.scales and self.scales.to_json(),
            "sample_ids": self.sample_ids.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ShardEntry:
        """Read an entry written by `to_json`, in this schema or the first."""
        scales, checkpoint = value.get("scales"), value.get("checkpoint")
        return cls(
            int(value["rank"]),
            int(value["number"]),
            int(value["rows"]),
            FileEntry.from_json(value["gradients"]),
            FileEntry.from_json(value["sample_ids"]),
            None if scales is None else FileEntry.from_json(scales),
            None if checkpoint is None else int(checkpoint),
        )


@dataclass(frozen=True, slots=True)
class RunPart:
    """What one recorded run brought to a store.

    Parameters
    ----------
    run : str
        The folder of its own files.
    data : str
        The folder of its training data and their provenance: its own, or that of an earlier part
        that was trained on the same data.
    created : str
        When it was committed, in UTC, ISO 8601.
    first_sample : int
        The number, among the store's samples, of the first row of its training data.
    steps : tuple of str
        The preprocessing of the training inputs, by name.
    sources : tuple of dict
        What `describe_source` gave for every source of the training tensors.
    shards : tuple of ShardEntry
        Its gradients.
    files : tuple of FileEntry
        Everything below `run`.
    lineage_sha256 : str or None
        The digest of its lineage where an erasure dropped that.
    """

    run: str
    data: str
    created: str
    first_sample: int
    steps: tuple[str, ...]
    sources: tuple[dict[str, Any], ...]
    shards: tuple[ShardEntry, ...]
    files: tuple[FileEntry, ...]
    lineage_sha256: str | None = None

    @property
    def rows(self) -> int:
        """How many rows of gradients it has."""
        return sum(shard.rows for shard in self.shards)

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file of the part."""
        return (*(entry for shard in self.shards for entry in shard.entries()), *self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the part as a JSON object."""
        return {
            "run": self.run,
            "data": self.data,
            "created": self.created,
            "first_sample": self.first_sample,
            "steps": list(self.steps),
            "sources": list(self.sources),
            "shards": [shard.to_json() for shard in self.shards],
            "files": [entry.to_json() for entry in self.files],
            "lineage_sha256": self.lineage_sha256,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunPart:
        """Read a part written by `to_json`."""
        dropped = value["lineage_sha256"]
        return cls(
            run=str(value["run"]),
            data=str(value["data"]),
            created=str(value["created"]),
            first_sample=int(value["first_sample"]),
            steps=tuple(map(str, value["steps"])),
            sources=tuple(map(dict, value["sources"])),
            shards=tuple(map(ShardEntry.from_json, value["shards"])),
            files=tuple(map(FileEntry.from_json, value["files"])),
            lineage_sha256=None if dropped is None else str(dropped),
        )


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """A file that was computed from a store's rows, and goes when they change.

    Parameters
    ----------
    name : str
        What it is asked for by.
    entry : FileEntry
        The file.
    computed_from : tuple of str
        The shards whose rows went in.
    about : dict
        What its maker wants to know again, as JSON values.
    """

    name: str
    entry: FileEntry
    computed_from: tuple[str, ...]
    about: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return {
            "name": self.name,
            "file": self.entry.to_json(),
            "computed_from": list(self.computed_from),
            "about": self.about,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DerivedFile:
        """Read an entry written by `to_json`."""
        entry, origin = FileEntry.from_json(value["file"]), tuple(map(str, value["computed_from"]))
        return cls(str(value["name"]), entry, origin, dict(value["about"]))


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
    parts : tuple of RunPart
        The runs, in the order they were committed.
    repeats : bool
        Whether a sample may have rows in several shards: they add up to its row.
    derived : tuple of DerivedFile
        Files computed from the rows.
    erasing : tuple of (int, int)
        Samples, as ranges from start to before stop, whose erasure has begun: no answer has them.
    erasures : int
        How many erasures were finished in this folder.
    holds : tuple of str
        Why nothing may be erased, each reason once; empty where it may.
    """

    number: int
    parent: tuple[int, str] | None
    created: str
    k: int
    dtype: str
    seed: int
    width: int
    projector: dict[str, Any]
    parts: tuple[RunPart, ...]
    repeats: bool = False
    derived: tuple[DerivedFile, ...] = ()
    erasing: tuple[tuple[int, int], ...] = ()
    erasures: int = 0
    holds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The manifest's own file name."""
        return f"manifest-{self.number}.json"

    @property
    def shards(self) -> tuple[ShardEntry, ...]:
        """The gradients of all parts."""
        return tuple(shard for part in self.parts for shard in part.shards)

    @property
    def rows(self) -> int:
        """How many rows of gradients are committed."""
        return sum(part.rows for part in self.parts)

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest vouches for."""
        of_parts = (entry for part in self.parts for entry in part.entries())
        return (*of_parts, *(derived.entry for derived in self.derived))

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
            "repeats": self.repeats,
            "parts": [part.to_json() for part in self.parts],
            "derived": [derived.to_json() for derived in self.derived],
            "erasing": [list(span) for span in self.erasing],
            "erasures": self.erasures,
            "holds": list(self.holds),
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
        schema = value.get("schema")
        if schema not in (1, SCHEMA):
            raise StoreError(
                f"The store has schema {schema}; this version of Traceprop reads schemas 1 and "
                f"{SCHEMA}. Open it with the version that wrote it, or record the run again."
            )
        try:
            return cls._from_body(value if schema == SCHEMA else _from_first_schema(value))
        except (KeyError, TypeError, AttributeError) as error:
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
            parts=tuple(map(RunPart.from_json, value["parts"])),
            repeats=bool(value["repeats"]),
            derived=tuple(map(DerivedFile.from_json, value["derived"])),
            erasing=tuple((int(start), int(stop)) for start, stop in value["erasing"]),
            erasures=int(value["erasures"]),
            holds=tuple(map(str, value.get("holds", ()))),  # a store of before there were holds
        )
        if manifest.rows != value["rows"]:
            raise ValueError(f"it counts {value['rows']} rows, its shards {manifest.rows}")
        spans = manifest.erasing
        # Each sample has a row, and another sample is left.
        if not all(0 <= start < stop for start, stop in spans) or manifest.rows <= sum(
            stop - start for start, stop in spans
        ):
            raise ValueError(f"of {manifest.rows} rows none is left, or what goes are no samples")
        return manifest


def _from_first_schema(value: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a manifest of schema 1, which knew one run of one rank, in this one."""
    part = {name: value[name] for name in ("run", "created", "steps", "sources", "shards", "files")}
    part |= {"data": value["run"], "first_sample": 0, "lineage_sha256": None}
    return value | {
        "parts": [part], "repeats": False, "derived": [], "erasing": [], "erasures": 0,
    }  # fmt: skip


def _seal(body: dict[str, Any]) -> bytes:
    """Return JSON in one spelling, with the SHA-256 of the rest as last field."""
    text = json.dumps(body, indent=1, ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-2]},\n "sha256": "{digest}"\n}}\n'.encode()


def _unseal(content: bytes) -> dict[str, Any]:
    """Undo `_seal`; `ValueError` where a single byte isn't as it was written."""
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict) or "sha256" not in value:
        raise ValueError("it has no checksum")
    del value["sha256"]
    if _seal(value) != content:
        raise ValueError("its checksum doesn't match")
    return value
