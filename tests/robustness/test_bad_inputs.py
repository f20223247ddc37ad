"""Each mistake that users make gets one clear error and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tests.e2e.main_job import Job, run_main_job
from tests.robustness.bad_inputs import BAD_INPUTS, BadInput, complaint
from traceprop.attribution import compute_influence_scores
from traceprop.cli import main
from traceprop.errors import StoreError
from traceprop.lineage import values


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return run_main_job(tmp_path_factory.mktemp("bad_inputs"))


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.what)
def test_one_clear_error_and_nothing_changed(case: BadInput, job: Job, tmp_path: Path):
    assert complaint(case, job, tmp_path / "case") is None


def test_same_architecture_with_other_weights_is_another_model(job: Job):
    other = torch.nn.Linear(job.X.shape[1], 2)
    with pytest.raises(StoreError, match="model"):
        compute_influence_scores(other, job.store, values(job.X)[0])


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "grad"],
        ["trace", "grad", "--row", "credit_scores.csv"],
        ["unlearn", "grad", "--source", "credit_scores.csv", "--rows", "many"],
        ["influence", "grad"],
        ["no-such-command"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_status_2(arguments: list[str], job: Job):
    command = [str(job.store.path) if word == "grad" else word for word in arguments]
    assert CliRunner().invoke(main, command).exit_code == 2
