"""The main job on real tables, its answers checked against plain NumPy and exact retraining."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import traceprop as tp
from tests.e2e.main_job import (
    PENALTY,
    SECOND_PROCESS,
    Job,
    borderline_input,
    plain_preparation,
    prepare,
    run_main_job,
    train,
)
from tests.naive.retrain import leave_one_out_margins
from traceprop.attribution import GradientStore, TrainingContext, compute_influence_scores
from traceprop.compliance.verify import verify
from traceprop.lineage import values
from traceprop.unlearn import approximate_unlearn, export_compliance, record


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return run_main_job(tmp_path_factory.mktemp("main_job"))


def test_lineage_names_exactly_the_rows_that_pass_the_filter(job: Job):
    X_plain, _, rows = plain_preparation(job.table)
    ((source, traced),) = job.X.sources().items()
    assert str(source) == "credit_scores.csv"
    assert traced.to_numpy().tolist() == rows.tolist()
    assert [str(step) for step in job.X.ops()] == ["normalize", "row_filter"]
    np.testing.assert_array_equal(values(job.X), X_plain)
    for i in (0, 7, len(rows) - 1):
        assert list(job.X[i].trace().rows[source]) == [rows[i]]


def test_each_sample_is_traced_to_its_own_line_of_the_file(job: Job):
    _, _, rows = plain_preparation(job.table)
    assert job.store.n_samples == len(rows)
    for sample, row in enumerate(rows):
        trace = job.store.get_provenance(sample)
        assert trace.trace_to_file() == f"credit_scores.csv row {row}"
        assert (
            str(trace) == f"credit_scores.csv row {row} (line {row + 2}) · normalize → row_filter"
        )


def test_scores_agree_with_exact_leave_one_out_retraining(job: Job):
    X_plain, y_plain, rows = plain_preparation(job.table)
    declined = borderline_input(X_plain)
    scores = compute_influence_scores(job.model, job.store, declined, top_k=job.store.n_samples)
    chosen = np.random.default_rng(0).choice(len(rows), 30, replace=False)
    sampled = list(dict.fromkeys([scores[0][0], *chosen.tolist()]))
    by_sample = dict(scores)
    exact = leave_one_out_margins(X_plain, y_plain, declined, sampled, penalty=PENALTY)
    approximate = np.array([by_sample[sample] for sample in sampled])
    assert np.corrcoef(approximate, exact)[0, 1] > 0.98
    assert sampled[int(np.argmax(exact))] == scores[0][0]


def test_gradients_are_the_same_without_zero_grad(tmp_path: Path, job: Job):
    """A forgotten `zero_grad` changes the training; what is recorded of each step stays right."""
    X, y = prepare(job.table)
    data = tp.torch.dataset(X, y)
    model = torch.nn.Linear(X.shape[1], 2)
    rows = {}
    for zero_grad in (True, False):
        store = GradientStore(k=4096, path=tmp_path / str(zero_grad))
        with TrainingContext(model, store) as ctx:
            for Xb, yb in DataLoader(data, batch_size=16):
                if zero_grad:
                    model.zero_grad()
                ctx.backward(torch.nn.functional.cross_entropy(model(Xb), yb))
        rows[zero_grad] = np.array(store.gradients)
    np.testing.assert_array_equal(rows[True], rows[False])


def test_removal_ends_with_a_certificate_that_verifies(job: Job, tmp_path: Path):
    (row,) = next(iter(job.store.get_provenance(5).rows.values()))
    forget_set = job.store.samples_from_source("credit_scores.csv", rows=[row])
    assert list(forget_set) == [5]
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    theta_prime = approximate_unlearn(job.model, forget_set)
    for old, parameter in zip(before, job.model.parameters(), strict=True):
        assert torch.equal(old, parameter)
    assert record(theta_prime).removal_class == "exact-convex"
    assert record(theta_prime).n_forget == 1
    report = export_compliance(
        model_before=job.model,
        model_after=theta_prime,
        forget_set=forget_set,
        store=job.store,
        regulation="EU_AI_ACT_ART26",
    )
    report.save(tmp_path / "article26_cert.json")
    assert verify(tmp_path / "article26_cert.json").ok


def test_a_second_process_gives_the_same_answers(job: Job, tmp_path: Path):
    test_input = values(job.X)[3]
    np.save(tmp_path / "input.npy", test_input)
    scores = compute_influence_scores(job.model, job.store, test_input, top_k=5)
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, str(job.store.path), str(tmp_path / "input.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    answered = json.loads(done.stdout)
    assert [(sample, text) for sample, _, text in answered] == [
        (sample, str(job.store.get_provenance(sample))) for sample, _ in scores
    ]
    np.testing.assert_allclose([s for _, s, _ in answered], [s for _, s in scores], rtol=1e-9)


def test_german_credit_through_a_table(shared_data: Path, tmp_path: Path):
    """Mixed types, no header: codes become columns, and every sample keeps its line of the file."""
    path = shared_data / "german.data"
    names = [f"a{i}" for i in range(1, 21)] + ["risk"]
    table = tp.read_csv(path, delimiter=" ", header=False, columns=names)
    X = table.to_tensor(names[:-1])
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = table["a2"] > 12
    X_filt, y_filt = X_norm[kept], (table["risk"] - 1)[kept]

    rows = [i for i, line in enumerate(path.read_text().splitlines()) if int(line.split()[1]) > 12]
    ((_, traced),) = X_filt.sources().items()
    assert list(traced) == rows

    job = train(X_filt, y_filt, path, tmp_path, epochs=8)
    scores = compute_influence_scores(job.model, job.store, values(X_filt)[0], top_k=3)
    for sample, _ in scores:
        trace = job.store.get_provenance(sample)
        assert trace.trace_to_file() == f"german.data row {rows[sample]}"
        assert f"(line {rows[sample] + 1})" in str(trace)
    forget_set = job.store.samples_from_source("german.data", rows=[rows[scores[0][0]]])
    assert list(forget_set) == [scores[0][0]]
    assert record(approximate_unlearn(job.model, forget_set)).n_retain == len(rows) - 1
