"""Goals on flipped labels: how well they are found, beside what captum, dattri and TRAK offer.

A tenth of the training labels is flipped at random, a model is trained on them, and every score
ranks the samples. Peers look at the same models: at the last weights, and TracIn at checkpoints of
the same run. Each peer is taken at the best of the settings printed, chosen on the answer itself;
ours has no setting.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from asv_bench.goals import Goal
from asv_bench.goals.attribution_adult import C, Split, trained
from asv_bench.goals.attribution_digits import digits
from asv_bench.peers import run_peer
from tests.naive.many_networks import network
from traceprop.attribution import GradientStore, from_sklearn
from traceprop.attribution.evaluate import left_out_margins, self_influence

THREADS = f"torch 1 thread, {os.cpu_count()} cores; seconds of CPU"

SEEDS = (0, 1, 2)
_TORCH = "torch==2.13.0"
PEERS = {
    "captum": ["captum==0.9.0", _TORCH],
    "dattri": ["dattri==0.3.0", _TORCH],
    "trak": ["traker==0.3.2", _TORCH],
}
Weights = list[list[np.ndarray]]


@dataclass(frozen=True)
class Case:
    """A model trained on labels of which some are flipped, with checkpoints of its training."""

    model: object
    store: GradientStore
    X: np.ndarray
    y: np.ndarray
    flipped: np.ndarray
    dims: tuple[int, ...]
    checkpoints: Weights


def goals() -> Iterator[Goal]:
    torch.set_num_threads(1)
    for name, make in (("Adult, logistic", adult_case), ("digits, MLP", digits_case)):
        yield _goal(name, make)


def _goal(name: str, make) -> Goal:
    found: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            case = make(seed, Path(folder) / f"{seed}")
            start = time.process_time()
            suspicion = {"ours": -left_out_margins(case.model, case.store)}
            seconds["ours"].append(time.process_time() - start)
            suspicion["self-influence, ours"] = self_influence(case.model, case.store)
            suspicion["loss alone"] = _losses(case)
            for peer, scores, took in _peers(case, Path(folder)):
                suspicion |= {f"{peer} {setting}": found for setting, found in scores.items()}
                seconds[peer].append(max(took.values()))
            for who, values in suspicion.items():
                # Undamped, a peer's matrix may be singular: what it can't compute is no suspicion.
                found[who].append(float(roc_auc_score(case.flipped, np.nan_to_num(values))))
    means = {who: float(np.mean(values)) for who, values in found.items()}
    ours = means.pop("ours")
    alone, own = means.pop("loss alone"), means.pop("self-influence, ours")
    best = {
        peer: max((who for who in means if who.startswith(peer)), key=means.__getitem__)
        for peer in PEERS
    }
    told = ", ".join(f"{who} {means[who]:.4f}" for who in best.values())
    note = (
        f"{len(SEEDS)} draws, each peer at its best of {len(means)} settings in all: {told}; "
        f"the loss alone {alone:.4f}, self-influence of ours {own:.4f}; "
        f"{np.median(seconds['ours']):.2f} s, peers "
        + ", ".join(f"{peer} {np.median(seconds[peer]):.2f}" for peer in PEERS)
    )
    highest = max(means.values())
    return Goal(
        f"{name}, 10 % flipped labels: AUC above every peer's",
        f"{ours:.4f}",
        f"> {highest:.4f}",
        ours > highest,
        note,
    )


def adult_case(seed: int, folder: Path) -> Case:
    """Logistic regression at its minimum; as checkpoints the path of a solver to it."""
    split, draw = Split.draw(seed), np.random.default_rng(seed)
    flipped, y = _flip(split.y, 2, draw)
    estimator = trained(split.X, y)
    store = from_sklearn(estimator, split.X, y, folder)
    weights = []
    for steps in (2, 5, 10, 20, 1000):
        found = _on_the_way(split.X, y, steps)
        half = np.vstack([-found.coef_, found.coef_]) / 2
        bias = np.append(-found.intercept_, found.intercept_) / 2
        weights.append([half.astype(np.float32), bias.astype(np.float32)])
    return Case(estimator, store, split.X, y, flipped, (split.X.shape[1], 2), weights)


def _on_the_way(X: np.ndarray, y: np.ndarray, steps: int) -> LogisticRegression:
    """L-BFGS stopped after some steps; scikit-learn's warning says so and is expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=C, max_iter=steps, tol=1e-8).fit(X, y)


def digits_case(seed: int, folder: Path) -> Case:
    """The network of the other goals on digits; as checkpoints five of its twenty epochs."""
    task, draw = digits(), np.random.default_rng(seed)
    flipped, y = _flip(task.y, 10, draw)
    task = replace(task, y=y)
    model, store = task.recorded(folder, seed)
    weights = []
    for epochs in (4, 8, 12, 16, 20):
        # The first epochs of the same run: its start and its batches follow from the seed.
        part, _ = replace(task, epochs=epochs).recorded(folder / f"{epochs}", seed)
        weights.append([p.detach().numpy() for p in part.parameters()])
    for ours, last in zip(model.parameters(), weights[-1], strict=True):
        assert np.array_equal(ours.detach().numpy(), last)
    return Case(model, store, task.X, y, flipped, task.dims, weights)


def _flip(y: np.ndarray, classes: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which tenth of the labels is flipped, and all labels with another class in it."""
    flipped = np.zeros(len(y), bool)
    flipped[draw.permutation(len(y))[: len(y) // 10]] = True
    other = (y + draw.integers(1, classes, len(y))) % classes
    return flipped, np.where(flipped, other, y)


def _losses(case: Case) -> np.ndarray:
    """Cross-entropy of each sample at the end, which needs no attribution at all."""
    model = network(case.dims, 0)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), case.checkpoints[-1], strict=True):
            parameter.copy_(torch.from_numpy(value))
        outputs = model(torch.tensor(case.X, dtype=torch.float32)).double()
    return torch.nn.functional.cross_entropy(
        outputs, torch.tensor(case.y), reduction="none"
    ).numpy()


def _peers(case: Case, folder: Path) -> Iterator[tuple[str, dict[str, np.ndarray], dict]]:
    """Each peer's scores by setting, and its CPU seconds."""
    path = folder / "case.npz"
    weights = {
        f"weights{i}_{j}": value
        for i, checkpoint in enumerate(case.checkpoints)
        for j, value in enumerate(checkpoint)
    }
    about = {"X": case.X, "y": case.y, "dims": case.dims, "checkpoints": len(case.checkpoints)}
    np.savez(path, **about, **weights)
    for peer, requirements in PEERS.items():
        took = run_peer("self_influence.py", peer, requirements, peer, str(path))
        with np.load(folder / f"case-{peer}.npz") as scores:
            yield peer, dict(scores), took
