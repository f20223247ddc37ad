"""A small removal with everything real: a CSV, a training, a store, a model without two rows."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import traceprop as tp
from traceprop.attribution import GradientStore, TrainingContext
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.compliance import Report
from traceprop.unlearn import approximate_unlearn, export_compliance

# Rows that are named in words and figures nowhere else: the file is long, most of it filtered out.
N_ROWS = 9_000
REMOVED = [7_654, 8_321]


@dataclass
class Removal:
    before: torch.nn.Module
    after: torch.nn.Module
    forget_set: ForgetSet
    store: GradientStore


def train(folder: Path, name: str) -> tuple[torch.nn.Module, GradientStore]:
    table = tp.load_csv(folder / "loans.csv")
    kept = table[:, 0] > 0.9
    X, y = table[:, :-1][kept], table[:, -1][kept]
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    store = GradientStore(k=64, path=folder / name)
    with TrainingContext(model, store, optimizer=optimizer) as context:
        for i, (Xb, yb) in enumerate(DataLoader(tp.torch.dataset(X, y), batch_size=64)):
            optimizer.zero_grad()
            context.backward(torch.nn.functional.cross_entropy(model(Xb), yb), batch_idx=i)
            optimizer.step()
    return model, store


def make_removal(folder: Path) -> Removal:
    random = np.random.default_rng(0)
    values = random.random((N_ROWS, 2))
    values[:, 0] *= 0.95
    values[REMOVED, 0] = 0.99
    with (folder / "loans.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["income", "debt", "approved"])
        writer.writerows([*row, int(row[1] > 0.5)] for row in values.tolist())
    torch.manual_seed(0)
    model, store = train(folder, "grad")
    forget_set = store.samples_from_source("loans.csv", rows=REMOVED)
    return Removal(model, approximate_unlearn(model, forget_set), forget_set, store)


def export(removal: Removal, **changes: Any) -> Report:
    """Certify a removal under GDPR Article 17, or as the changes say."""
    arguments: dict[str, Any] = {
        "model_before": removal.before,
        "model_after": removal.after,
        "forget_set": removal.forget_set,
        "store": removal.store,
        "regulation": "GDPR_ART17",
    }
    return export_compliance(**{**arguments, **changes})
