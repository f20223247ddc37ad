"""What a gradient store is asked: its rows, its record, and where its samples came from.

Promise: no question creates or changes a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.committed import CommittedRun
from traceprop.attribution.store.committing.derived import Derived, find_derived
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.folder.check import Verification, verify_store
from traceprop.attribution.store.folder.files import StoreFolder, reporting_os_errors
from traceprop.attribution.store.folder.settings import Settings
from traceprop.attribution.store.rows.shards import Shard
from traceprop.attribution.store.rows.stored_rows import StoredRows
from traceprop.attribution.store.run.checkpoints import CheckpointRows, checkpoint_rows
from traceprop.attribution.store.run.record import starting_entry
from traceprop.errors import StoreError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.groups import GroupScores
    from traceprop.attribution.projection import Projector
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.attribution.store.run.record import TrainingRecord
    from traceprop.lineage import LineageGraph
    from traceprop.lineage.answers.trace import Trace
    from traceprop.lineage.source import Source


class Questions:
    """The part of `GradientStore` that reads.

    Parameters
    ----------
    folder : StoreFolder
    run : CommittedRun or None
        What the folder held when it was opened.
    settings : Settings
    """

    def __init__(self, folder: StoreFolder, run: CommittedRun | None, settings: Settings) -> None:
        self._folder, self._run, self._settings = folder, run, settings

    # ---- what it holds -----------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._folder.root

    @property
    def k(self) -> int:
        """The most numbers kept per sample."""
        return self._settings.k

    @property
    def dtype(self) -> str:
        """How the numbers are stored."""
        return self._settings.dtype

    @property
    def seed(self) -> int:
        """Seed of the projection."""
        return self._settings.seed

    @property
    def n_samples(self) -> int:
        """How many samples have a row of gradients; 0 before a run was committed."""
        return len(self._run.rows) if self._run else 0

    @property
    def rows(self) -> StoredRows:
        """The projected gradients as float32, shape `(n_samples, width)`, decoded when sliced.

        Row i belongs to sample `sample_ids[i]`, and is the sum of all that the store holds of it.
        """
        return self._held().rows

    @property
    def gradients(self) -> NDArray[np.float32]:
        """All of `rows` as one array.

        A read-only memory map where the store is one float32 shard, else a copy in memory.
        """
        return self._held().gradients

    @property
    def sample_ids(self) -> NDArray[np.int64]:
        """The sample of each row of `gradients`, shape `(n_samples,)`."""
        return self._held().rows.sample_ids

    @property
    def holds(self) -> tuple[str, ...]:
        """Why nothing may be erased (`hold`); empty where it may."""
        return self._run.manifest.holds if self._run else ()

    def shards(self) -> tuple[Shard, ...]:
        """Return the rows as they are stored, one memory map a shard, for scans.

        Where `repeats`, a sample may have a row in several: they add up to its row.
        """
        return self._held().shards

    def checkpoints(self, *, weights: bool = False) -> tuple[CheckpointRows, ...]:
        """Return the rows apart by run and checkpoint, in the order of training.

        Parameters
        ----------
        weights : bool
            Whether to read the weights that each checkpoint began with, where they are kept.

        Raises
        ------
        StoreError
            The store holds no run, or a file is gone or damaged.
        """
        held = self._held()
        with reporting_os_errors(self.path, "Reading"):
            return checkpoint_rows(self._folder, held.manifest, held.projector, weights=weights)

    @property
    def repeats(self) -> bool:
        """Whether a sample may have rows in several shards."""
        return self._held().manifest.repeats

    @property
    def projector(self) -> Projector:
        """The map from the model's gradients to the rows kept."""
        return self._held().projector

    @property
    def record(self) -> TrainingRecord | None:
        """The training run's record; None before a run was committed."""
        return self._run.record if self._run else None

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of the training tensors; empty where plain arrays were trained on."""
        return self._run.provenance.sources if self._run else ()

    @property
    def steps(self) -> tuple[str, ...]:
        """The preprocessing of the training inputs, by name."""
        return self._run.provenance.steps if self._run else ()

    def rows_used(self) -> dict[Source, NDArray[np.integer[Any]]]:
        """Return, by source, the rows that samples of the store came from."""
        return self._held().provenance.rows_used() if self._run else {}

    def lineage(self) -> LineageGraph:
        """Load the saved lineage of the training inputs.

        Raises
        ------
        StoreError
            Plain arrays were trained on.
        """
        return self._held().provenance.lineage()

    def lineage_digest(self) -> str | None:
        """Return the SHA-256 of the saved lineage; None where plain arrays were trained on."""
        with reporting_os_errors(self.path, "Reading"):
            return self._held().provenance.lineage_digest()

    @property
    def nbytes(self) -> int:
        """Committed bytes, of all files."""
        return sum(entry.size for entry in self._run.manifest.entries()) if self._run else 0

    def info(self) -> dict[str, Any]:
        """Return what the store holds as JSON values, for people and for the command line."""
        empty = {"samples": 0, "k": self.k, "dtype": self.dtype, "seed": self.seed}
        return {"path": str(self.path)} | (self._run.info() if self._run else empty)

    # ---- questions ---------------------------------------------------------------------------

    def get_provenance(self, sample: int) -> Trace:
        """Tell where a sample came from.

        Parameters
        ----------
        sample : int
            A row of the training tensor, as influence scores name it.

        Returns
        -------
        Trace
            Its source rows with their lines, and the preprocessing steps.

        Raises
        ------
        RowError
            There is no such sample.
        StoreError
            Plain arrays were trained on.
        """
        return self._held().provenance.trace(sample)

    def samples_from_source(
        self, uri: str | os.PathLike[str] | Source, rows: Iterable[int]
    ) -> ForgetSet:
        """Find the samples that came from rows of a source.

        Parameters
        ----------
        uri : str, path-like or Source
            The source: as it was loaded, its path, or its file name.
        rows : iterable of int
            Data rows, 0-based.

        Returns
        -------
        ForgetSet
            Every sample that any of the rows flowed into directly.

        Raises
        ------
        SourceError
            No source of the run is called that; the known ones are named.
        RowError
            The source doesn't have a row, or a row was not trained on (the message says at which
            step it was dropped).
        """
        samples, named = self._held().provenance.samples_of(uri, rows)
        return ForgetSet(samples, named, cast("GradientStore", self))

    def by_source(self, scores: Iterable[tuple[int, float]]) -> GroupScores:
        """Sum scores per source.

        Parameters
        ----------
        scores : InfluenceScores or iterable of (sample, score)
            What `compute_influence_scores` returned: the scores of *all* samples are summed,
            whatever its `top_k` was. Of plain pairs, such as `scores[:3]`, these pairs alone.

        Returns
        -------
        GroupScores
            A dict of source to sum, largest first, in the unit of the scores; its `shares`,
            `towards`, `against` and `counts` say what the sums consist of. A sample with rows in
            several sources counts in full for each, since taking out any takes the sample out.

        Raises
        ------
        RowError
            A pair's sample is none of this store.

        Examples
        --------
        >>> scores = compute_influence_scores(model, store, X_test[0])  # doctest: +SKIP
        >>> store.by_source(scores)  # doctest: +SKIP
        {credit_scores.csv: 1.73, north.csv: -0.21}
        """
        from traceprop.attribution.groups import sums_by_source

        return sums_by_source(self._held().provenance, scores)

    def by_file(self, scores: Iterable[tuple[int, float]]) -> GroupScores:
        """Sum scores per file, as `by_source` does per source: several queries share a database.

        Raises
        ------
        RowError
            A pair's sample is none of this store.
        """
        from traceprop.attribution.groups import sums_by_source

        return sums_by_source(self._held().provenance, scores, of_file=True)

    def by_step(self, scores: Iterable[tuple[int, float]]) -> GroupScores:
        """Sum scores per preprocessing step, as `by_source` does per source.

        A step's samples are those whose own values went through it. Where all rows take the same
        way, each step has them all; steps differ where ways part: a file that was clipped before it
        was joined with another, rows that were appended after a step.

        Parameters
        ----------
        scores : InfluenceScores or iterable of (sample, score)

        Returns
        -------
        GroupScores
            By the names that `steps` has; the second of a name is `clip (2)`.

        Raises
        ------
        RowError
            A pair's sample is none of this store.
        StoreError
            Plain arrays were trained on, or an erasure dropped the lineage.

        Examples
        --------
        >>> store.by_step(scores).shares  # doctest: +SKIP
        {'normalize': 1.0, 'clip': 0.31}
        """
        from traceprop.attribution.groups import sums_by_step

        return sums_by_step(self._held().provenance, scores)

    def by_column(self, scores: Iterable[tuple[int, float]], column: str) -> GroupScores:
        """Sum scores per value of a column of the sources, as `by_source` does per source.

        Parameters
        ----------
        scores : InfluenceScores or iterable of (sample, score)
        column : str
            A column that was loaded (`read_csv` loads them all), whether or not it was trained on.
            The source is read again, and must be as it was.

        Raises
        ------
        UnknownNameError
            No source has such a column; theirs are named.
        SourceError
            A source can't be read again, or has changed.

        Examples
        --------
        >>> store.by_column(scores, "region").shares  # doctest: +SKIP
        {'north': 0.61, 'south': 0.39}
        """
        from traceprop.attribution.groups import sums_by_column

        return sums_by_column(self._held().provenance, scores, column)

    def by_label(
        self, scores: Iterable[tuple[int, float]], labels: Sequence[Any] | NDArray[Any]
    ) -> GroupScores:
        """Sum scores per label of the samples, `labels[i]` being that of sample i.

        Raises
        ------
        DataError
            There isn't one label a sample.
        """
        from traceprop.attribution.groups import sums_by_label

        n_samples = len(self._held().record.inputs)
        return sums_by_label(n_samples, scores, labels)

    def check_model(self, model: nn.Module | Mapping[str, Any]) -> None:
        """Raise `StoreError` unless a model, or its state, has the run's final weights."""
        from traceprop.curvature.digest import model_digest

        recorded, given = self._held().record.model_digest, model_digest(model)
        if given != recorded:
            raise StoreError(
                f"{self.path} was recorded from another model: its weights have SHA-256 "
                f"{recorded[:12]}…, the given ones {given[:12]}…. Give the model as it was when "
                f"training ended, or the store of this one."
            )

    def verify(self, advance: Callable[[int], None] = lambda size: None) -> Verification:
        """Read every committed byte and hold it against its checksum.

        Parameters
        ----------
        advance : callable
            Told how many bytes were read, file by file.

        Returns
        -------
        Verification
            `ok`, and the problems by file and row.
        """
        with reporting_os_errors(self.path, "Reading"):
            return verify_store(self._folder, advance)

    def runs_from(self, model: nn.Module) -> tuple[str, ...]:
        """Name the runs that began with the weights that a model has now.

        Parameters
        ----------
        model : torch.nn.Module
            As training is about to go on with it.

        Returns
        -------
        tuple of str
            Their folders in the store; empty where none began so. A training that is resumed from
            there would be recorded twice, and its rows count twice.

        Examples
        --------
        >>> with TrainingContext(model, store) if not store.runs_from(model) else nullcontext():
        ...     train_one_epoch(model)  # doctest: +SKIP
        """
        from traceprop.attribution.capture.run_record import weights_of

        if self._run is None:
            return ()
        parts = self._run.manifest.parts
        start = starting_entry("", weights_of(model))
        return tuple(
            part.run
            for part in parts
            for entry in part.files
            if replace(entry, path=entry.path.removeprefix(part.run)) == start
        )

    def derived(self, name: str) -> Derived | None:
        """Return a file that was computed from these rows, by name; None where there is none."""
        return find_derived(self._folder, self._held().manifest, name)

    def __repr__(self) -> str:
        return f"GradientStore({str(self.path)!r}, k={self.k}, {self.n_samples} samples)"

    def _held(self) -> CommittedRun:
        if self._run is None and not self.path.exists():
            raise StoreError(
                f"There is no store at {self.path}: give the folder of one, or record it by "
                f"training inside `with TrainingContext(model, store)`."
            )
        if self._run is None:
            raise StoreError(
                f"{self.path} holds no run yet: train inside `with TrainingContext(model, store)`, "
                f"or give the folder of a store that holds one."
            )
        return self._run
