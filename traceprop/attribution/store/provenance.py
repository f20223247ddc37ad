"""Where the samples of a store came from, and which samples came from a row.

Answers come from the store's own files: the sources need not be there any more. Promises: a row
that was never trained on is an error that says why, never an empty answer.
"""

from __future__ import annotations

import hashlib
import operator
import os
import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.influence_scores import InfluenceScores
from traceprop.attribution.store.dropped import dropping_step
from traceprop.attribution.store.files import StoreFolder
from traceprop.attribution.store.manifest import Manifest
from traceprop.attribution.store.sample_rows import SampleRows, open_sample_rows
from traceprop.attribution.store.shards import open_sample_ids
from traceprop.attribution.store.stored_source import StoredSource
from traceprop.attribution.store.writer import LINEAGE
from traceprop.errors import RowError, SourceError, StoreError, StoreWarning, UnknownNameError
from traceprop.lineage.answers.query import SourceMap
from traceprop.lineage.answers.trace import Trace
from traceprop.lineage.rowset import Rows, RowSet
from traceprop.lineage.source import Source, find_source

if TYPE_CHECKING:
    from traceprop.lineage import LineageGraph

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
    def sources(self) -> tuple[StoredSource, ...]:
        """The sources, as they were when the run was committed."""
        return tuple(
            StoredSource(stored, rows, self.lineage)
            for stored, rows in zip(self._manifest.sources, self._rows, strict=True)
        )

    @cached_property
    def _changes(self) -> dict[Source, str]:
        """Sources whose file has changed or is gone; each is looked at once a process."""
        found = ((source, source.change()) for source in self.sources)
        return {source: change for source, change in found if change is not None}

    @cached_property
    def _trained(self) -> NDArray[np.bool_]:
        """For each row of the training tensor, whether it has a gradient."""
        trained = np.zeros(len(self._rows[0].indptr) - 1, bool)
        trained[open_sample_ids(self._folder, self._manifest)] = True
        return trained

    def trace(self, sample: int) -> Trace:
        """Return where a sample came from; `RowError` if there is no such sample."""
        self._check_tracked()
        n = len(self._rows[0].indptr) - 1
        sample = operator.index(sample)
        if not 0 <= sample < n:
            raise RowError(f"There is no sample {sample}: {self._folder.root} has 0 to {n - 1}.")
        found: dict[Source, RowSet] = {
            source: RowSet.from_sorted(np.array(rows.of_sample(sample)))
            for source, rows in zip(self.sources, self._rows, strict=True)
        }
        self._warn_of_changes(source for source, rows in found.items() if len(rows))
        return Trace(found, self._manifest.steps)

    def samples_of(
        self, uri: str | os.PathLike[str] | Source, rows: Iterable[int]
    ) -> tuple[NDArray[np.int64], Mapping[Source, RowSet]]:
        """Return the samples that rows of a source flowed into, and these rows.

        Parameters
        ----------
        uri : str, path-like or Source
        rows : iterable of int

        Raises
        ------
        SourceError, RowError
            As `GradientStore.samples_from_source`.
        """
        self._check_tracked()
        if isinstance(rows, int | np.integer):
            raise RowError(f"rows={rows} is one number: give a list, rows=[{rows}].")
        number = self._find(uri)
        source, sample_rows = self.sources[number], self._rows[number]
        self._warn_of_changes([source])
        named = source.check_rows(rows)
        samples, unused = sample_rows.match(named.to_numpy())
        if unused.size:
            raise RowError(self._why_unused(source, unused))
        untrained = samples[~self._trained[samples]]
        if untrained.size:
            raise RowError(
                f"{source}: {_listed('sample', untrained)} came from these rows, but no recorded "
                f"batch held them, so they have no gradients and weren't trained on."
            )
        return samples, SourceMap({source: named})

    def sums(self, scores: Iterable[tuple[int, float]]) -> dict[Source, float]:
        """Sum scores per source, largest sum first; of an answer, those of all its samples."""
        self._check_tracked()
        if isinstance(scores, InfluenceScores):
            samples, values = scores.all_samples, scores.all_scores
        else:
            pairs = list(scores)
            samples = np.array([operator.index(sample) for sample, _ in pairs], np.int64)
            values = np.array([score for _, score in pairs], np.float64)
        n = len(self._rows[0].indptr) - 1
        strange = samples[(samples < 0) | (samples >= n)]
        if strange.size:
            raise RowError(
                f"There is no sample {strange[0]}: {self._folder.root} has 0 to {n - 1}. Give "
                f"scores of this store's own samples."
            )
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

    def _warn_of_changes(self, sources: Iterable[Source]) -> None:
        """Warn at the caller of the store's own method."""
        for source in sources:
            if source in self._changes:
                warnings.warn(f"{self._changes[source]}.", StoreWarning, stacklevel=4)

    def _check_tracked(self) -> None:
        if not self._manifest.sources:
            raise StoreError(
                f"{self._folder.root} knows no sources: its run was trained on plain arrays. Train "
                f"on tp.torch.dataset(X, y) with X and y from tp.load_csv or another loader."
            )

    def _find(self, uri: str | os.PathLike[str] | Source) -> int:
        """Return the number of the source that is called so: exactly, by path, by file name."""
        try:
            return self.sources.index(find_source(self.sources, uri))
        except UnknownNameError:
            raise self._unknown(uri.uri if isinstance(uri, Source) else os.fspath(uri)) from None

    def _unknown(self, name: str) -> SourceError:
        known = ", ".join(source.uri for source in self.sources)
        return SourceError(
            f"{name} is no source of {self._folder.root}: its run was trained on {known}."
        )

    def _why_unused(self, source: Source, rows: Rows) -> str:
        """Say that no sample came from some rows of a source, and at which step the first went."""
        first = int(rows[0])
        step = dropping_step(self.lineage(), source, first)
        text = f"{source}: no sample came from {_listed('row', rows)}. "
        text += (
            f"Row {first} was dropped by {step} before training"
            if step
            else (f"Row {first} never reached training")
        )
        return f"{text}; name rows that were trained on."


def _listed(noun: str, numbers: Rows) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN].tolist()))
    if len(numbers) == 1:
        return f"{noun} {shown}"
    return f"{noun}s {shown}" + (f", … ({len(numbers)})" if len(numbers) > _SHOWN else "")
