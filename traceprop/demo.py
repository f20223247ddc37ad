"""`traceprop demo`: the main job on real data, from a CSV on disk to a verified certificate.

Every figure that it prints is computed while it runs. The data is scikit-learn's copy of the
Wisconsin breast cancer table (569 rows, 30 measurements), or a CSV of the user's own whose last
column is the label.
"""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from traceprop.errors import DataError, TracepropError
from traceprop.lazy import needing_extras

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from traceprop.attribution import GradientStore
    from traceprop.lineage import ProvenanceTensor

EPOCHS = 100
BATCH_SIZE = 50
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-2
HELD_OUT = 0.2
ROWS_NAMED = 5
ROWS_REMOVED = 3

_BUILT_IN = "breast_cancer.csv"
_WRITTEN = ("grad", "applicant.csv", "certificate.json")

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Prepared:
    """The training tensors, and the held-out rows prepared with the training rows' statistics."""

    table: Path
    X: ProvenanceTensor
    y: ProvenanceTensor
    held_out: NDArray[np.float32]
    first_held_out: int


@dataclass(frozen=True)
class _Decision:
    """The decision to explain: a held-out row, and the class that the model gave it."""

    row: int
    inputs: NDArray[np.float32]
    decided: int

    def margin(self, model: nn.Module) -> float:
        """Logit of the decided class minus the log-sum-exp of the others."""
        logits = _logits(model, self.inputs[None])[0]
        return float(logits[self.decided] - np.logaddexp.reduce(np.delete(logits, self.decided)))


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
        The label column has no classes to predict, or there are too few rows.
    TracepropError
        The folder already holds a demo's files; nothing is changed then.
    MissingExtraError
        torch is not there, or scikit-learn isn't and no CSV was given.
    """
    with needing_extras():
        import torch

    _refuse_used(folder, [*_WRITTEN, *([] if csv_path else [_BUILT_IN])])
    torch.manual_seed(0)
    prepared = _prepare(csv_path if csv_path is not None else _write_breast_cancer(folder))
    say(f"Training tensor: {prepared.X.shape}, steps {prepared.X.ops()}")
    say(f"from {prepared.X.sources()}")
    model, store = _train(prepared, folder)
    decision = _closest_refusal(model, prepared)
    _write_input(folder / "applicant.csv", decision, store)
    rows, predicted = _answer(model, store, decision, say)
    _remove(model, store, decision, prepared.table, rows, predicted, folder, say)
    name, grad = prepared.table.name, folder / "grad"
    say("\nGo on with:")
    for command in (
        ["trace", grad, "--row", f"{name}:{rows[0]}"],
        ["influence", grad, "--input", folder / "applicant.csv"],
        ["unlearn", grad, "--source", name, "--rows", rows[0]],
        ["verify", folder / "certificate.json"],
    ):
        say(f"  traceprop {shlex.join(map(str, command))}")


def _refuse_used(folder: Path, names: list[str]) -> None:
    """Refuse a folder with an earlier run's files before anything is written into it."""
    for name in names:
        if (folder / name).exists():
            raise TracepropError(
                f"{folder} already holds {name}: name another folder with --out, or remove the "
                "earlier run's files."
            )


def _write_breast_cancer(folder: Path) -> Path:
    """Write scikit-learn's breast cancer table with a real header; the last column is the label."""
    with needing_extras():
        from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _BUILT_IN
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(name.replace(" ", "_") for name in data.feature_names), "benign"])
        for features, label in zip(data.data, data.target, strict=True):
            writer.writerow([*map(repr, features.tolist()), int(label)])
    return path


def _prepare(path: Path) -> _Prepared:
    """Load, normalise and filter with ordinary NumPy code; hold out the last fifth of the rows."""
    import traceprop as tp
    from traceprop.lineage import values

    table = tp.load_csv(path)
    n_train = round(len(table) * (1 - HELD_OUT))
    if n_train < 20 or table.shape[1] < 2:
        raise DataError(
            f"{path.name} has {table.shape[0]} rows and {table.shape[1]} columns: too few to train "
            "on. Give a table with at least 25 rows, some features and a label."
        )
    X, y = table[:n_train, :-1], table[:n_train, -1]
    mean, std = X.mean(axis=0), X.std(axis=0)
    constant = np.flatnonzero(values(std) == 0)
    if constant.size:
        name = (table.columns or range(table.shape[1]))[constant[0]]
        raise DataError(
            f"{path.name}, column {name!r}, has one value in all {n_train} training rows, so it "
            "can't be normalised: leave the column out of the table."
        )
    X_norm = (X - mean) / std
    kept = X_norm[:, 0] > -1
    held_out = (values(table)[n_train:, :-1] - values(mean)) / values(std)
    return _Prepared(path, X_norm[kept], y[kept], held_out.astype(np.float32), n_train)


def _train(prepared: _Prepared, folder: Path) -> tuple[nn.Module, GradientStore]:
    """Train a softmax classifier in the ordinary loop, recording per-sample gradients."""
    import torch
    from torch.utils.data import DataLoader
    from tqdm import trange

    import traceprop as tp
    from traceprop.attribution import GradientStore, TrainingContext

    data = tp.torch.dataset(prepared.X, prepared.y)
    loader = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
    model = torch.nn.Linear(prepared.X.shape[1], _number_of_classes(prepared))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    criterion = torch.nn.CrossEntropyLoss()
    store = GradientStore(k=4096, path=folder / "grad")
    with TrainingContext(model, store) as context:
        for _ in trange(EPOCHS, desc="training", unit="epoch", leave=False, disable=None):
            for i, (Xb, yb) in enumerate(loader):
                optimizer.zero_grad()
                context.backward(criterion(model(Xb), yb), batch_idx=i)
                optimizer.step()
            schedule.step()
    return model, store


def _number_of_classes(prepared: _Prepared) -> int:
    from traceprop.lineage import values

    labels = values(prepared.y)
    if not np.array_equal(labels, np.abs(np.round(labels))):
        raise DataError(
            f"The last column of {prepared.table.name} is no label: it must hold the classes "
            "0, 1, … as whole numbers."
        )
    return max(int(labels.max()) + 1, 2)


def _logits(model: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.from_numpy(inputs)).numpy()
    return logits


def _closest_refusal(model: nn.Module, prepared: _Prepared) -> _Decision:
    """Of the held-out rows that got class 0, the one nearest to another class."""
    logits = _logits(model, prepared.held_out)
    lead = logits[:, 0] - np.logaddexp.reduce(logits[:, 1:], axis=1)
    refused = lead > 0
    chosen = int(np.where(refused, lead, np.inf).argmin()) if refused.any() else 0
    return _Decision(
        prepared.first_held_out + chosen, prepared.held_out[chosen], int(logits[chosen].argmax())
    )


def _write_input(path: Path, decision: _Decision, store: GradientStore) -> None:
    """Keep the prepared input as a CSV, so that another process can ask about it."""
    run = store.record
    columns = run.input_columns if run is not None and run.input_columns else None
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns or [f"x{i}" for i in range(len(decision.inputs))])
        writer.writerow([repr(float(value)) for value in decision.inputs])


def _answer(
    model: nn.Module, store: GradientStore, decision: _Decision, say: Say
) -> tuple[list[int], float | None]:
    """Print the audit answer; the rows to remove, and the change of the margin that it predicts.

    The change is None where the scores are in no unit, such as after too short a training.
    """
    from traceprop.attribution import compute_influence_scores

    say(
        f"\nHeld-out row {decision.row} was given class {decision.decided} "
        f"(margin {decision.margin(model):+.4f}). The rows that pushed it there most:"
    )
    scores = compute_influence_scores(model, store, decision.inputs, top_k=ROWS_NAMED)
    for sample, score in scores:
        say(f"  {score:+.5f}  {store.get_provenance(sample)}")
    removed = scores[:ROWS_REMOVED]
    rows = [
        int(row)
        for sample, _ in removed
        for rows in store.get_provenance(sample).rows.values()
        for row in rows
    ]
    if scores.quality.unit != "margin":
        say(f"  These scores are {' '.join([f'{scores.quality.unit}.', *scores.quality.notes])}")
        return rows, None
    return rows, -sum(score for _, score in removed)


def _remove(
    model: nn.Module,
    store: GradientStore,
    decision: _Decision,
    table: Path,
    rows: list[int],
    predicted: float | None,
    folder: Path,
    say: Say,
) -> None:
    """Take rows out of the model, sign the certificate, and check it as a stranger would."""
    from traceprop.compliance.verify import verify
    from traceprop.unlearn import approximate_unlearn, export_compliance, record

    forget_set = store.samples_from_source(table, rows=rows)
    unlearned = approximate_unlearn(model, forget_set)
    done = record(unlearned)
    say(f"\nRemoved {table.name} rows {', '.join(map(str, rows))}: {done.removal_class}")
    say(f"  {done.reason}")
    foretold = f" (the scores predicted a change of {predicted:+.4f})" if predicted else ""
    say(f"  margin {decision.margin(model):+.4f} → {decision.margin(unlearned):+.4f}{foretold}")
    report = export_compliance(
        model_before=model,
        model_after=unlearned,
        forget_set=forget_set,
        store=store,
        regulation="EU_AI_ACT_ART26",
    )
    report.save(folder / "certificate.json")
    say(f"\nCertificate: {verify(folder / 'certificate.json').reason}")
