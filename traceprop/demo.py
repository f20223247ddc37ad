"""`traceprop demo`: the main job on real data, from a CSV on disk to a verified certificate.

Every figure that it prints is computed while it runs. The data is scikit-learn's copy of the
Wisconsin breast cancer table (569 rows, 30 measurements), or a CSV of the user's own whose last
column is the label.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from traceprop.errors import DataError, TracepropError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from traceprop.attribution import GradientStore
    from traceprop.lineage import ProvenanceTensor

EPOCHS = 60
LEARNING_RATE = 0.5
WEIGHT_DECAY = 1e-2
ROWS_TO_REMOVE = 3

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Prepared:
    """The training tensors of the demo, and one held-out row prepared the same way."""

    X: ProvenanceTensor
    y: ProvenanceTensor
    applicant: np.ndarray
    applicant_row: int


def run_demo(folder: Path, csv_path: Path | None, say: Say) -> None:
    """Run the main job into a folder: store, certificate and the commands to go on with.

    Parameters
    ----------
    folder : Path
        Where the table, the store and the certificate go. Made if it isn't there.
    csv_path : Path or None
        A numeric CSV with a header whose last column holds whole-number classes; None for the
        built-in table.
    say : callable
        Takes each line of the report.

    Raises
    ------
    DataError
        The label column has no classes to predict, or too few rows pass the filter.
    TracepropError
        scikit-learn is not there and no CSV was given, or the folder already holds a store.
    """
    import torch

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    table_path = csv_path if csv_path is not None else _write_breast_cancer(folder)
    prepared = _prepare(table_path, say)
    model, store = _train(prepared, folder)
    _answer(model, store, prepared, say)
    rows = _rows_to_remove(model, store, prepared)
    _remove(model, store, table_path, rows, prepared, folder, say)
    say(
        f"\nGo on with:\n"
        f"  traceprop trace {folder}/grad --sample 0\n"
        f"  traceprop influence {folder}/grad --input {folder}/applicant.csv\n"
        f"  traceprop unlearn {folder}/grad --source {table_path.name} --rows {rows[0]}\n"
        f"  traceprop verify {folder}/certificate.json"
    )


def _write_breast_cancer(folder: Path) -> Path:
    """Write scikit-learn's breast cancer table with a real header; the last column is the label."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as missing:
        raise TracepropError(
            "The demo's table comes with scikit-learn, which is not installed: install "
            "scikit-learn, or give a table of your own with --csv."
        ) from missing
    data = load_breast_cancer()
    path = folder / "breast_cancer.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(name.replace(" ", "_") for name in data.feature_names), "benign"])
        for features, label in zip(data.data, data.target, strict=True):
            writer.writerow([*map(repr, features.tolist()), int(label)])
    return path


def _prepare(path: Path, say: Say) -> _Prepared:
    """Load, normalise and filter with ordinary NumPy code; hold the last row out as the applicant."""
    import traceprop as tp
    from traceprop.lineage import values

    table = tp.load_csv(path)
    if table.shape[0] < 20 or table.shape[1] < 2:
        raise DataError(f"{path.name} has {table.shape} cells: too few to train on.")
    applicant_row = table.shape[0] - 1
    X, y = table[:-1, :-1], table[:-1, -1]
    mean, std = X.mean(axis=0), X.std(axis=0)
    X_norm = (X - mean) / std
    kept = X_norm[:, 0] > -1
    X_filt, y_filt = X_norm[kept], y[kept]
    say(f"Loaded {path.name}: {table.shape[0]} rows, {table.shape[1]} columns.")
    say(f"Training tensor: {X_filt.shape}, steps {X_filt.ops()}, rows {X_filt.sources()}")
    applicant = (values(table)[-1, :-1] - values(mean)) / values(std)
    return _Prepared(X_filt, y_filt, applicant.astype(np.float32), applicant_row)


def _train(prepared: _Prepared, folder: Path) -> tuple[nn.Module, GradientStore]:
    """Train a softmax classifier in the ordinary loop, recording per-sample gradients."""
    import torch
    from torch.utils.data import DataLoader
    from tqdm import trange

    import traceprop as tp
    from traceprop.attribution import GradientStore, TrainingContext

    data = tp.torch.dataset(prepared.X, prepared.y)
    loader = DataLoader(data, batch_size=32, shuffle=True)
    classes = int(data.targets.max()) + 1
    model = torch.nn.Linear(prepared.X.shape[1], classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    criterion = torch.nn.CrossEntropyLoss()
    store = GradientStore(k=4096, path=folder / "grad")
    with TrainingContext(model, store) as context:
        for _ in trange(EPOCHS, desc="training", unit="epoch", leave=False):
            for i, (Xb, yb) in enumerate(loader):
                optimizer.zero_grad()
                context.backward(criterion(model(Xb), yb), batch_idx=i)
                optimizer.step()
            schedule.step()
    _write_applicant(folder / "applicant.csv", prepared)
    return model, store


def _write_applicant(path: Path, prepared: _Prepared) -> None:
    """Keep the prepared applicant as a CSV, so that another process can ask about it."""
    columns = prepared.X.columns or [f"x{i}" for i in range(len(prepared.applicant))]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerow([repr(float(value)) for value in prepared.applicant])


def _margin(model: nn.Module, applicant: np.ndarray, decided: int) -> float:
    """Logit of the decided class minus the log-sum-exp of the others."""
    import torch

    with torch.no_grad():
        logits = model(torch.from_numpy(applicant)[None])[0]
    others = torch.cat([logits[:decided], logits[decided + 1 :]])
    return float(logits[decided] - torch.logsumexp(others, 0))


def _decision(model: nn.Module, applicant: np.ndarray) -> int:
    import torch

    with torch.no_grad():
        return int(model(torch.from_numpy(applicant)[None]).argmax())


def _answer(model: nn.Module, store: GradientStore, prepared: _Prepared, say: Say) -> None:
    """Print the audit answer: the training rows that drove the applicant's decision."""
    from traceprop.attribution import compute_influence_scores

    decided = _decision(model, prepared.applicant)
    margin = _margin(model, prepared.applicant, decided)
    say(
        f"\nThe model decided class {decided} for held-out row {prepared.applicant_row} "
        f"(margin {margin:+.4f}). The rows that pushed it there most:"
    )
    for sample, score in compute_influence_scores(model, store, prepared.applicant, top_k=5):
        say(f"  {score:+.5f}  {store.get_provenance(sample)}")


def _rows_to_remove(model: nn.Module, store: GradientStore, prepared: _Prepared) -> list[int]:
    """Source rows of the samples that pushed the decision most."""
    from traceprop.attribution import compute_influence_scores

    scores = compute_influence_scores(model, store, prepared.applicant, top_k=ROWS_TO_REMOVE)
    return [
        int(row)
        for sample, _ in scores
        for rows in store.get_provenance(sample).rows.values()
        for row in rows
    ]


def _remove(
    model: nn.Module,
    store: GradientStore,
    table: Path,
    rows: list[int],
    prepared: _Prepared,
    folder: Path,
    say: Say,
) -> None:
    """Take rows out of the model, sign the certificate, and check it as a stranger would."""
    from traceprop.attribution import compute_influence_scores
    from traceprop.compliance.verify import verify
    from traceprop.unlearn import approximate_unlearn, export_compliance, record

    decided = _decision(model, prepared.applicant)
    before = _margin(model, prepared.applicant, decided)
    forget_set = store.samples_from_source(table, rows=rows)
    removed = {int(sample) for sample in forget_set}
    scores = compute_influence_scores(model, store, prepared.applicant, top_k=store.n_samples)
    predicted = -sum(score for sample, score in scores if sample in removed)

    unlearned = approximate_unlearn(model, forget_set)
    after = _margin(unlearned, prepared.applicant, decided)
    done = record(unlearned)
    say(f"\nRemoved {table.name} rows {', '.join(map(str, rows))}: {done.removal_class}")
    say(f"  {done.reason}")
    say(f"  margin {before:+.4f} → {after:+.4f} (scores predicted a change of {predicted:+.4f})")

    report = export_compliance(
        model_before=model,
        model_after=unlearned,
        forget_set=forget_set,
        store=store,
        regulation="EU_AI_ACT_ART26",
    )
    certificate = folder / "certificate.json"
    report.save(certificate)
    verdict = verify(certificate)
    say(f"\nCertificate: {certificate}\n  {verdict.reason}")
