"""Scores and times of convolutional networks by TRAK, for `asv_bench.goals.attribution_images`.

Arguments: an .npz with training and test images, labels, decided classes, k, and the weights of one
or more trained networks; which projector: `own` (TRAK's, first network only) or `ours`; the folder
of the checkout, where ours is imported from; how many images go into a batch. Prints CPU seconds of
featurising, fitting and scoring by the first network, and writes the scores of one and of all
networks beside the .npz, as shipped and by each damping of a grid. Run by
`asv_bench.peers.run_peer` inside the peer's environment.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time

import numpy as np
import torch
from torch import Tensor, nn
from trak import TRAKer
from trak.projectors import AbstractProjector

GRID = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the largest eigenvalue; the first is what is shipped."""

torch.set_num_threads(1)
path, which, checkout, batch = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
given = np.load(path)
X, y = torch.tensor(given["X"]), torch.tensor(given["y"])
asked, classes = torch.tensor(given["asked"]), torch.tensor(given["classes"])
K = int(given["k"])


def network(number: int) -> nn.Module:
    """The network with the weights of one training run."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 2),
    )
    for j, parameter in enumerate(model.parameters()):
        parameter.data = torch.tensor(given[f"weights{number}_{j}"])
    return model.eval()


def our_projector(model: nn.Module) -> AbstractProjector:
    """Traceprop's default projection as TRAK takes one."""
    sys.path.insert(0, checkout)
    from traceprop.attribution.projection import Projector
    from traceprop.attribution.projection.blocks import Block

    blocks = tuple(Block(name, tuple(p.shape)) for name, p in model.named_parameters())
    made = Projector(blocks, k=K)

    class Ours(AbstractProjector):
        def __init__(self) -> None:
            super().__init__(made.d, K, 0, "sjlt", "cpu")

        def project(self, grads: Tensor | dict[str, Tensor], model_id: int) -> Tensor:
            if isinstance(grads, dict):
                grads = torch.cat([g.flatten(1) for g in grads.values()], 1)
            return torch.from_numpy(made.project(grads.detach().contiguous().numpy()))

        def free_memory(self) -> None:
            pass

    ours = Ours()
    ours.project(torch.ones(1, made.d), 0)  # compiled before the clock runs
    return ours


total, seconds = None, 0.0
for number in range(int(given["models"]) if which == "ours" else 1):
    model = network(number)
    projector = our_projector(model) if which == "ours" else None
    start = time.process_time()
    traker = TRAKer(
        model=model,
        task="image_classification",
        train_set_size=len(X),
        save_dir=tempfile.mkdtemp(),
        device="cpu",
        proj_dim=K,
        projector=projector,
        use_half_precision=False,
        projector_seed=number,
        logging_level=logging.ERROR,
    )
    traker.load_checkpoint(model.state_dict(), model_id=0)
    for first in range(0, len(X), batch):
        part = slice(first, first + batch)
        traker.featurize(batch=(X[part], y[part]), num_samples=len(X[part]))
    traker.finalize_features()
    traker.start_scoring_checkpoint("asked", model.state_dict(), 0, len(asked))
    for first in range(0, len(asked), batch):
        part = slice(first, first + batch)
        traker.score(batch=(asked[part], classes[part]), num_samples=len(asked[part]))
    traker.finalize_scores("asked")
    if number == 0:
        seconds = time.process_time() - start
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
        np.save(path.removesuffix(".npz") + f"-{which}-one.npy", total)
np.save(path.removesuffix(".npz") + f"-{which}-all.npy", total)
print(json.dumps({"seconds": seconds, "grid": GRID}))
