"""The index of a large store: its rows' codes and what they were made with, in a derived file.

Promises: the index belongs to exactly the rows that it was made from, since the store drops it
when they change, and one that doesn't fit is refused; it is memory-mapped, so that opening takes no
time; it holds 1 bit a coordinate and 8 bytes a row, beside at most 1,024 directions. It is as
personal as the gradients are, and goes with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.estimators.kept_moment import keep_moment
from traceprop.attribution.search.codes import (
    HEAD_WORDS,
    Codes,
    code_queries,
    encode,
    padded_size,
)
from traceprop.attribution.search.question import Found, Question
from traceprop.attribution.search.threads import thread_count
from traceprop.attribution.search.two_stage import search_codes
from traceprop.attribution.search.whitening import Whitening
from traceprop.attribution.store.folder.ordinary import map_ordinary
from traceprop.errors import StoreError

if TYPE_CHECKING:
    from traceprop.attribution.store.committing.derived import Derived
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.attribution.store.rows.shards import Shard

NAME = "search-index"
VERSION = 1
_KEY = 0x7472616365707270


@dataclass(frozen=True, slots=True, eq=False)
class SearchIndex:
    """An index of n rows.

    Parameters
    ----------
    codes : Codes
        Of the rows.
    whitening : Whitening
        What rows and queries go through before they are coded.
    key : int
        What the random signs follow from.
    """

    codes: Codes
    whitening: Whitening
    key: int = _KEY

    @classmethod
    def of_rows(
        cls,
        blocks: Iterator[NDArray[np.float32]],
        n: int,
        moment: NDArray[np.float64],
        threads: int | None = None,
    ) -> SearchIndex:
        """Code n rows.

        Parameters
        ----------
        blocks : iterator of ndarray of float32, shape (m, width)
            The rows in order.
        n : int
        moment : ndarray of float64, shape (width, width)
            ΦᵀΦ/n of the rows, or of some that stand for them.
        threads : int, optional
        """
        whitening = Whitening.of_moment(moment)
        return cls(encode(blocks, n, whitening, _KEY, thread_count(threads)), whitening)

    def search(
        self,
        shards: Sequence[Shard],
        question: Question,
        *,
        candidates: int | None = None,
        threads: int | None = None,
    ) -> Found:
        """Answer a question about the rows that the index was made from, see `search_codes`."""
        coded = code_queries(question.queries, self.whitening, self.key)
        return search_codes(
            self.codes, coded, shards, question, candidates=candidates, threads=threads
        )

    @property
    def n_rows(self) -> int:
        """How many rows it is of."""
        return len(self.codes.head)

    @property
    def nbytes(self) -> int:
        """Its size in bytes, as on disk."""
        return sum(part.nbytes for part in self._parts())

    def about(self) -> dict[str, Any]:
        """Return what reading it again takes, as JSON values."""
        return {
            "version": VERSION,
            "rows": self.n_rows,
            "width": self.whitening.directions.shape[1],
            "directions": len(self.whitening.directions),
            "key": f"{self.key:016x}",
        }

    def buffers(self) -> Iterator[memoryview]:
        """Yield its content, part after part, little-endian."""
        for part in self._parts():
            little = np.ascontiguousarray(part, part.dtype.newbyteorder("<"))
            yield little.reshape(-1).view(np.uint8).data

    def _parts(self) -> tuple[NDArray[Any], ...]:
        codes, whitening = self.codes, self.whitening
        return codes.head, codes.tail, codes.factors, whitening.directions, whitening.gains


def build_index(store: GradientStore, threads: int | None = None) -> SearchIndex:
    """Make the index of a store and keep it there, in place of an earlier one.

    Reads all rows twice (once, where the second moment is kept), and holds the index in memory
    meanwhile: 0.5 GiB for a million rows of 4096.

    Parameters
    ----------
    store : GradientStore
    threads : int, optional
        As many as the process has cores if not given.

    Raises
    ------
    StoreError
        The store holds no run, several rows a sample or zeros alone, or can't be written.
    """
    if not scans_shards(store):
        raise StoreError(
            f"{store.path} makes a sample's row of several stored ones, or of factors, and codes "
            f"are of rows as they are stored: record with another projection and epochs='sum' or "
            f"'last', or search without an index"
        )
    moment = keep_moment(store)
    n_rows = len(store.rows)
    index = SearchIndex.of_rows(store.rows.blocks(), n_rows, moment.second, threads)
    store.put_derived(NAME, index.buffers(), index.about())
    return index


def scans_shards(store: GradientStore) -> bool:
    """Tell whether row j of the store is just what is stored as number j over all shards."""
    return not store.repeats and store.projector.is_linear


def open_index(store: GradientStore, found: Derived) -> SearchIndex:
    """Open the index of a store.

    Parameters
    ----------
    store : GradientStore
    found : Derived
        What `store.derived(NAME)` gave.

    Raises
    ------
    StoreError
        The index is of another version, or doesn't fit the store's rows.
    """
    about, (rows, width) = found.about, store.rows.shape
    again = f"make it anew with `traceprop store index {store.path}`"
    if about.get("version") != VERSION:
        raise StoreError(
            f"the index of {store.path} has version {about.get('version')}, this version of "
            f"Traceprop reads {VERSION}: {again}"
        )
    if (about["rows"], about["width"]) != (rows, width):
        raise StoreError(
            f"the index of {store.path} is of {about['rows']} rows of {about['width']} "
            f"numbers, the store holds {rows} of {width}: {again}"
        )
    directions = int(about["directions"])
    shapes: list[tuple[str, tuple[int, ...]]] = [
        ("<u8", (rows, HEAD_WORDS)),
        ("<u8", (rows, padded_size(width) // 64 - HEAD_WORDS)),
        ("<f4", (2, rows)),
        ("<f4", (directions, width)),
        ("<f4", (directions,)),
    ]
    content = map_ordinary(found.path, np.dtype(np.uint8), (found.size,))
    parts, start = [], 0
    for dtype, shape in shapes:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        parts.append(np.asarray(content[start : start + size]))
        start += size
    if start != found.size:
        raise StoreError(
            f"the index of {store.path} has {found.size} bytes instead of {start}: {again}"
        )
    head, tail, factors, kept, gains = (
        part.view(dtype).reshape(shape) for part, (dtype, shape) in zip(parts, shapes, strict=True)
    )
    return SearchIndex(Codes(head, tail, factors), Whitening(kept, gains), int(about["key"], 16))
