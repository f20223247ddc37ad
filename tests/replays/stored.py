"""Arrays of any dtype on disk as a source, and running a program with all its sources there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from traceprop.errors import SourceError
from traceprop.lineage import Source, from_source


class ArrayFile(Source):
    """An array in a file of its own: dtype and shape stay with the source, the file has bytes."""

    __slots__ = ("dtype", "shape")

    kind = "test-array-file"

    @classmethod
    def written(cls, path: Path, array: np.ndarray) -> ArrayFile:
        path.write_bytes(array.tobytes())
        source = cls(str(path), n_rows=len(array), sha256=_digest(path))
        source.dtype, source.shape = array.dtype, array.shape
        return source

    def read(self, column=None):
        if _digest(Path(self.path)) != self.sha256:
            raise SourceError(f"{self.name} changed since it was loaded")
        data = Path(self.path).read_bytes()
        return np.frombuffer(data, self.dtype).reshape(self.shape).copy()

    def to_json(self):
        dtype = np.lib.format.dtype_to_descr(self.dtype)
        return {**super().to_json(), "dtype": dtype, "shape": list(self.shape)}

    @classmethod
    def restore(cls, stored):
        source = super().restore(stored)
        descr = stored["dtype"]
        descr = [tuple(each) for each in descr] if isinstance(descr, list) else descr
        source.dtype = np.lib.format.descr_to_dtype(descr)
        source.shape = tuple(stored["shape"])
        return source


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(folder: Path, arrays):
    """Write each array to a file and load it as a tensor."""
    return [
        from_source(array.copy(), ArrayFile.written(folder / f"source{i}.bin", array))
        for i, array in enumerate(arrays)
    ]
