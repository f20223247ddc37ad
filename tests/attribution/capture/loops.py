"""Small training loops, a store in memory, and the slow twin of what is recorded."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

from tests.naive import gradients as naive
from traceprop.attribution.capture.context import TrainingContext
from traceprop.attribution.store.rows.rows_file import RowSink
from traceprop.errors import CaptureError
from traceprop.interop.torch import SampleDataset, dataset

N, D, C = 40, 6, 3
_SINKS = tempfile.TemporaryDirectory()


class Memory:
    """A store that keeps a commit in memory."""

    def __init__(self, k: int = 4096) -> None:
        self.k, self.seed, self.world_size = k, 7, 1
        self.events: list[str] = []

    def prepare(self) -> None:
        self.events.append("prepare")

    def runs_from(self, model: nn.Module) -> tuple[str, ...]:
        return ()

    def row_sink(self, width: int, checkpoint: int | None = None) -> RowSink:
        self.prepare()
        return RowSink(Path(tempfile.mkdtemp(dir=_SINKS.name)) / "rows", width, checkpoint)

    def close(self) -> None:
        self.events.append("close")

    def commit_rows(self, rows: Any, projector: Any, record: Any, tensors: Any) -> None:
        self.events.append("commit")
        self.by_checkpoint = {
            sink.checkpoint: (np.concatenate(list(sink.blocks())), sink.sample_ids) for sink in rows
        }
        self.gradients, self.ids = next(iter(self.by_checkpoint.values()))
        self.projector = projector
        self.record, self.tensors = record, tensors


@contextmanager
def refused(message: str, error: type[Exception] = CaptureError) -> Iterator[None]:
    """Check that the body ends with an error; unlike in pytest's own, it may have several steps."""
    caught: Exception | None = None
    try:
        yield
    except error as raised:
        caught = raised
    assert caught is not None, f"nothing was refused, though it should be: {message}"
    assert re.search(message, str(caught))


def mlp() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, C))


def make_data() -> SampleDataset:
    rng = np.random.default_rng(0)
    return dataset(rng.standard_normal((N, D)), rng.integers(0, C, N))


class Twin:
    """The slow twin of a run: adds up single samples' gradients, at the weights of each step."""

    def __init__(self, model: nn.Module, data: SampleDataset, loss: Callable[..., Tensor]) -> None:
        self.model, self.data, self.loss = model, data, loss
        d = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.sums, self.last = np.zeros((len(data), d)), np.zeros((len(data), d))

    def see(self, ids: np.ndarray) -> None:
        was_training = self.model.training
        twin = copy.deepcopy(self.model)
        inputs, targets = self.data.inputs[ids], self.data.targets[ids]  # type: ignore[index]
        rows = naive.gradients(twin.eval(), inputs, targets, self.loss)
        self.model.train(was_training)
        np.add.at(self.sums, ids, rows)
        self.last[ids] = 0
        np.add.at(self.last, ids, rows)


def none_reduced(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def assert_near(actual: np.ndarray, expected: np.ndarray) -> None:
    assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def train(
    ctx: TrainingContext,
    twin: Twin,
    loader: Any,
    criterion: Callable[..., Tensor],
    epochs: int = 2,
    **options: Any,
) -> None:
    optimizer = torch.optim.SGD(ctx.model.parameters(), 0.01)
    for _ in range(epochs):
        for i, (Xb, yb) in enumerate(loader):
            twin.see(Xb.sample_ids)
            if options.get("zero_grad", True):
                optimizer.zero_grad()
            ctx.backward(criterion(ctx.model(Xb), yb), batch_idx=i)
            optimizer.step()
