"""Where the samples of a store came from, and which samples came from a row.

Answers come from the store's own files: the sources need not be there any more. Promises: a row
that was never trained on is an error that says why, never an empty answer.
"""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.files import StoreFolder
from traceprop.attribution.manifest import Manifest
from traceprop.attribution.sample_rows import SampleRows, open_sample_rows
from traceprop.attribution.writer import LINEAGE
from traceprop.errors import RowError, SourceError, StoreError
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source

if TYPE_CHECKING:
    from traceprop.lineage import LineageGraph
    from traceprop.lineage.trace import Trace

_SHOWN = 5


class Provenance:
    """The provenance part of a committed run.

    Parameters
    ----------
    folder : StoreFolder
    manifest : Manifest
    """

    def __init__(self, folder: StoreFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    @cached_property
    def _rows(self) -> list[SampleRows]:
        return open_sample_rows(self._folder, self._manifest.run, len(self._manifest.sources))

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The sources, as they were when the run was committed."""
        return tuple(Source.from_json(stored) for stored in self._manifest.sources)

    def trace(self, sample: int) -> Trace:
        """Return where a sample came from; `RowError` if there is no such sample."""
        from traceprop.lineage.trace import Trace

        self._check_tracked()
        n = len(self._rows[0].indptr) - 1
        sample = operator.index(sample)
        if not 0 <= sample < n:
            raise RowError(f"There is no sample {sample}: {self._folder.root} has 0 to {n - 1}.")
        found = {
            source: RowSet.from_sorted(np.array(rows.of_sample(sample)))
            for source, rows in zip(self.sources, self._rows, strict=True)
        }
        found = {source: rows for source, rows in found.items() if len(rows)}
        return Trace(found, self._manifest.steps)

    def samples_of(
        self,
        uri: str | os.PathLike[str] | Source,
        rows: Iterable[int],
        recorded: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], Mapping[Source, RowSet]]:
        """Return the samples that rows of a source flowed into, and these rows.

        Parameters
        ----------
        uri : str, path-like or Source
        rows : iterable of int
        recorded : ndarray of int64
            The samples that have gradients.

        Raises
        ------
        SourceError, RowError
            As `GradientStore.samples_from_source`.
        """
        self._check_tracked()
        number = self._find(uri)
        source, sample_rows = self.sources[number], self._rows[number]
        named = RowSet(rows)
        wanted = named.to_numpy().astype(np.int64)
        source.check_rows(wanted)
        unused = sample_rows.unused(wanted)
        if unused.size:
            raise RowError(self._why_unused(number, unused))
        samples = sample_rows.samples_of(wanted)
        without = samples[~_among(samples, recorded)]
        if without.size:
            raise RowError(
                f"{source}: {_listed('sample', without)} came from these rows, but no recorded "
                f"batch held them, so they have no gradients and weren't trained on."
            )
        return samples, {source: named}

    def sums(self, scores: Iterable[tuple[int, float]]) -> dict[Source, float]:
        """Sum scores per source, largest sum first."""
        self._check_tracked()
        pairs = list(scores)
        samples = np.array([sample for sample, _ in pairs], np.int64)
        values = np.array([score for _, score in pairs], np.float64)
        totals = {}
        for source, rows in zip(self.sources, self._rows, strict=True):
            touched = rows.indptr[samples + 1] > rows.indptr[samples]
            if touched.any():
                totals[source] = float(values[touched].sum())
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def lineage(self) -> LineageGraph:
        """Load the lineage that was saved with the run."""
        from traceprop.lineage import load_lineage

        self._check_tracked()
        return load_lineage(self._folder.locate(f"{self._manifest.run}/{LINEAGE}"))

    def lineage_digest(self) -> str | None:
        """Return the SHA-256 of the saved lineage; None where plain arrays were trained on."""
        if not self._manifest.sources:
            return None
        run = PurePosixPath(self._manifest.run)
        digest = hashlib.sha256()
        for entry in sorted(self._manifest.files, key=lambda entry: entry.path):
            name = PurePosixPath(entry.path).relative_to(run)
            if name.parts[0] == LINEAGE:
                content = self._folder.locate(entry.path).read_bytes()[: entry.size]
                digest.update(f"{name} {entry.size}\n".encode() + content)
        return digest.hexdigest()

    def _check_tracked(self) -> None:
        if not self._manifest.sources:
            raise StoreError(
                f"{self._folder.root} knows no sources: its run was trained on plain arrays. Train "
                f"on tp.torch.dataset(X, y) with X and y from tp.load_csv or another loader."
            )

    def _find(self, uri: str | os.PathLike[str] | Source) -> int:
        """Return the number of the source that is called so: exactly, by path, by file name."""
        name = uri if isinstance(uri, str) else getattr(uri, "uri", None) or os.fspath(uri)
        for known in (
            [source.uri for source in self.sources],
            [source.path for source in self.sources],
            [source.name for source in self.sources],
        ):
            for wanted in dict.fromkeys((name, os.path.abspath(name))):
                hits = [i for i, candidate in enumerate(known) if candidate == wanted]
                if len(hits) > 1:
                    paths = ", ".join(self.sources[i].path for i in hits)
                    raise SourceError(
                        f"{name} is the name of several sources: {paths}. Give a path."
                    )
                if hits:
                    return hits[0]
        names = ", ".join(source.uri for source in self.sources)
        raise SourceError(
            f"{name} is no source of {self._folder.root}; its run was trained on {names}."
        )

    def _why_unused(self, number: int, rows: NDArray[np.int64]) -> str:
        """Say why no sample came from some rows of a source."""
        source = self.sources[number]
        which = _listed("row", rows)
        return (
            f"{source}: {which} never reached training, so there is nothing of it to remove from "
            f"the model."
        )


def _among(samples: NDArray[np.int64], recorded: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which samples are among the recorded ones, without sorting these."""
    known = np.zeros(int(max(samples.max(initial=-1), recorded.max())) + 1, bool)
    known[recorded] = True
    return known[samples]


def _listed(noun: str, numbers: NDArray[np.int64]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN].tolist()))
    if len(numbers) == 1:
        return f"{noun} {shown}"
    return f"{noun}s {shown}" + (f", … ({len(numbers)})" if len(numbers) > _SHOWN else "")
