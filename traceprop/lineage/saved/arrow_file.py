"""A JSON header and some arrays in one Arrow IPC file, sealed by a SHA-256 against damage.

The header is schema metadata; each row of the table is an array: dtype, shape, bytes. Nothing of
the file is executed. The seal is against damage, not against forgery.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from traceprop.errors import LineageError
from traceprop.files import PRIVATE_FILE, write_file
from traceprop.lineage.saved.encoding import Decoder, Encoder

# What a header that says something else than it should makes us raise while it is read.
DAMAGE: Final = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)
_COLUMNS: Final = ("dtype", "shape", "data")

Columns = dict[str, list[Any]]


class Format(NamedTuple):
    """A kind of file.

    Attributes
    ----------
    name : str
        What the header's `format` says.
    version : int
    key : bytes
        The header's name in the schema's metadata.
    noun : str
        What it is called in messages.
    """

    name: str
    version: int
    key: bytes
    noun: str


def write(path: Path, kind: Format, content: dict[str, Any], arrays: list[Any]) -> None:
    """Write a file whole or not at all, for its owner alone (mode 0600).

    Raises
    ------
    LineageError
        When the folder isn't there.
    """
    import pyarrow as pa

    columns: Columns = {
        "dtype": [Encoder.dtype(array.dtype) for array in arrays],
        "shape": [list(array.shape) for array in arrays],
        "data": [np.ascontiguousarray(array).tobytes() for array in arrays],
    }
    header = {"format": kind.name, "version": kind.version, "numpy": np.__version__, **content}
    text = json.dumps(header, ensure_ascii=False).encode()
    schema = pa.schema(
        [("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("data", pa.large_binary())],
        metadata={kind.key: text, kind.key + b".sha256": _digest(text, columns)},
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    try:
        write_file(path, sink.getvalue().to_pybytes(), mode=PRIVATE_FILE)
    except FileNotFoundError as missing:
        raise LineageError(f"There is no folder {path.parent}: make it, or save elsewhere.") from (
            missing
        )


def _digest(header: bytes, columns: Columns) -> bytes:
    """SHA-256 of all that a file says, as hexadecimal."""
    digest = hashlib.sha256(header)
    for dtype, shape, data in zip(*(columns[name] for name in _COLUMNS), strict=True):
        digest.update(json.dumps([dtype, shape, len(data)]).encode())
        digest.update(data)
    return digest.hexdigest().encode()


def read(path: Path, kind: Format) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    """Read what `write` wrote: the header and the arrays.

    Raises
    ------
    LineageError
        When the file is missing, damaged, of another kind, or of another version.
    """
    import pyarrow as pa

    if not path.is_file():
        raise LineageError(f"There is no saved {kind.noun} at {path}.")
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
            metadata = reader.schema.metadata or {}
            text = metadata.get(kind.key, b"{}")
            header = json.loads(text)
            table = reader.read_all()
        table.validate(full=True)  # before a damaged offset is followed
        columns: Columns = table.to_pydict()
    except (pa.ArrowException, OSError, ValueError, RecursionError) as wrong:
        raise LineageError(f"{path} is not a saved {kind.noun}, or is damaged: {wrong}") from wrong
    if not isinstance(header, dict) or header.get("format") != kind.name:
        raise LineageError(f"{path} is not a saved {kind.noun}, or is damaged.")
    if header.get("version") != kind.version:
        raise LineageError(
            f"{path} is a {kind.noun} of version {header.get('version')}; this Traceprop reads "
            f"version {kind.version}. Save it again with this version, or read it with that one."
        )
    try:
        if metadata.get(kind.key + b".sha256") != _digest(text, columns):
            raise ValueError("other bytes than were saved")
        arrays = [
            np.frombuffer(data, dtype=Decoder.dtype(dtype)).reshape(shape)
            for dtype, shape, data in zip(*(columns[name] for name in _COLUMNS), strict=True)
        ]
    except DAMAGE as wrong:
        raise LineageError(f"{path} is a damaged {kind.noun}: save it again.") from wrong
    return header, arrays
