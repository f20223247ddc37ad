"""Which method removes samples from a model, and why: what was asked for, or what fits best.

Promise: a method that doesn't fit the model is refused, never replaced in silence; where one was
chosen for the user, the reason says by what.
"""

from __future__ import annotations

from traceprop.errors import UnlearnError
from traceprop.unlearning.methods import convex, refitting, retraining
from traceprop.unlearning.request.asked import Asked
from traceprop.unlearning.request.case import Case


def choose(case: Case, asked: Asked) -> tuple[str, str]:
    """Return the method to run and why.

    Parameters
    ----------
    case : Case
    asked : Asked

    Raises
    ------
    UnlearnError
        The method that was asked for doesn't fit.
    """
    method = asked.method
    if method == "ascent":
        return method, "Asked for by name, as a baseline."
    if method == "gauss-newton":
        return method, "Asked for by name."
    if method == "exact" and asked.recipe is None and case.given.read is not None:
        why = refitting.refusal(case)
        if why is not None:
            raise UnlearnError(f"the model can't be trained again: {why}")
        return "exact", _REFITTED
    if method == "exact" or (method == "auto" and asked.recipe is not None):
        why = retraining.refusal(case, asked)
        if why is not None:
            raise UnlearnError(f"the model can't be trained again: {why}")
        return "exact", "The run's own recipe was given."
    refused = convex.refusal(case)
    if refused is None:
        why = (
            f"The model is linear in its {_trained(case)} and the penalty "
            f"λ = {case.problem.penalty:g} ({case.problem.penalty_origin}) makes its objective "
            f"strictly convex."
        )
        return ("exact-convex" if method == "auto" else method), why + _stopped_early(case)
    if method in ("exact-convex", "certified"):
        raise UnlearnError(
            f"method {method!r} doesn't fit: {refused}; use 'gauss-newton', or train again without "
            f"the rows"
        )
    if case.given.read is not None:
        unlike = refitting.refusal(case)
        if unlike is None:
            return "exact", _REFITTED
        refused = f"{refused}; {unlike}"
    return "gauss-newton", f"No exact method fits: {refused}.{_with_recipe(case)}"


_REFITTED = (
    "The estimator's own settings are its recipe: fitted on all of the data they give its weights "
    "to the bit."
)


def _trained(case: Case) -> str:
    frozen = case.linear is not case.problem
    return "last layer, all that was trained," if frozen else "parameters"


def _stopped_early(case: Case) -> str:
    """Say of a run with a recipe that the result isn't what the recipe gives."""
    record = case.store.record
    if record is None or record.recipe is None:
        return ""
    return (
        f" The run's recipe, {record.recipe['name']}, wasn't given: where it stops before the "
        f"minimum, retraining by it ends elsewhere."
    )


def _with_recipe(case: Case) -> str:
    record = case.store.record
    if record is None or record.recipe is None:
        return ""
    return f" With recipe={record.recipe['name']} the removal would be exact."
