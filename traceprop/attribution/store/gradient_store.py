"""GradientStore: per-sample gradients on disk for good, and what they were computed from.

A folder holds one training run: a row of projected gradients per sample, the source rows that each
sample came from, and the run's record (data, loss, weights). Promises: a commit is all there or
not at all; opening reads one small file, the rest is memory-mapped when asked for; readers need no
lock, and a second writer is refused; a question never creates or changes a file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.changes import Changes
from traceprop.attribution.store.changing.replacing import replace_rows
from traceprop.attribution.store.committed import CommittedRun, newest_run
from traceprop.attribution.store.committing.ranks import this_rank
from traceprop.attribution.store.erasure.holds import warn_of_purge
from traceprop.attribution.store.folder.files import StoreFolder, reporting_os_errors
from traceprop.attribution.store.folder.folder_state import inspect_folder
from traceprop.attribution.store.folder.settings import settings_for
from traceprop.attribution.store.rows.row_source import ArrayRows, RowSource
from traceprop.attribution.store.rows.rows_file import RowSink
from traceprop.attribution.store.run.run import Run
from traceprop.attribution.store.writing import Mode, Writer
from traceprop.errors import StoreError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.projection import Projector
    from traceprop.attribution.store.run.checkpoint_weights import Checkpoint
    from traceprop.attribution.store.run.record import TrainingRecord
    from traceprop.lineage import ProvenanceTensor


class GradientStore(Changes):
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
    rank, world_size : int, optional
        Which of how many processes this one is, where several record one run; by default what
        torchrun's environment says. Each writes its own shards, and rank 0 commits them all. Rows
        that several ranks have of one sample add up.

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
        rank: int | None = None,
        world_size: int | None = None,
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
        folder = StoreFolder(path)
        mode: Mode = "append" if append else "overwrite" if overwrite else "new"
        writer = Writer(folder, mode, this_rank(rank, world_size))
        with reporting_os_errors(folder.root, "Reading"):
            found = inspect_folder(folder)
        found = writer.finished(found)
        warn_of_purge(folder.root)
        run = None if overwrite else newest_run(folder, found)
        settings = settings_for(folder.root, run.manifest if run else None, k, dtype, seed)
        super().__init__(folder, run, settings, writer)

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

    # ---- writing -----------------------------------------------------------------------------

    @property
    def world_size(self) -> int:
        """How many processes record a run into the store together."""
        return self._writer.world_size

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
        checkpoints: Sequence[Checkpoint] = (),
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
        checkpoints : sequence of Checkpoint
            The model on its way, where it is to be kept.

        Raises
        ------
        DataError
            A gradient isn't finite, or the arguments are out of step.
        StoreError
            As `prepare`, or the disk refused. What was there before is untouched.
        """
        run = Run(tuple(rows), projector, record, tuple(tensors or ()), tuple(checkpoints))
        self._run = CommittedRun(self._folder, self._writer.commit(self._settings, run))
        if self._writer.mode == "overwrite":
            self._writer.mode = "new"

    def refresh(self, model: nn.Module, data: Any = None, loss: Any = None) -> None:
        """Compute the rows again at the weights that training ended with, in one pass.

        A row is then the gradient of the sample's loss at these weights, whatever was recorded
        on the way; the rest of the store stays.

        Parameters
        ----------
        model : torch.nn.Module
            The model as training ended.
        data : SampleDataset or (inputs, targets), optional
            What it was trained on, row i being sample i; by default as the store recorded it.
        loss : LossSpec, torch loss object or callable, optional
            The loss, or (outputs, targets) -> one value a sample; by default the recorded one.

        Raises
        ------
        StoreError
            The model is another, the store holds several runs, or it can't be written.
        CaptureError
            The data are others, or the loss isn't known.
        """
        from traceprop.attribution.capture.refresh import RefreshedRows

        rows = RefreshedRows(self, model, data, loss)
        with self._writer.changing() as before:
            self._run = CommittedRun(self._folder, replace_rows(self._folder, before, rows))

    def close(self) -> None:
        """Give the writer's lock back, if this object holds it. Reading goes on."""
        self._writer.close()
