"""The main job on rows of a database: from a query to a certificate, every row by its key."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

import traceprop as tp
from tests.e2e.main_job import borderline_input, train
from traceprop.attribution import GradientStore, compute_influence_scores
from traceprop.compliance.verify import verify
from traceprop.lineage import values
from traceprop.unlearn import approximate_unlearn, export_compliance


def write_database(path: Path) -> None:
    """scikit-learn's breast cancer table, with customer numbers."""
    data = load_breast_cancer()
    columns = ", ".join(f"f{i} REAL" for i in range(data.data.shape[1]))
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE scores (customer INTEGER, {columns}, label INTEGER)")
        rows = zip(data.data.tolist(), data.target.tolist(), strict=True)
        connection.executemany(
            f"INSERT INTO scores VALUES ({', '.join('?' * (data.data.shape[1] + 2))})",
            [(5000 + 7 * i, *features, label) for i, (features, label) in enumerate(rows)],
        )
    connection.close()


def test_a_decision_is_followed_to_keys_and_a_removal_is_certified(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    write_database(path)
    table = tp.load_sql("SELECT * FROM scores", path, key="customer")
    X, y = table[:, :-1], table[:, -1]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = X[:, 3] > 0
    job = train(X[kept], y[kept], path, tmp_path, epochs=5)

    store = GradientStore(path=tmp_path / "grad")
    z = borderline_input(values(job.X)).astype(np.float32)
    ((sample, _),) = compute_influence_scores(job.model, store, z, top_k=1)
    trace = store.get_provenance(sample)
    (row,) = next(iter(trace.rows.values()))
    assert str(trace).startswith(f"scores (bank.db) row {row} (customer={5000 + 7 * row})")
    assert trace.verify().unchanged

    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM scores WHERE customer = ?", (5000 + 7 * row,))
    connection.close()
    (verdict,) = GradientStore(path=tmp_path / "grad").get_provenance(sample).verify()
    assert verdict.state == "gone"

    forget_set = store.samples_from_source("scores (bank.db)", rows=[row])
    assert list(forget_set) == [sample]
    report = export_compliance(
        model_before=job.model,
        model_after=approximate_unlearn(job.model, forget_set),
        forget_set=forget_set,
        store=store,
        regulation="GDPR_ART17",
    )
    report.save(tmp_path / "certificate.json")
    assert verify(tmp_path / "certificate.json").ok
    envelope = json.loads((tmp_path / "certificate.json").read_text())
    statement = base64.b64decode(envelope["payload"]).decode()
    assert "bank.db;query=" in statement
    assert str(5000 + 7 * row) not in statement  # a key is personal: no certificate has it
