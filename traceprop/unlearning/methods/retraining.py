"""Exact removal by the user's own recipe: the training again, on the data without the samples.

Promises: the recipe is the one that the run was recorded with, by its name and the digest of its
source; it gets copies of the data, the samples that stay in their order, and the recorded seed;
torch's generators are seeded for it, and are afterwards as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from traceprop.attribution.capture.recipe import check_recipe
from traceprop.curvature.digest import model_digest
from traceprop.errors import CaptureError, UnlearnError
from traceprop.unlearning.methods.outcome import Outcome
from traceprop.unlearning.request.given import GivenModel

if TYPE_CHECKING:
    from traceprop.unlearning.request.asked import Asked
    from traceprop.unlearning.request.case import Case


def refusal(case: Case, asked: Asked) -> str | None:
    """Return why a case can't be trained again, or None if it can."""
    record = case.store.record
    assert record is not None
    try:
        check_recipe(asked.recipe, record.recipe)
    except CaptureError as refused:
        return str(refused)
    if asked.seed is None and record.seed is None:
        return "the run's seed isn't recorded; give seed="
    if not record.fixed_data:
        return (
            "samples had other inputs or labels at other visits (augmentation, noise), and the "
            "store holds those of the last visit"
        )
    return None


def remove(case: Case, asked: Asked) -> Outcome:
    """Train again.

    Raises
    ------
    UnlearnError
        The recipe returns no model of the given one's shape, or one that isn't finite.
    """
    record = case.store.record
    assert record is not None
    assert record.recipe is not None
    assert asked.recipe is not None
    seed = record.seed if asked.seed is None else asked.seed
    assert seed is not None
    inputs = np.array(case.goal.inputs[case.kept])
    targets = np.array(case.goal.targets[case.kept])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = asked.recipe(inputs, targets, seed)
    new = _checked(case.start, made)
    digest = record.recipe["sha256"]
    return Outcome(
        new,
        "exact",
        bound=None,
        figures={},
        limits=(
            *(
                ()
                if digest
                else ("The recipe's source isn't known, so only its name was compared.",)
            ),
        ),
        compared_with=(
            f"what the run's own recipe, {record.recipe['name']}, gives on the data that stay, "
            f"with seed {seed}"
        ),
        recipe={
            **record.recipe,
            "seed": seed,
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
        },
    )


def _checked(start: GivenModel, made: Any) -> GivenModel:
    """Return what a recipe made as a model of the given one's kind."""
    if start.read is None and not hasattr(made, "state_dict"):
        raise UnlearnError(
            f"the recipe returned a {type(made).__name__}; it must return the trained module"
        )
    new = GivenModel.of(made)
    if made is start.model:
        raise UnlearnError("the recipe returned the model that was given; it must make a new one")
    if start.read is not None and new.read is None:
        new = start.holding({k: v.numpy() for k, v in new.module.state_dict().items()})
    old, state = start.module.state_dict(), new.module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in old.items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if shapes != found:
        raise UnlearnError(
            "the recipe returned a model of other parameters than the given one; give the recipe "
            "that this model was trained by"
        )
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise UnlearnError("the recipe's training diverged without the rows: weights aren't finite")
    if model_digest(new.module) == model_digest(start.module):
        raise UnlearnError(
            "the recipe gave the very weights of the model with the rows; it must train on the "
            "inputs and targets that it is given"
        )
    return new
