"""A training that commits each epoch and saves a checkpoint after it; run again, it goes on.

`python -m tests.robustness.resumed_training FOLDER DIES_AT`: where to die, as in `3:commit` (in
epoch 3, after its rows were committed and before the checkpoint was saved), or `never`.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

import traceprop as tp
from traceprop.attribution import GradientStore, TrainingContext

EPOCHS = 4


def main(folder: Path, dies_at: str) -> None:
    """Train from the last checkpoint on."""
    torch.set_num_threads(1)
    made = torch.Generator().manual_seed(5)
    data = tp.torch.dataset(
        torch.randn(24, 3, generator=made), torch.randint(0, 2, (24,), generator=made)
    )
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    first, saved = 1, folder / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
    for epoch in range(first, EPOCHS + 1):
        store = GradientStore(k=16, path=folder / "grad", append=True)
        recorded = store.runs_from(model)
        context = nullcontext() if recorded else TrainingContext(model, store)
        torch.manual_seed(100 + epoch)
        with context as ctx:
            for number, (x, y) in enumerate(
                torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
            ):
                if dies_at == f"{epoch}:middle" and number == 2:
                    os._exit(9)
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward() if ctx is None else ctx.backward(loss)
                optimizer.step()
        if dies_at == f"{epoch}:commit":
            os._exit(9)
        torch.save(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch},
            saved.with_suffix(".tmp"),
        )
        saved.with_suffix(".tmp").replace(saved)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
