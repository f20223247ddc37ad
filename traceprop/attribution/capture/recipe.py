"""How a training can be run again exactly: the user's own function, known by name and source.

A recipe trains from given arrays and a seed: `recipe(inputs, targets, seed) -> model`. It is never
stored or loaded as code. Promise: what is recorded of it is enough to notice that another one, or
another version of it, is given later.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from traceprop.errors import CaptureError


def describe_recipe(recipe: Callable[..., Any] | None) -> dict[str, str | None] | None:
    """Return a recipe's qualified name and the SHA-256 of its source, None where that is unknown.

    Raises
    ------
    CaptureError
        It can't be called.
    """
    if recipe is None:
        return None
    if not callable(recipe):
        raise CaptureError(
            f"recipe= is a {type(recipe).__name__}, which can't be called; give a function that "
            f"trains from arrays and a seed: recipe(inputs, targets, seed) -> model"
        )
    named = recipe if hasattr(recipe, "__qualname__") else type(recipe)
    try:
        source = inspect.getsource(named).encode()
    except (OSError, TypeError):  # typed into an interpreter, or written in C
        return {"name": f"{named.__module__}.{named.__qualname__}", "sha256": None}
    digest = hashlib.sha256(source).hexdigest()
    return {"name": f"{named.__module__}.{named.__qualname__}", "sha256": digest}


def check_recipe(recipe: Callable[..., Any] | None, recorded: Mapping[str, Any] | None) -> None:
    """Check that a recipe is the one that a run was recorded with.

    Raises
    ------
    CaptureError
        None is given, the run has none, or it is another; the message names the argument.
    """
    if recipe is None:
        raise CaptureError(
            "retraining needs recipe=, the function that trained the model: it isn't stored"
        )
    if recorded is None:
        raise CaptureError(
            "the run was recorded without a recipe; record it with TrainingContext(recipe=...)"
        )
    given = describe_recipe(recipe)
    if given != recorded:
        raise CaptureError(
            f"recipe= is {given and given['name']} with source {_short(given)}, and the run was "
            f"recorded with {recorded['name']} with source {_short(recorded)}; give that one"
        )


def _short(recipe: Mapping[str, Any] | None) -> str:
    digest = recipe and recipe["sha256"]
    return f"{digest[:12]}…" if digest else "unknown"
