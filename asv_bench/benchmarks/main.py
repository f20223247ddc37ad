"""The stations of the main job on the breast cancer table."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from tests.e2e.main_job import prepare, run_main_job
from traceprop.attribution import compute_influence_scores
from traceprop.lineage import values
from traceprop.unlearn import approximate_unlearn


class MainJob:
    """A trained job is made once; each benchmark takes one station of it."""

    timeout = 300

    def setup(self) -> None:
        torch.set_num_threads(1)
        self.folder = tempfile.TemporaryDirectory()
        self.job = run_main_job(Path(self.folder.name))
        self.input = values(self.job.X)[0]
        self.forget_set = self.job.store.samples_from_source(
            "credit_scores.csv", rows=next(iter(self.job.store.get_provenance(0).rows.values()))
        )

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_load_and_prepare(self) -> None:
        prepare(self.job.table)

    def time_influence(self) -> None:
        compute_influence_scores(self.job.model, self.job.store, self.input, top_k=5)

    def time_removal(self) -> None:
        approximate_unlearn(self.job.model, self.forget_set)
