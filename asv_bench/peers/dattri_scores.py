"""Scores of a network by dattri, for `asv_bench.goals.attribution_digits`.

Argument: the .npz that `trak_scores.py` takes; the first network is asked about. TRAK and EK-FAC,
as its examples use them, with what is shipped (no damping) and a grid of dampings, so that the
caller can take the best; positive is towards the class. Prints the seconds of each and writes the
scores beside the .npz. Run by `asv_bench.peers.run_peer` inside the peer's environment.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from dattri.algorithm.influence_function import IFAttributorEKFAC
from dattri.algorithm.trak import TRAKAttributor
from dattri.task import AttributionTask
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
given = np.load(sys.argv[2])
X, y = torch.tensor(given["X"], dtype=torch.float32), torch.tensor(given["y"])
asked, classes = torch.tensor(given["asked"], dtype=torch.float32), torch.tensor(given["classes"])
layers: list[nn.Module] = []
for n_inputs, n_outputs in pairwise(given["dims"].tolist()):
    layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
model = nn.Sequential(*layers[:-1]).eval()
for j, parameter in enumerate(model.parameters()):
    parameter.data = torch.tensor(given[f"weights0_{j}"])
state = model.state_dict()


def loader(inputs: Tensor, labels: Tensor) -> DataLoader:
    return DataLoader(TensorDataset(inputs, labels), batch_size=100, shuffle=False)


def loss_of_one(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
    outputs = torch.func.functional_call(model, params, pair[0].unsqueeze(0))
    return nn.functional.cross_entropy(outputs, pair[1].unsqueeze(0))


def margin(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
    log_p = -loss_of_one(params, pair)
    return log_p - torch.log(1 - torch.exp(log_p))


def probability(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
    return torch.exp(-loss_of_one(params, pair))


def by_trak(damping: float) -> np.ndarray:
    task = AttributionTask(loss_func=margin, model=model, checkpoints=state)
    made = TRAKAttributor(task, probability, regularization=damping)
    made.cache(loader(X, y))
    with torch.no_grad():
        return made.attribute(loader(asked, classes)).T.numpy()


def mean_loss(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
    outputs = torch.func.functional_call(model, params, pair[0])
    return nn.functional.cross_entropy(outputs, pair[1].long())


scores, seconds = {}, {}
for damping in (0.0, 1e-2, 1e-1, 1.0):
    start = time.perf_counter()
    scores[f"TRAK + {damping:g}"] = by_trak(damping)
    seconds[f"TRAK + {damping:g}"] = time.perf_counter() - start
start = time.perf_counter()
task = AttributionTask(loss_func=mean_loss, model=model, checkpoints=state)
ekfac = IFAttributorEKFAC(task)
ekfac.cache(loader(X, y))
fitted = time.perf_counter() - start
for damping in (0.0, 1e-4, 1e-3, 1e-2, 1e-1):
    start = time.perf_counter()
    ekfac.damping = damping  # used in scoring only
    with torch.no_grad():
        scores[f"EK-FAC + {damping:g}"] = ekfac.attribute(
            loader(X, y), loader(asked, classes)
        ).T.numpy()
    seconds[f"EK-FAC + {damping:g}"] = fitted + time.perf_counter() - start
np.savez(sys.argv[2].removesuffix(".npz") + "-dattri.npz", **scores)
print(json.dumps(seconds))
