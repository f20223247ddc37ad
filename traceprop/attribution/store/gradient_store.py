"""GradientStore: per-sample gradients on disk for good, and what they were computed from.

A folder holds one training run: a row of projected gradients per sample, the source rows that each
sample came from, and the run's record (data, loss, weights). Promises: a commit is all there or
not at all; opening reads one small file, the rest is memory-mapped when asked for; readers need no
lock, and a second writer is refused; a question never creates or changes a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.check import Verification, verify_store
from traceprop.attribution.store.committed import CommittedRun, newest_run
from traceprop.attribution.store.files import StoreFolder, reporting_os_errors
from traceprop.attribution.store.folder_state import inspect_folder
from traceprop.attribution.store.forget import ForgetSet
from traceprop.attribution.store.rows import StoredRows
from traceprop.attribution.store.rows_file import RowSink
from traceprop.attribution.store.run import ArrayRows, RowSource, Run
from traceprop.attribution.store.settings import settings_for
from traceprop.attribution.store.shards import Shard
from traceprop.attribution.store.writing import Writer
from traceprop.errors import StoreError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.projection import Projector
    from traceprop.attribution.store.record import TrainingRecord
    from traceprop.lineage import LineageGraph, ProvenanceTensor
    from traceprop.lineage.answers.trace import Trace
    from traceprop.lineage.source import Source


class GradientStore:
    """A store of per-sample gradients with their provenance.

    Parameters
    ----------
    k : int, optional
        The most numbers kept per sample; 4096 for a new store, what it was made with for an
        existing one.
    path : path-like
        The store's folder. A new one is made when a training context is entered, not before.
    dtype : {"float32", "float16", "int8"}, optional
        How the numbers are stored; float32 for a new store. int8 has a scale for each row, and
        takes a quarter of the room.
    seed : int, optional
        Seed of the projection; 0 for a new store.
    append : bool
        Add the next run to those that the folder holds. On the data of a run that is there, its
        rows add up with that one's; other data are samples of their own, numbered on.
    overwrite : bool
        Replace the run that the folder holds, once the new one is complete.

    Raises
    ------
    StoreError
        The folder is not a store, is of another schema, was made with another `k`, `dtype` or
        `seed`, or holds no whole manifest.

    Examples
    --------
    >>> store = GradientStore(k=4096, path="./grad/")  # doctest: +SKIP
    >>> with TrainingContext(model, store) as ctx:  # doctest: +SKIP
    ...     ctx.backward(criterion(model(Xb), yb))
    >>> store.get_provenance(12).trace_to_file()  # doctest: +SKIP
    'credit_scores.csv row 4821'
    """

    def __init__(
        self,
        k: int | None = None,
        path: str | os.PathLike[str] | None = None,
        *,
        dtype: str | None = None,
        seed: int | None = None,
        append: bool = False,
        overwrite: bool = False,
    ) -> None:
        if isinstance(k, str | os.PathLike):
            raise StoreError(
                f"k={os.fspath(k)!r} is no number of columns: give the folder as "
                f"path={os.fspath(k)!r}, or open a store that is there with GradientStore.open."
            )
        if path is None:
            raise StoreError("A store needs a folder: GradientStore(k=4096, path='./grad/').")
        if append and overwrite:
            raise StoreError("append=True keeps the runs that are there, overwrite=True doesn't.")
        self._folder = StoreFolder(path)
        self._writer = Writer(
            self._folder, "append" if append else "overwrite" if overwrite else "new"
        )
        with reporting_os_errors(self.path, "Reading"):
            found = inspect_folder(self._folder)
        self._run = None if overwrite else newest_run(self._folder, found)
        self._settings = settings_for(
            self.path, self._run.manifest if self._run else None, k, dtype, seed
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a store that holds a run.

        Parameters
        ----------
        path : path-like
            The store's folder.

        Raises
        ------
        StoreError
            There is none, or it can't be read.

        Examples
        --------
        >>> GradientStore.open("./grad/").n_samples  # doctest: +SKIP
        569
        """
        store = cls(path=path)
        store._held()
        return store

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

    def shards(self) -> tuple[Shard, ...]:
        """Return the rows as they are stored, one memory map a shard, for scans.

        Where `repeats`, a sample may have a row in several: they add up to its row.
        """
        return self._held().shards

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
        return ForgetSet(samples, named, self)

    def by_source(self, scores: Iterable[tuple[int, float]]) -> dict[Source, float]:
        """Sum scores per source.

        Parameters
        ----------
        scores : InfluenceScores or iterable of (sample, score)
            What `compute_influence_scores` returned: the scores of *all* samples are summed,
            whatever its `top_k` was. Of plain pairs, such as `scores[:3]`, these pairs alone.

        Returns
        -------
        dict of Source to float
            Largest first, in the unit of the scores. A sample with rows in several sources counts
            in full for each, since taking out any of them takes the sample out.

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
        return self._held().provenance.sums(scores)

    def check_model(self, model: nn.Module) -> None:
        """Raise `StoreError` unless a model has exactly the weights that the run ended with."""
        from traceprop.curvature.digest import model_digest

        recorded, given = self._held().record.model_digest, model_digest(model)
        if given != recorded:
            raise StoreError(
                f"{self.path} was recorded from another model: its weights have SHA-256 "
                f"{recorded[:12]}…, the given ones {given[:12]}…. Give the model as it was when "
                f"training ended, or the store of this one."
            )

    def verify(self) -> Verification:
        """Read every committed byte and hold it against its checksum.

        Returns
        -------
        Verification
            `ok`, and the problems by file and row.
        """
        with reporting_os_errors(self.path, "Reading"):
            return verify_store(self._folder)

    # ---- writing -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make ready for a commit: folder and writer's lock.

        Fails before hours of training rather than after.

        Raises
        ------
        StoreError
            The store already holds a run, another writer has it, or it can't be written.
        """
        self._writer.prepare()

    def row_sink(self, width: int, checkpoint: int | None = None) -> RowSink:
        """Return a place on disk to gather rows in while a run is recorded, for `commit_rows`.

        Parameters
        ----------
        width : int
            Numbers in a row.
        checkpoint : int, optional
            Which checkpoint the rows are of, where each has rows of its own.

        Raises
        ------
        StoreError
            As `prepare`, which is called first.
        """
        return self._writer.sink(width, checkpoint)

    def commit(
        self,
        gradients: NDArray[np.floating],
        sample_ids: NDArray[np.int64],
        projector: Projector,
        record: TrainingRecord,
        tensors: Sequence[ProvenanceTensor] | None,
    ) -> None:
        """Store a run whose gradients are in memory: `commit_rows` of them.

        Parameters
        ----------
        gradients : ndarray, shape (n, width)
            Projected gradients, one row a sample.
        sample_ids : ndarray of int64, shape (n,)
            The samples, rows of the training tensors.
        projector, record, tensors
            As in `commit_rows`.
        """
        self.commit_rows([ArrayRows(gradients, sample_ids)], projector, record, tensors)

    def commit_rows(
        self,
        rows: Sequence[RowSource],
        projector: Projector,
        record: TrainingRecord,
        tensors: Sequence[ProvenanceTensor] | None,
    ) -> None:
        """Store a run, all of it or nothing, and give the writer's lock back.

        Parameters
        ----------
        rows : sequence of RowSource
            Its rows; several where each checkpoint has rows of its own.
        projector : Projector
            The map that the gradients went through.
        record : TrainingRecord
            The run.
        tensors : sequence of ProvenanceTensor or None
            The training tensors, inputs first; None where plain arrays were trained on.

        Raises
        ------
        DataError
            A gradient isn't finite, or the arguments are out of step.
        StoreError
            As `prepare`, or the disk refused. What was there before is untouched.
        """
        run = Run(tuple(rows), projector, record, tuple(tensors or ()))
        self._run = CommittedRun(self._folder, self._writer.commit(self._settings, run))
        if self._writer.mode == "overwrite":
            self._writer.mode = "new"

    def close(self) -> None:
        """Give the writer's lock back, if this object holds it. Reading goes on."""
        self._writer.close()

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
