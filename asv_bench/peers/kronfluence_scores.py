"""Scores of a network by kronfluence's EK-FAC, for `asv_bench.goals.attribution_digits`.

Argument: the .npz that `trak_scores.py` takes; the first network is asked about. Prints seconds and
writes the scores beside it. Run by `asv_bench.peers.run_peer` inside the peer's environment.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import pairwise

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

torch.set_num_threads(1)
given = np.load(sys.argv[2])
X, y = torch.tensor(given["X"], dtype=torch.float32), torch.tensor(given["y"])
asked, classes = torch.tensor(given["asked"], dtype=torch.float32), torch.tensor(given["classes"])
dims = given["dims"].tolist()
layers: list[nn.Module] = []
for n_inputs, n_outputs in pairwise(dims):
    layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
model = nn.Sequential(*layers[:-1])
for j, parameter in enumerate(model.parameters()):
    parameter.data = torch.tensor(given[f"weights0_{j}"])


class Margins(Task):
    """Cross-entropy, and the margin of a class."""

    def compute_train_loss(self, batch, model, sample=False):
        scores = model(batch[0])
        labels = batch[1]
        if sample:
            with torch.no_grad():
                labels = torch.multinomial(scores.softmax(-1), 1).flatten()
        return functional.cross_entropy(scores, labels, reduction="sum")

    def compute_measurement(self, batch, model):
        scores = model(batch[0])
        chosen = scores.gather(1, batch[1][:, None])
        others = scores.scatter(1, batch[1][:, None], float("-inf")).logsumexp(1)
        return (chosen[:, 0] - others).sum()


start = time.perf_counter()
task = Margins()
model = prepare_model(model.eval(), task)
analyzer = Analyzer(
    "digits", model, task, cpu=True, output_dir=tempfile.mkdtemp(), disable_tqdm=True
)
train = TensorDataset(X, y)
analyzer.fit_all_factors(
    "ekfac", train, per_device_batch_size=200, factor_args=FactorArguments(strategy="ekfac")
)
analyzer.compute_pairwise_scores(
    "scores",
    "ekfac",
    query_dataset=TensorDataset(asked, classes),
    train_dataset=train,
    per_device_query_batch_size=100,
    per_device_train_batch_size=200,
    score_args=ScoreArguments(),
)
# ∇f H⁻¹ ∇ℓ: what removing a sample adds to f, so what training on it did has the other sign.
found = -analyzer.load_pairwise_scores("scores")["all_modules"].numpy()
seconds = time.perf_counter() - start
np.save(sys.argv[2].removesuffix(".npz") + "-kronfluence.npy", found)
print(json.dumps({"seconds": seconds}))
