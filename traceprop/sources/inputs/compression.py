"""Compressed files: gzip and Zstandard, known by their first bytes, expanded whole or in passing.

A source's digest is that of the stored, compressed bytes; lines and byte offsets are those of the
text inside. Promise: a damaged or truncated file is refused by name, and a file that would fill the
memory is refused while that is still small.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.inputs.progress import wait_with_bar

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIXES = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
#: Kinds of files that are no text: how they begin, how their names end, and the way out.
_OTHERS = (
    (
        b"PK\x03\x04",
        "",
        "a zip archive, or a workbook of Excel; take the text out or save it as CSV",
    ),
    (b"\xfd7zX", "", "xz data; expand it, or compress it by gzip or zstd"),
    (b"BZh", ".bz2", "bzip2 data; expand it, or compress it by gzip or zstd"),
    (b"PAR1", ".parquet", "a Parquet file; load it with load_parquet or read_parquet"),
)
_STEP = 1 << 22
#: A file may expand to this much whatever its size; beyond, to at most so many times its size.
_HARMLESS_BYTES, _USUAL_RATIO = 1 << 28, 200


def compression(head: bytes, name: str) -> str | None:
    """Return how a file is compressed: ``"gzip"``, ``"zstd"`` or None.

    Parameters
    ----------
    head : bytes
        Its first four bytes.
    name : str
        How messages call it.

    Raises
    ------
    SourceError
        Where its name ends as a compressed file's, but its bytes don't begin so; where it is
        of another kind, which is no text.
    """
    for magic, end, kind in _OTHERS:
        if head.startswith(magic) and name.lower().endswith(end):
            raise SourceError(f"{name} is {kind}")
    found = next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)
    said = next((codec for end, codec in _SUFFIXES.items() if name.lower().endswith(end)), None)
    if said is not None and found is None:
        raise SourceError(
            f"{name} does not begin as {said} data, as its name says it should; it is damaged or "
            "empty, or not compressed: then rename it"
        )
    return found


def expanded(stored: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.uint8]:
    """Return the text in a file's stored bytes; they themselves where it isn't compressed.

    Raises
    ------
    SourceError
        Where it is damaged or cut off, or expands so far that it must be read in batches.
    """
    codec = compression(stored[:4].tobytes(), name)
    if codec is None:
        return stored
    file = _Counted(stored.data)
    with ThreadPoolExecutor(1, thread_name_prefix="traceprop-expand") as pool:
        work = pool.submit(_expand, file, stored.size, name)
        return wait_with_bar(work, lambda: file.position, stored.size, name, doing="expanding")


def _expand(file: _Counted, stored_size: int, name: str) -> npt.NDArray[np.uint8]:
    most = max(_HARMLESS_BYTES, _USUAL_RATIO * stored_size)
    parts: list[bytes] = []
    size = 0
    with expanding(cast("BinaryIO", file), name) as text:
        while part := text.read(_STEP):
            parts.append(part)
            size += len(part)
            if size > most:
                raise SourceError(
                    f"{name} expands to more than {_USUAL_RATIO} times its size and over "
                    f"{_HARMLESS_BYTES >> 20} MiB; if that is no mistake, read it with batch_rows="
                )
    return np.frombuffer(bytearray().join(parts), np.uint8)


class _Counted(io.BytesIO):
    """Bytes that say how far they were read, also once they are closed."""

    position = 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self.position += len(part)
        return part

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.position = super().seek(offset, whence)
        return self.position


@contextmanager
def expanding(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Read a stored file's text as it goes; `file` is at its beginning."""
    codec = compression(file.read(4), name)
    file.seek(0)
    if codec is None:
        yield file
        return
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(file, "r"), codec) as stream:
        yield cast("BinaryIO", _Expanding(stream, codec, name))


class _Expanding:
    """pyarrow's stream of what a compressed file holds, with refusals that name the file."""

    def __init__(self, stream: Any, codec: str, name: str) -> None:
        self._stream, self._codec, self._name = stream, codec, name

    def read(self, size: int) -> bytes:
        """Return the next bytes of the text, none at its end."""
        try:
            return cast("bytes", self._stream.read(size))
        except OSError as error:
            raise SourceError(
                f"{self._name} can't be expanded: its {self._codec} data is damaged or cut off "
                f"({error}); fetch the file again"
            ) from error

    def seekable(self) -> bool:
        return False
