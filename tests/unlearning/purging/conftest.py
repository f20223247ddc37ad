"""One small run with everything that a purge touches, made anew for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import traceprop as tp
from traceprop.attribution import ForgetSet, GradientStore, TrainingContext

ROWS = [3, 5, 11]


@dataclass
class Run:
    folder: Path
    model: nn.Module
    store: GradientStore

    @property
    def forget_set(self) -> ForgetSet:
        return self.store.samples_from_source("t.csv", rows=ROWS)

    def files(self) -> dict[Path, bytes]:
        """Every file beside and below, but for locks, whose content is who held them last."""
        return {
            p: p.read_bytes()
            for p in self.folder.rglob("*")
            if p.is_file() and p.name not in ("lock", "head.lock")
        }


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    folder = tmp_path_factory.mktemp("purged")
    rng = np.random.default_rng(0)
    table = rng.normal(size=(60, 4)) * [1, 5, 0.1, 2] + [0, 3, 1, 0]
    label = table[:, 0] + 0.5 * rng.normal(size=60) > 0
    np.savetxt(
        folder / "t.csv", np.c_[table, label], delimiter=",", header="a,b,c,d,y", comments=""
    )
    loaded = tp.load_csv(folder / "t.csv")
    X, y = loaded[:, :4], loaded[:, 4].astype(np.int64)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=1e-2)
    data = tp.torch.dataset(X, y)
    with TrainingContext(model, GradientStore(path=folder / "grad")) as context:
        for _ in range(50):
            inputs, labels = data[np.arange(len(X))]
            optimizer.zero_grad()
            context.backward(nn.functional.cross_entropy(model(inputs), labels))
            optimizer.step()
    tp.save_lineage(folder / "lineage.arrow", X, y)
    tp.save_pipeline(folder / "prepare.arrow", X)
    torch.save(model.state_dict(), folder / "epoch.pt")
    (folder / "export.csv").write_text("sample,score\n3,0.5\n")
    return folder, model


@pytest.fixture
def run(trained: tuple[Path, nn.Module], tmp_path: Path) -> Run:
    """A copy of its own, under another path; the lineage still knows the first file."""
    folder, model = trained
    shutil.copytree(folder, tmp_path / "run")
    return Run(tmp_path / "run", model, GradientStore.open(tmp_path / "run" / "grad"))
