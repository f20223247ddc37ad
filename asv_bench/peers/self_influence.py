"""Scores by which peers look for flipped labels, for `asv_bench.goals.attribution_mislabel`.

Arguments: which peer (`captum`, `dattri` or `trak`), and an .npz with inputs, labels, the layers'
sizes and the weights of checkpoints of one training run, the last being its end. Writes, beside it,
an .npz of scores by setting, the largest being the most suspect, and prints the CPU seconds of
each. Run by `asv_bench.peers.run_peer` inside the peer's environment.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

DAMPINGS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the largest eigenvalue of TRAK's matrix; the first is what is shipped."""
BATCH = 100

torch.set_num_threads(1)
peer, path = sys.argv[2], sys.argv[3]
given = np.load(path)
X, y = torch.tensor(given["X"], dtype=torch.float32), torch.tensor(given["y"])
dims = given["dims"].tolist()
layers: list[nn.Module] = []
for n_inputs, n_outputs in pairwise(dims):
    layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
model = nn.Sequential(*layers[:-1]).eval()
names = [name for name, _ in model.named_parameters()]
states = [
    {name: torch.tensor(given[f"weights{i}_{j}"]) for j, name in enumerate(names)}
    for i in range(int(given["checkpoints"]))
]
model.load_state_dict(states[-1])


def captum() -> Iterator[tuple[str, Any]]:
    """TracInCP's self-influence over all checkpoints, over the last, and of the last layer."""
    from captum.influence import TracInCP, TracInCPFast

    def load(module: nn.Module, state: dict[str, Tensor]) -> float:
        module.load_state_dict(state)
        return 1.0

    data = TensorDataset(X, y)
    common = {"checkpoints_load_func": load, "batch_size": BATCH}
    for name, chosen in (("TracInCP", states), ("TracIn, last checkpoint", states[-1:])):
        yield (
            name,
            lambda chosen=chosen: TracInCP(
                model,
                data,
                chosen,
                loss_fn=nn.CrossEntropyLoss(reduction="sum"),
                sample_wise_grads_per_batch=True,
                **common,
            ).self_influence(),
        )
    last = model[-1]
    yield (
        "TracInCPFast",
        lambda: TracInCPFast(
            model, last, data, states, loss_fn=nn.CrossEntropyLoss(reduction="sum"), **common
        ).self_influence(),
    )


def dattri() -> Iterator[tuple[str, Any]]:
    """As its examples of noisy labels do: the diagonal of TracIn, and of TRAK."""
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.algorithm.trak import TRAKAttributor
    from dattri.task import AttributionTask

    def loader(batch: int = BATCH) -> DataLoader:
        return DataLoader(TensorDataset(X, y), batch_size=batch, shuffle=False)

    def loss_of_one(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        found = torch.func.functional_call(model, params, pair[0].unsqueeze(0))
        return nn.functional.cross_entropy(found, pair[1].unsqueeze(0))

    def margin(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        log_p = -loss_of_one(params, pair)
        return log_p - torch.log(1 - torch.exp(log_p))

    def probability(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        return torch.exp(-loss_of_one(params, pair))

    tracin = AttributionTask(loss_func=loss_of_one, model=model, checkpoints=states)

    def by_tracin() -> Tensor:
        made = TracInAttributor(tracin, torch.ones(len(states)), False, device="cpu")
        return made.attribute(loader(), loader()).diag()

    yield "TracIn", by_tracin
    for damping in (0.0, 1e-2, 1.0):

        def by_trak(damping: float = damping) -> Tensor:
            task = AttributionTask(loss_func=margin, model=model, checkpoints=states[-1])
            made = TRAKAttributor(task, probability, regularization=damping, device="cpu")
            made.cache(loader())
            return made.attribute(loader()).diag()

        yield f"TRAK + {damping:g}", by_trak


def trak() -> Iterator[tuple[str, Any]]:
    """Each sample's score on its own label, as shipped and by each damping."""
    from trak import TRAKer

    traker = TRAKer(
        model=model,
        task="image_classification",
        train_set_size=len(X),
        save_dir=tempfile.mkdtemp(),
        device="cpu",
        use_half_precision=False,
        logging_level=logging.ERROR,
    )
    traker.load_checkpoint(model.state_dict(), model_id=0)
    for first in range(0, len(X), BATCH):
        part = slice(first, first + BATCH)
        traker.featurize(batch=(X[part], y[part]), num_samples=len(X[part]))
    kept = traker.saver.current_store
    grads, slopes = torch.tensor(np.array(kept["grads"])), torch.tensor(kept["out_to_loss"][:])
    computer = traker.score_computer
    xtx = computer.get_xtx(grads)
    top = float(torch.linalg.eigvalsh(xtx)[-1])
    for share in DAMPINGS:

        def scored(share: float = share) -> Tensor:
            computer.lambda_reg = share * top
            features = computer.get_x_xtx_inv(grads, xtx)
            return (grads * features).sum(1) * slopes.reshape(-1)

        yield f"damping {share:g}", scored


scores, seconds = {}, {}
for setting, ask in {"captum": captum, "dattri": dattri, "trak": trak}[peer]():
    start = time.process_time()
    found = ask()
    scores[setting] = found.detach().cpu().numpy().reshape(-1).astype(np.float64)
    seconds[setting] = time.process_time() - start
np.savez(path.removesuffix(".npz") + f"-{peer}.npz", **scores)
print(json.dumps(seconds))
