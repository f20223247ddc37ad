"""Models trained on part of the data, and what they say of given inputs: the truth about scores.

Each training is honest: a convex model goes to its minimum, any other is trained by the user's own
recipe. Promise: a training that is done once is in the folder, under a name that all of its inputs
decide, and isn't done again; one that was cut off left nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.evaluate.recipe_digest import recipe_digest
from traceprop.attribution.models import module_of
from traceprop.curvature import losses
from traceprop.curvature.digest import model_digest
from traceprop.curvature.ggn import Network
from traceprop.curvature.problem import Problem, Rows
from traceprop.curvature.without import many_minima, minimum_without
from traceprop.errors import AttributionError
from traceprop.files import make_private_folder, write_file

Array = NDArray[np.float64]
Recipe = Callable[[NDArray[Any], NDArray[Any], int], Any]
"""`recipe(inputs, targets, seed)` trains on these samples and returns the model."""

CONVERGED = 1e-8
"""How near to its minimum, in the weights, a convex model is trained."""


@dataclass(frozen=True, eq=False)
class Retraining:
    """How to train on part of a run's data, and what to ask of the model.

    Parameters
    ----------
    problem : Problem
        The run.
    theta : ndarray
        The weights as training ended, where the solver of a convex model starts.
    inputs : ndarray of float64, shape (q, ...)
        What is asked.
    classes : ndarray of int64, shape (q,)
        The class whose margin is f, for each input.
    n_outputs : int
        Of the model.
    recipe : callable or None
        Trains; None for a convex model, which is solved for.

    Raises
    ------
    AttributionError
        Without a recipe: the model has no one minimum to train to.
    """

    problem: Problem
    theta: Array
    inputs: Array
    classes: NDArray[np.int64]
    n_outputs: int
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        why = many_minima(self.problem)
        if self.recipe is None and why is not None:
            raise AttributionError(
                f"evaluation retrains, and {why}; give recipe=, a function of (inputs, targets, "
                f"seed) that trains a new model and returns it"
            )

    def margins(self, rows: Rows, seed: int) -> Array:
        """Train on some rows of the problem, and return f for each input, shape `(q,)`."""
        classes = torch.from_numpy(self.classes)
        if self.recipe is None:
            gone = np.setdiff1d(np.arange(self.problem.n), rows)
            head = self.problem.head
            assert head is not None
            try:
                found = minimum_without(self.problem, gone, self.theta, distance=CONVERGED)
            except np.linalg.LinAlgError as error:
                raise AttributionError(
                    f"the model can't be trained on {len(rows)} of the samples: {error}; take a "
                    f"larger share of them"
                ) from error
            outputs = torch.from_numpy(head.outputs(found.theta, self.inputs))
        else:
            inputs, targets = self.problem.inputs[rows], self.problem.targets[rows]
            network = Network(module_of(self.recipe(inputs, targets, seed)))
            with torch.no_grad():
                outputs = network.outputs(
                    torch.from_numpy(network.theta), torch.from_numpy(self.inputs)
                )
            if outputs.shape[1] != self.n_outputs:
                raise AttributionError(
                    f"the recipe made a model of {outputs.shape[1]} outputs, and the one to judge "
                    f"has {self.n_outputs}; a subset may lack a class: take a larger share"
                )
        margins: Array = losses.margins(self.problem.spec, outputs, classes).numpy()
        return margins

    def name(self, rows: Rows, seed: int) -> str:
        """Return the name of a training's file."""
        digest = hashlib.sha256(self._digest.encode())
        digest.update(np.ascontiguousarray(rows, "<i8").tobytes())
        return f"margins-{digest.hexdigest()[:24]}-{seed}.npy"

    @cached_property
    def _digest(self) -> str:
        """All that a training's outcome depends on."""
        problem = self.problem
        settings = {
            "loss": problem.spec.to_json(),
            "penalty": problem.penalty,
            "unpenalised": problem.unpenalised,
            "batch_size": problem.batch_size,
            "head": None if problem.head is None else asdict(problem.head),
            "recipe": None if self.recipe is None else recipe_digest(self.recipe),
            "data": model_digest(
                {
                    "inputs": np.asarray(problem.inputs),
                    "targets": np.asarray(problem.targets),
                    "asked": self.inputs,
                    "classes": self.classes,
                }
            ),
        }
        return json.dumps(settings, sort_keys=True)


def retrain(
    how: Retraining,
    subsets: Sequence[Rows],
    seeds: Iterable[int],
    *,
    folder: Path | None,
    workers: int,
) -> Array:
    """Train on every subset with every seed, and return f averaged over the seeds.

    Parameters
    ----------
    how : Retraining
        What a training is.
    subsets : sequence of ndarray of int64
        Rows of the problem to train on.
    seeds : iterable of int
        One training each.
    folder : Path or None
        Where trainings are kept; None for nowhere.
    workers : int
        Processes that train side by side, each with one torch thread.

    Returns
    -------
    ndarray of float64, shape (len(subsets), q)
    """
    seeds = list(seeds)
    if not seeds:
        raise AttributionError("seeds is 0; give at least one training a subset")
    if folder is not None:
        make_private_folder(folder, parents=True)
    jobs = [(i, subset, seed) for seed in seeds for i, subset in enumerate(subsets)]
    total = np.zeros((len(subsets), len(how.classes)))
    open_jobs = []
    for i, subset, seed in jobs:
        kept = None if folder is None else _read(folder / how.name(subset, seed), total.shape[1])
        if kept is None:
            open_jobs.append((i, subset, seed))
        else:
            total[i] += kept
    for (i, subset, seed), margins in _run(how, open_jobs, workers):
        if folder is not None:
            write_file(folder / how.name(subset, seed), _npy(margins))
        total[i] += margins
    return total / len(seeds)


def _run(
    how: Retraining, jobs: list[tuple[int, Rows, int]], workers: int
) -> Iterator[tuple[tuple[int, Rows, int], Array]]:
    """Yield each job with its margins, under a progress bar where someone looks."""
    from tqdm import tqdm

    bar = partial(
        tqdm, total=len(jobs), desc="retraining", delay=1.0, disable=not sys.stderr.isatty()
    )
    work = [(rows, seed) for _, rows, seed in jobs]
    if workers <= 1 or len(jobs) <= 1:
        yield from bar(zip(jobs, (how.margins(*job) for job in work), strict=True))
        return
    _check_importable(how.recipe)
    # Spawned, not forked: a forked child inherits locks of threads that it hasn't got.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(jobs)), _begin, (how,)) as pool:
        yield from bar(zip(jobs, pool.imap(_one, work), strict=True))


_HOW: list[Retraining] = []


def _begin(how: Retraining) -> None:
    """Set up a worker process."""
    torch.set_num_threads(1)
    _HOW[:] = [how]


def _one(job: tuple[Rows, int]) -> Array:
    return _HOW[0].margins(*job)


def _check_importable(recipe: Recipe | None) -> None:
    """Refuse a recipe that another process can't find by its name."""
    try:
        ForkingPickler.dumps(recipe)
    except (AttributeError, TypeError, PicklingError) as error:
        raise AttributionError(
            f"the recipe can't be sent to other processes ({error}); give a function of a module, "
            f"or workers=1"
        ) from error


def _read(path: Path, width: int) -> Array | None:
    """Return a training that was kept, or None."""
    if not path.is_file():
        return None
    wrong = f"{path} isn't a training of this evaluation; delete it"
    try:
        found: Array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise AttributionError(wrong) from error
    if found.shape != (width,) or found.dtype != np.float64:
        raise AttributionError(wrong)
    return found


def _npy(margins: Array) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, margins, allow_pickle=False)
    return content.getvalue()
