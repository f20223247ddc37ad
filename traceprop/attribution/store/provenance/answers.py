"""Where the samples of a store came from, and which samples came from a row.

Answers come from the store's own files: the sources need not be there any more. Promises: a row
that was never trained on is an error that says why, never an empty answer.
"""

from __future__ import annotations

import hashlib
import operator
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.layout import LINEAGE
from traceprop.attribution.store.folder.manifest import Manifest, RunPart
from traceprop.attribution.store.folder.ordinary import read_ordinary
from traceprop.attribution.store.provenance.dropped import dropping_step
from traceprop.attribution.store.provenance.sample_rows import SampleRows, open_sample_rows
from traceprop.attribution.store.provenance.stored_source import StoredSource
from traceprop.errors import RowError, SourceError, StoreError, StoreWarning, UnknownNameError
from traceprop.lineage.answers.query import SourceMap
from traceprop.lineage.answers.trace import Trace
from traceprop.lineage.rowset import Rows, RowSet
from traceprop.lineage.source import Source, find_source

if TYPE_CHECKING:
    from traceprop.lineage import LineageGraph

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class DataPart:
    """The provenance of one part's training data.

    Parameters
    ----------
    folder : StoreFolder
    part : RunPart
        Trained on data of its own, with known sources.
    """

    folder: StoreFolder
    part: RunPart

    @cached_property
    def rows(self) -> list[SampleRows]:
        """The rows of each source, in the order of `part.sources`."""
        return open_sample_rows(self.folder, self.part.run, len(self.part.sources))

    @cached_property
    def n(self) -> int:
        """How many samples the part has."""
        return len(self.rows[0].indptr) - 1

    @property
    def first(self) -> int:
        """The number of its first sample in the store."""
        return self.part.first_sample

    def lineage(self) -> LineageGraph | None:
        """Load the lineage that was saved with the part; None where an erasure dropped it."""
        from traceprop.lineage import load_lineage

        if self.part.lineage_sha256 is not None:
            return None
        return load_lineage(self.folder.locate(f"{self.part.run}/{LINEAGE}"))

    def lineage_digest(self) -> str:
        """Return the SHA-256 of the lineage that was saved with the part."""
        if self.part.lineage_sha256 is not None:
            return self.part.lineage_sha256
        run = PurePosixPath(self.part.run)
        digest = hashlib.sha256()
        for entry in sorted(self.part.files, key=lambda entry: entry.path):
            name = PurePosixPath(entry.path).relative_to(run)
            if name.parts[0] == LINEAGE:
                content = read_ordinary(self.folder.locate(entry.path))[: entry.size]
                digest.update(f"{name} {entry.size}\n".encode() + content)
        return digest.hexdigest()


class Provenance:
    """Where the samples of a committed state came from.

    Parameters
    ----------
    folder : StoreFolder
    manifest : Manifest
    sample_ids : callable
        Gives the samples that have gradients.
    """

    def __init__(
        self, folder: StoreFolder, manifest: Manifest, sample_ids: Callable[[], NDArray[np.int64]]
    ) -> None:
        self._folder = folder
        self._sample_ids = sample_ids
        self._tracked = [
            DataPart(folder, part)
            for part in manifest.parts
            if part.data == part.run and part.sources
        ]

    @cached_property
    def _rows_of(self) -> dict[StoredSource, list[tuple[DataPart, SampleRows]]]:
        """By source, its rows in each part that has it."""
        found: dict[Source, list[tuple[DataPart, SampleRows, dict[str, Any]]]] = {}
        for data in self._tracked:
            for stored, rows in zip(data.part.sources, data.rows, strict=True):
                source = Source.from_json(stored["source"])
                found.setdefault(source, []).append((data, rows, stored))
        return {
            StoredSource(hits[-1][2], [rows for _, rows, _ in hits], hits[-1][0].lineage): [
                (data, rows) for data, rows, _ in hits
            ]
            for hits in found.values()
        }

    def rows_used(self) -> dict[Source, Rows]:
        """Return the distinct rows that samples came from, by source."""
        return {
            source: np.unique(np.concatenate([rows.used for _, rows in parts]))
            for source, parts in self._rows_of.items()
        }

    @cached_property
    def sources(self) -> tuple[StoredSource, ...]:
        """The sources, as they were when their run was committed."""
        return tuple(self._rows_of)

    @property
    def steps(self) -> tuple[str, ...]:
        """The preprocessing of the training inputs; of several parts, each step once."""
        steps = [data.part.steps for data in self._tracked]
        return steps[0] if len(steps) == 1 else tuple(dict.fromkeys(chain.from_iterable(steps)))

    @cached_property
    def _changes(self) -> dict[Source, str]:
        """Sources whose file has changed or is gone; each is looked at once a process."""
        found = ((source, source.change()) for source in self.sources)
        return {source: change for source, change in found if change is not None}

    @cached_property
    def _trained(self) -> NDArray[np.bool_]:
        """For each sample up to the last with a gradient, whether it has one."""
        samples = self._sample_ids()
        trained = np.zeros(int(samples.max()) + 1, bool)
        trained[samples] = True
        return trained

    def trace(self, sample: int) -> Trace:
        """Return where a sample came from; `RowError` if there is no such sample."""
        self._check_tracked()
        sample = operator.index(sample)
        data = self._part_of(sample)
        found: dict[Source, RowSet] = {}
        for source, parts in self._rows_of.items():
            for each, rows in parts:
                if each is data:
                    own = np.array(rows.of_sample(sample - data.first))
                    found[source] = RowSet.from_sorted(own)
        if data.part.lineage_sha256 and not any(map(len, found.values())):
            raise RowError(f"Sample {sample} was erased from {self._folder.root}.")
        self._warn_of_changes(source for source, rows in found.items() if len(rows))
        return Trace(found, data.part.steps)

    def _part_of(self, sample: int) -> DataPart:
        for data in self._tracked:
            if data.first <= sample < data.first + data.n:
                return data
        known = ", ".join(f"{data.first} to {data.first + data.n - 1}" for data in self._tracked)
        raise RowError(f"There is no sample {sample}: {self._folder.root} has {known}.")

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
        source = self._find(uri)
        self._warn_of_changes([source])
        named = source.check_rows(rows)
        unused = wanted = named.to_numpy()
        hits = []
        for data, sample_rows in self._rows_of[source]:
            found, unmatched = sample_rows.match(wanted)
            hits.append(found + data.first)
            unused = unmatched if unused is wanted else np.intersect1d(unused, unmatched)
        if unused.size:
            raise RowError(self._why_unused(source, unused))
        samples = hits[0] if len(hits) == 1 else np.concatenate(hits)
        known = self._trained
        untrained = samples[~known.take(samples, mode="clip") | (samples >= len(known))]
        if untrained.size:
            raise RowError(
                f"{source}: {_listed('sample', untrained)} came from these rows, but no recorded "
                f"batch held them, so they have no gradients and weren't trained on."
            )
        return samples, SourceMap({source: named})

    def occurrences(
        self, samples: NDArray[np.int64]
    ) -> Iterator[tuple[StoredSource, NDArray[np.int64], Rows]]:
        """Yield which samples came from which rows, source by source.

        Parameters
        ----------
        samples : ndarray of int64, shape (m,)

        Yields
        ------
        source : Source
        positions : ndarray of int64, shape (p,)
            Positions in `samples`; one that came from several rows of the source comes again.
        rows : ndarray of int, shape (p,)
            The row of the source that each came from.

        Raises
        ------
        RowError
            A sample is none that came from a source.
        """
        self._check_tracked()
        known = np.zeros(len(samples), bool)
        for source, parts in self._rows_of.items():
            for data, rows in parts:
                inside = np.flatnonzero((samples >= data.first) & (samples < data.first + data.n))
                known[inside] = True
                own = samples[inside] - data.first
                starts, counts = rows.indptr[own], rows.indptr[own + 1] - rows.indptr[own]
                within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
                yield (
                    source,
                    np.repeat(inside, counts),
                    rows.rows[np.repeat(starts, counts) + within],
                )
        if not known.all():
            raise RowError(
                f"There is no sample {samples[~known][0]} in {self._folder.root} that came from a "
                f"source. Give scores of this store's own samples."
            )

    def samples_by_step(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield each preprocessing step and the samples whose own values went through it.

        Several steps of a name are told apart as `clip`, `clip (2)`; of several parts, those of
        one name and number are one.

        Raises
        ------
        StoreError
            As `lineage`.
        """
        from traceprop.lineage.answers.forward import passed_through
        from traceprop.lineage.answers.idioms import steps

        self._check_tracked()
        self.lineage()  # refuses where one of the parts has none any more
        for data in self._tracked:
            graph = data.lineage()
            assert graph is not None
            root, seen = graph.roots[0], Counter[str]()
            for step in steps(root):
                seen[step] += 1
                name = step if seen[step] == 1 else f"{step} ({seen[step]})"
                yield str(name), np.add(passed_through(root, step.node).to_numpy(), data.first)

    def lineage(self) -> LineageGraph:
        """Load the lineage of all parts."""
        from traceprop.lineage import LineageGraph

        self._check_tracked()
        graphs = [graph for data in self._tracked if (graph := data.lineage()) is not None]
        if len(graphs) < len(self._tracked):
            raise StoreError(
                f"{self._folder.root} has no lineage any more: an erasure dropped it, since it "
                f"held hashes, keys and positions of rows. Record the run again without the rows."
            )
        if len(graphs) == 1:
            return graphs[0]
        roots = tuple(chain.from_iterable(graph.roots for graph in graphs))
        return LineageGraph(roots)

    def lineage_digest(self) -> str | None:
        """Return the SHA-256 of the saved lineage; None where plain arrays were trained on.

        Of several parts, that of their digests one after the other.
        """
        digests = [data.lineage_digest() for data in self._tracked]
        if len(digests) < 2:
            return digests[0] if digests else None
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _warn_of_changes(self, sources: Iterable[Source]) -> None:
        """Warn at the caller of the store's own method."""
        for source in sources:
            if source in self._changes:
                warnings.warn(f"{self._changes[source]}.", StoreWarning, stacklevel=4)

    def _check_tracked(self) -> None:
        if not self._tracked:
            raise StoreError(
                f"{self._folder.root} knows no sources: its run was trained on plain arrays. Train "
                f"on tp.torch.dataset(X, y) with X and y from tp.load_csv or another loader."
            )

    def _find(self, uri: str | os.PathLike[str] | Source) -> StoredSource:
        """Return the source that is called so: exactly, by path, by file name."""
        try:
            return self.sources[self.sources.index(find_source(self.sources, uri))]
        except UnknownNameError:
            raise self._unknown(uri.uri if isinstance(uri, Source) else os.fspath(uri)) from None

    def _unknown(self, name: str) -> SourceError:
        known = ", ".join(source.uri for source in self.sources)
        return SourceError(
            f"{name} is no source of {self._folder.root}: its run was trained on {known}."
        )

    def _why_unused(self, source: StoredSource, rows: Rows) -> str:
        """Say that no sample came from some rows of a source, and at which step the first went."""
        first = int(rows[0])
        graph = self._rows_of[source][-1][0].lineage()
        if graph is None:
            listed = _listed("row", rows)
            return f"{source}: no sample came from {listed}, or an erasure took the samples out."
        step = dropping_step(graph, source, first)
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
