"""Scores of networks by TRAK as published, for `asv_bench.goals.attribution_digits`.

Argument: an .npz with inputs, labels, test inputs and their classes, the layers' sizes, and the
weights of one or more trained networks. Prints seconds and writes, beside it, the scores with the
damping as shipped (none) and with each of a grid, so that the caller can take the best. Run by
`asv_bench.peers.run_peer` inside the peer's environment.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from trak import TRAKer

GRID = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the largest eigenvalue; the first is what is shipped."""
BATCH = 100

torch.set_num_threads(1)
given = np.load(sys.argv[2])
X, y = torch.tensor(given["X"], dtype=torch.float32), torch.tensor(given["y"])
asked, classes = torch.tensor(given["asked"], dtype=torch.float32), torch.tensor(given["classes"])
dims = given["dims"].tolist()


def network(number: int) -> nn.Module:
    """The network with the weights of one training run."""
    layers: list[nn.Module] = []
    for n_inputs, n_outputs in pairwise(dims):
        layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    for j, parameter in enumerate(model.parameters()):
        parameter.data = torch.tensor(given[f"weights{number}_{j}"])
    return model.eval()


start = time.perf_counter()
total = None
for number in range(int(given["models"])):
    model = network(number)
    traker = TRAKer(
        model=model,
        task="image_classification",
        train_set_size=len(X),
        save_dir=tempfile.mkdtemp(),
        device="cpu",
        use_half_precision=False,
        projector_seed=number,
        logging_level=logging.ERROR,
    )
    traker.load_checkpoint(model.state_dict(), model_id=0)
    for first in range(0, len(X), BATCH):
        part = slice(first, first + BATCH)
        traker.featurize(batch=(X[part], y[part]), num_samples=len(X[part]))
    traker.finalize_features()
    traker.start_scoring_checkpoint("asked", model.state_dict(), 0, len(asked))
    for first in range(0, len(asked), BATCH):
        part = slice(first, first + BATCH)
        traker.score(batch=(asked[part], classes[part]), num_samples=len(asked[part]))
    kept = traker.saver.current_store
    grads, targets = (torch.tensor(np.array(kept[k])) for k in ("grads", "asked_grads"))
    slopes = torch.tensor(np.array(kept["out_to_loss"]))
    computer = traker.score_computer
    xtx = computer.get_xtx(grads)
    top = float(torch.linalg.eigvalsh(xtx)[-1])
    scores = []
    for share in GRID:
        computer.lambda_reg = share * top
        features = computer.get_x_xtx_inv(grads, xtx)
        scores.append((targets @ features.T * slopes.reshape(1, -1)).numpy())
    total = np.stack(scores) + (0.0 if total is None else total)
    if number == 0:
        once = time.perf_counter() - start
        np.save(sys.argv[2].removesuffix(".npz") + "-one.npy", total)
np.save(sys.argv[2].removesuffix(".npz") + "-all.npy", total)
print(json.dumps({"seconds": once, "grid": GRID}))
