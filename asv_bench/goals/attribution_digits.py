"""Goals on networks: digits and Adult, one training run and five, against real retraining."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from asv_bench.goals import Goal, at_least, at_most
from asv_bench.goals.attribution_adult import Split
from asv_bench.peers import run_peer
from tests.naive.many_networks import batches, margins, network, train_many
from traceprop.attribution import GradientStore, TrainingContext
from traceprop.attribution.evaluate.correlation import spearman
from traceprop.attribution.influence import influence_matrix

N_SUBSETS, SEEDS, MODELS = 200, 3, 5
_AT_ONCE = 100
_TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Task:
    """Data and a recipe: Adam without weight decay, mean cross-entropy."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    dims: tuple[int, ...]
    goals: tuple[float, float, float]  # default, ggn, five models
    epochs: int = 20
    batch_size: int = 60
    rate: float = 1e-3

    def recorded(self, folder: Path, seed: int) -> tuple[nn.Module, GradientStore]:
        """One training run, watched."""
        model = network(self.dims, seed)
        store = GradientStore(path=folder / f"{self.name}-{seed}")
        optimizer = torch.optim.Adam(model.parameters(), lr=self.rate)
        inputs, targets = torch.tensor(self.X, dtype=torch.float32), torch.tensor(self.y)
        with TrainingContext(model, store) as ctx:
            for rows in batches(len(self.X), self.epochs, self.batch_size, seed):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs[rows]), targets[rows])
                ctx.backward(loss, samples=rows)
                optimizer.step()
        return model.eval(), store

    def truth(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Random halves, as masks, and the margins of networks trained on them, over the seeds."""
        draw = np.random.default_rng(0)
        n = len(self.X)
        halves = np.stack([draw.permutation(n)[: n // 2] for _ in range(N_SUBSETS)])
        masks = np.zeros((N_SUBSETS, n))
        np.put_along_axis(masks, halves, 1.0, axis=1)
        found = np.zeros((N_SUBSETS, len(self.X_test)))
        for turn in range(SEEDS):
            for start in range(0, N_SUBSETS, _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                seeds = [10_000 * (turn + 1) + i for i in range(N_SUBSETS)[part]]
                trained = train_many(
                    self.X,
                    self.y,
                    halves[part],
                    seeds,
                    dims=self.dims,
                    epochs=self.epochs,
                    batch_size=self.batch_size,
                    rate=self.rate,
                )
                found[part] += margins(trained, self.X_test, classes) / SEEDS
        return masks, found


def digits() -> Task:
    """1,200 digits to train on, 300 to ask about."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X = X[order] / 16.0
    return Task(
        "digits", X[:1200], y[order][:1200], X[1200:1500], (64, 128, 64, 10), (0.60, 0.64, 0.66)
    )


def adult() -> Task:
    """6,000 rows of Adult to train on, 300 to ask about."""
    split = Split.draw(0)
    dims = (split.X.shape[1], 64, 32, 2)
    return Task("Adult", split.X, split.y, split.X_test[:300], dims, (0.68, 0.69, 0.74), 5)


def goals() -> Iterator[Goal]:
    with tempfile.TemporaryDirectory() as name:
        for task in (digits(), adult()):
            yield from _of(task, Path(name))


def _of(task: Task, folder: Path) -> Iterator[Goal]:
    runs = [task.recorded(folder, seed) for seed in range(MODELS)]
    model, store = runs[0]
    with torch.no_grad():
        decided = model(torch.tensor(task.X_test, dtype=torch.float32)).argmax(1).numpy()
    masks, truth = task.truth(decided)

    def lds(scores: np.ndarray) -> float:
        return float(spearman(masks @ scores.T, truth).mean())

    name = f"{task.name}, MLP {'-'.join(map(str, task.dims))}"
    found, seconds = {}, {}
    for method, goal in zip(("influence", "ggn"), task.goals, strict=False):
        start = time.perf_counter()
        found[method] = lds(influence_matrix(model, store, task.X_test, method=method).scores)
        seconds[method] = time.perf_counter() - start
        note = f"{N_SUBSETS} halves × {SEEDS} seeds; scores in {seconds[method]:.1f} s"
        yield at_least(f"{name}: LDS of {method}, one run", found[method], goal, "", note)
    five = lds(sum(_asked(run, task, decided) for run in runs))
    note = "ggn, scores of the runs added up"
    yield at_least(f"{name}: LDS of {MODELS} runs", five, task.goals[2], "", note)
    if task.name == "digits":
        yield from _peers(task, runs, decided, folder, lds, found, five, seconds)


def _peers(
    task: Task,
    runs: list[tuple[nn.Module, GradientStore]],
    decided: np.ndarray,
    folder: Path,
    lds: Callable[[np.ndarray], float],
    found: dict[str, float],
    five: float,
    seconds: dict[str, float],
) -> Iterator[Goal]:
    """TRAK, EK-FAC and dattri, dampings tuned on the truth itself, on the same networks."""
    weights = {
        f"weights{i}_{j}": parameter.detach().numpy()
        for i, (model, _) in enumerate(runs)
        for j, parameter in enumerate(model.parameters())
    }
    path = folder / "networks.npz"
    about = {"X": task.X, "y": task.y, "asked": task.X_test, "classes": decided}
    np.savez(path, dims=np.array(task.dims), models=len(runs), **about, **weights)
    trak = run_peer("trak_scores.py", "trak", ["traker==0.3.2", _TORCH], str(path))
    one, all_of_them = (
        [lds(scores) for scores in np.load(folder / f"networks-{which}.npy")]
        for which in ("one", "all")
    )
    kron = run_peer("kronfluence_scores.py", "kronfluence", ["kronfluence", _TORCH], str(path))
    ekfac = lds(np.load(folder / "networks-kronfluence.npy"))
    dattri = run_peer("dattri_scores.py", "dattri", ["dattri==0.3.0", _TORCH], str(path))
    with np.load(folder / "networks-dattri.npz") as scores:
        by_dattri = {setting: lds(np.nan_to_num(scores[setting])) for setting in scores}
    its_best = max(by_dattri, key=by_dattri.__getitem__)
    best, least = max(*one, ekfac, by_dattri[its_best]), min(found.values())
    note = (
        f"TRAK {one[0]:.3f} as shipped, {max(one):.3f} tuned; kronfluence EK-FAC {ekfac:.3f}; "
        f"dattri {its_best} {by_dattri[its_best]:.3f}, the best of {len(by_dattri)}"
    )
    what = "digits: influence and ggn above every peer's LDS, one run"
    yield Goal(what, f"{least:.3f}", f"> {best:.3f}", least > best, note)
    best = max(all_of_them)
    what = f"digits: {MODELS} runs above TRAK's with as many"
    yield Goal(what, f"{five:.3f}", f"> {best:.3f}", five > best)
    fastest = min(trak["seconds"], kron["seconds"], *dattri.values())
    note = (
        f"TRAK {trak['seconds']:.1f} s, kronfluence {kron['seconds']:.1f} s, dattri "
        f"{dattri[its_best]:.1f} s; all from the network"
    )
    yield at_most("digits: seconds of influence", seconds["influence"], fastest, " s", note)


def _asked(run: tuple[nn.Module, GradientStore], task: Task, classes: np.ndarray) -> np.ndarray:
    """Scores of the classes that the first model decided."""
    found = np.empty((len(classes), len(task.X)))
    for label in np.unique(classes).tolist():
        chosen = classes == label
        scores = influence_matrix(*run, task.X_test[chosen], target=label, method="ggn").scores
        found[chosen] = scores
    return found
