"""A run held in memory, with the attributes of a GradientStore that scores and removals read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.run.record import TrainingRecord
from traceprop.curvature.architecture import describe
from traceprop.curvature.digest import model_digest
from traceprop.curvature.losses import LossSpec, sample_losses
from traceprop.errors import StoreError

# Questions to a store are written into the audit log beside it.
_BESIDE = tempfile.TemporaryDirectory()


@dataclass(eq=False)
class MemoryStore:
    record: TrainingRecord | None
    gradients: np.ndarray
    projector: Projector
    sample_ids: np.ndarray
    steps: tuple[str, ...] = ("normalize", "row_filter")
    path: Path = Path(_BESIDE.name) / "memory"

    @property
    def rows(self) -> np.ndarray:
        return self.gradients

    def shards(self) -> tuple[()]:
        """The rows lie in no files."""
        return ()

    def lineage(self) -> None:
        """It was prepared by steps of which only the names are known."""
        raise StoreError("this store knows no sources")

    def lineage_digest(self) -> None:
        """There is no lineage."""

    def info(self) -> dict[str, int]:
        """Nothing was erased."""
        return {"erasures": 0}

    def derived(self, name: str) -> None:
        """Nothing is kept beside the rows."""

    def check_model(self, model: nn.Module) -> None:
        if model_digest(model) != self.record.model_digest:
            raise StoreError("recorded from another model")

    def but(self, **changes) -> MemoryStore:
        """The same run with a changed record."""
        return replace(self, record=replace(self.record, **changes))


@dataclass(eq=False)
class Forget:
    samples: np.ndarray
    store: MemoryStore
    rows: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)


def forget(store: MemoryStore, *samples: int) -> Forget:
    return Forget(np.array(samples, dtype=np.int64), store)


def recorded(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: LossSpec,
    penalty: float | None,
    *,
    k: int = 4096,
    batch_size: int | None = 8,
    initial: dict | None = None,
) -> MemoryStore:
    """Record a model as it is, with one gradient per sample at these weights."""
    rows = []
    for i in range(len(x)):
        loss = sample_losses(spec, model(x[i : i + 1]), y[i : i + 1]).sum()
        parts = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
        rows.append(torch.cat([part.reshape(-1) for part in parts]))
    blocks = tuple(
        Block(name, tuple(p.shape)) for name, p in model.named_parameters() if p.requires_grad
    )
    projector = Projector(blocks, k=k)
    weights = {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}
    start = {name: np.zeros_like(value) for name, value in weights.items()}
    record = TrainingRecord(
        inputs=x.numpy(),
        targets=y.numpy(),
        loss=spec,
        penalty=penalty,
        penalty_origin="unknown" if penalty is None else f"SGD(weight_decay={penalty:g})",
        optimizer=None,
        initial_weights=start if initial is None else initial,
        final_weights=weights,
        model_digest=model_digest(model),
        architecture=describe(model),
        epochs=1,
        batch_size=batch_size,
        input_columns=None,
        seed=None,
    )
    gradients = projector.project(torch.stack(rows).numpy())
    return MemoryStore(record, gradients, projector, np.arange(len(x)))
