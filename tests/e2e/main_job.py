"""The main job as a user writes it, for the tests and for the table of its goals."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch.utils.data import DataLoader

import traceprop as tp
from traceprop.attribution import GradientStore, TrainingContext

PENALTY = 1e-2


def write_credit_scores(folder: Path) -> Path:
    """scikit-learn's breast cancer table with a real header, under the program's file name."""
    data = load_breast_cancer()
    path = folder / "credit_scores.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "label"])
        for features, label in zip(data.data, data.target, strict=True):
            writer.writerow([*map(repr, features.tolist()), int(label)])
    return path


def plain_preparation(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and the rows that pass the filter, by NumPy alone."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    X, y = table[:, :-1], table[:, -1]
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    rows = np.flatnonzero(X_norm[:, 3] > 0)
    return X_norm[rows], y[rows], rows


def prepare(path: Path) -> tuple[tp.ProvenanceTensor, tp.ProvenanceTensor]:
    """The same preparation on tensors that keep their rows."""
    table = tp.load_csv(path)
    X, y = table[:, :-1], table[:, -1]
    X_norm = (X - X.mean(axis=0)) / X.std(axis=0)
    kept = X_norm[:, 3] > 0
    return X_norm[kept], y[kept]


@dataclass
class Job:
    """A trained model with the store that recorded its training."""

    model: torch.nn.Module
    store: GradientStore
    X: tp.ProvenanceTensor
    y: tp.ProvenanceTensor
    table: Path


def train(X, y, table: Path, folder: Path, epochs: int = 60) -> Job:
    """The program's loop, run to the optimum of a penalised softmax classifier."""
    torch.manual_seed(0)
    loader = DataLoader(tp.torch.dataset(X, y), batch_size=32, shuffle=True)
    model = torch.nn.Linear(X.shape[1], 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=PENALTY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    criterion = torch.nn.CrossEntropyLoss()
    store = GradientStore(k=4096, path=folder / "grad")
    with TrainingContext(model, store) as ctx:
        for _ in range(epochs):
            for i, (Xb, yb) in enumerate(loader):
                optimizer.zero_grad()
                ctx.backward(criterion(model(Xb), yb), batch_idx=i)
                optimizer.step()
            schedule.step()
    return Job(model, store, X, y, table)


def run_main_job(folder: Path) -> Job:
    """Write the table, prepare it and train, all inside one folder."""
    table = write_credit_scores(folder)
    return train(*prepare(table), table, folder)


def borderline_input(X: np.ndarray) -> np.ndarray:
    """The training input nearest to the middle: a decision that single rows can move."""
    return X[np.argmin(np.abs(X.sum(axis=1)))]


SECOND_PROCESS = """
import json, sys
import numpy as np
from traceprop.attribution import GradientStore, compute_influence_scores
from traceprop.attribution.model_files import restore_model
store = GradientStore(path=sys.argv[1])
scores = compute_influence_scores(restore_model(store), store, np.load(sys.argv[2]), top_k=5)
print(json.dumps([[int(s), v, str(store.get_provenance(s))] for s, v in scores]))
"""
