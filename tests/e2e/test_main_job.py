"""The main job as a user writes it, on real tables, checked against plain NumPy."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch.utils.data import DataLoader

import traceprop as tp
from tests.naive.retrain import leave_one_out_margins
from traceprop.attribution import GradientStore, TrainingContext, compute_influence_scores
from traceprop.compliance.verify import verify
from traceprop.unlearn import approximate_unlearn, export_compliance, record

PENALTY = 1e-2


@pytest.fixture(autouse=True)
def own_signing_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """Keep the tests' keys out of the home folder of whoever runs them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.delenv("TRACEPROP_SIGNING_KEY", raising=False)


@pytest.fixture(scope="module")
def credit_scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's breast cancer table with a real header, under the program's file name."""
    data = load_breast_cancer()
    path = tmp_path_factory.mktemp("main_job") / "credit_scores.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "label"])
        for features, label in zip(data.data, data.target, strict=True):
            writer.writerow([*map(repr, features.tolist()), int(label)])
    return path


@dataclass
class Job:
    """What the program below leaves behind."""

    model: torch.nn.Module
    store: GradientStore
    X: tp.ProvenanceTensor
    y: tp.ProvenanceTensor
    folder: Path


def train(X_filt, y_filt, folder: Path, epochs: int, zero_grad: bool = True) -> Job:
    """The program's training loop, to the optimum of a penalised softmax classifier."""
    torch.manual_seed(0)
    loader = DataLoader(tp.torch.dataset(X_filt, y_filt), batch_size=32, shuffle=True)
    model = torch.nn.Linear(X_filt.shape[1], 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=PENALTY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    criterion = torch.nn.CrossEntropyLoss()
    store = GradientStore(k=4096, path=folder / "grad")
    with TrainingContext(model, store) as ctx:
        for _ in range(epochs):
            for i, (Xb, yb) in enumerate(loader):
                if zero_grad:
                    optimizer.zero_grad()
                ctx.backward(criterion(model(Xb), yb), batch_idx=i)
                optimizer.step()
            schedule.step()
    return Job(model, store, X_filt, y_filt, folder)


@pytest.fixture(scope="module")
def job(credit_scores: Path) -> Job:
    table = tp.load_csv(credit_scores)
    X, y = table[:, :-1], table[:, -1]
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = X_norm[:, 3] > 0
    X_filt, y_filt = X_norm[kept], y[kept]
    return train(X_filt, y_filt, credit_scores.parent, epochs=60)


def plain_preparation(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same preparation without Traceprop: features, labels and the rows that pass."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    X, y = table[:, :-1], table[:, -1]
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    rows = np.flatnonzero(X_norm[:, 3] > 0)
    return X_norm[rows], y[rows], rows


def test_lineage_names_exactly_the_rows_that_pass_the_filter(job: Job, credit_scores: Path):
    X_plain, _, rows = plain_preparation(credit_scores)
    (source,) = job.X.sources()
    assert str(source) == "credit_scores.csv"
    assert job.X.sources()[source].to_numpy().tolist() == rows.tolist()
    assert [str(step) for step in job.X.ops()] == ["normalize", "row_filter"]
    np.testing.assert_array_equal(tp.lineage.values(job.X), X_plain)
    for i in (0, 7, len(rows) - 1):
        assert job.X[i].trace().rows[source].to_numpy().tolist() == [rows[i]]


def test_each_sample_is_traced_to_its_own_line_of_the_file(job: Job, credit_scores: Path):
    _, _, rows = plain_preparation(credit_scores)
    assert job.store.n_samples == len(rows)
    for sample, row in enumerate(rows):
        trace = job.store.get_provenance(sample)
        assert trace.trace_to_file().startswith(f"credit_scores.csv row {row}")
        assert str(trace) == f"credit_scores.csv row {row} (line {row + 2}) · normalize → row_filter"


def test_scores_agree_with_exact_leave_one_out_retraining(job: Job, credit_scores: Path):
    X_plain, y_plain, rows = plain_preparation(credit_scores)
    declined = X_plain[np.argmin(np.abs(X_plain @ np.ones(X_plain.shape[1])))]
    scores = compute_influence_scores(
        job.model, job.store, declined, top_k=job.store.n_samples
    )
    sampled = [scores[0][0], *np.random.default_rng(0).choice(len(rows), 30, replace=False)]
    sampled = list(dict.fromkeys(int(sample) for sample in sampled))
    by_sample = dict(scores)
    exact = leave_one_out_margins(X_plain, y_plain, declined, sampled, penalty=PENALTY)
    approximate = np.array([by_sample[sample] for sample in sampled])
    assert np.corrcoef(approximate, exact)[0, 1] > 0.98
    assert sampled[int(np.argmax(exact))] == scores[0][0]


def test_gradients_are_the_same_without_zero_grad(tmp_path: Path, credit_scores: Path):
    """A forgotten `zero_grad` changes the training; what is recorded of each step stays right."""
    table = tp.load_csv(credit_scores)
    X, y = table[:64, :-1] / 100, table[:64, -1]
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
    row = int(next(iter(job.store.get_provenance(5).rows.values())).to_numpy()[0])
    forget_set = job.store.samples_from_source("credit_scores.csv", rows=[row])
    assert list(forget_set) == [5]
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    theta_prime = approximate_unlearn(job.model, forget_set)
    for old, parameter in zip(before, job.model.parameters(), strict=True):
        assert torch.equal(old, parameter)
    done = record(theta_prime)
    assert done.removal_class == "exact-convex"
    assert done.n_forget == 1
    report = export_compliance(
        model_before=job.model,
        model_after=theta_prime,
        forget_set=forget_set,
        store=job.store,
        regulation="EU_AI_ACT_ART26",
    )
    certificate = tmp_path / "article26_cert.json"
    report.save(certificate)
    assert verify(certificate).ok


def test_a_second_process_gives_the_same_answers(job: Job, tmp_path: Path):
    X_plain = tp.lineage.values(job.X)
    scores = compute_influence_scores(job.model, job.store, X_plain[3], top_k=5)
    expected = [
        [int(sample), score, str(job.store.get_provenance(sample))] for sample, score in scores
    ]
    np.save(tmp_path / "input.npy", X_plain[3])
    program = """
import json, sys
import numpy as np
from traceprop.attribution import GradientStore, compute_influence_scores
from traceprop.attribution.restore import restore_model
store = GradientStore(path=sys.argv[1])
model = restore_model(store)
scores = compute_influence_scores(model, store, np.load(sys.argv[2]), top_k=5)
print(json.dumps([[int(s), v, str(store.get_provenance(s))] for s, v in scores]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(job.folder / "grad"), str(tmp_path / "input.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    answered = json.loads(done.stdout)
    assert [[s, t] for s, _, t in answered] == [[s, t] for s, _, t in expected]
    np.testing.assert_allclose([v for _, v, _ in answered], [v for _, v, _ in expected], rtol=1e-6)


def test_german_credit_through_a_table(shared_data: Path, tmp_path: Path):
    """Mixed types, no header: codes become columns, and every sample keeps its line of the file."""
    names = [f"a{i}" for i in range(1, 21)] + ["risk"]
    table = tp.read_csv(shared_data / "german.data", delimiter=" ", header=False, columns=names)
    X = table.to_tensor(names[:-1])
    y = table["risk"] - 1
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = table["a2"] > 12
    X_filt, y_filt = X_norm[kept], y[kept]

    lines = (shared_data / "german.data").read_text().splitlines()
    rows = [i for i, line in enumerate(lines) if int(line.split()[1]) > 12]
    (source,) = X_filt.sources()
    assert X_filt.sources()[source].to_numpy().tolist() == rows

    job = train(X_filt, y_filt, tmp_path, epochs=8)
    scores = compute_influence_scores(
        job.model, job.store, tp.lineage.values(X_filt)[0], top_k=3
    )
    for sample, _ in scores:
        trace = job.store.get_provenance(sample)
        assert trace.trace_to_file().startswith(f"german.data row {rows[sample]}")
        assert f"(line {rows[sample] + 1})" in str(trace)
    forget_set = job.store.samples_from_source("german.data", rows=[rows[scores[0][0]]])
    assert list(forget_set) == [scores[0][0]]
    unlearned = approximate_unlearn(job.model, forget_set)
    assert record(unlearned).n_retain == len(rows) - 1
