"""The user's own functions, which make or train their model, named as MODULE:FUNCTION.

It is the only code that the command line runs which isn't Traceprop's. Promise: what goes wrong in
it ends as one line that says so and where, not as a traceback.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from torch import nn

# What Python code raises when it is wrong; not what stops a program (KeyboardInterrupt, exit).
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def load_factory(name: str) -> Callable[[], nn.Module]:
    """Import the user's function that makes an untrained model, named `package.module:function`.

    Parameters
    ----------
    name : str
        Modules are looked for in the current folder first.

    Raises
    ------
    click.BadParameter
        The name is not of that form, there is no such module or function, or the module can't be
        run. The function returned raises it too, where the user's own raises.
    """
    function = _load(name)

    def make() -> nn.Module:
        with _telling_faults(f"The function {name} failed"):
            model: nn.Module = function()
            return model

    return make


def load_recipe(name: str) -> Callable[[Any, Any, int], Any]:
    """Import the user's function of (inputs, targets, seed) that trains a model.

    As `load_factory`, but its folder stays on the path: worker processes import it too.
    """
    recipe = _load(name)
    sys.path.append(str(Path.cwd()))
    return partial(_run_recipe, name, recipe)


def _run_recipe(name: str, recipe: Callable[..., Any], inputs: Any, targets: Any, seed: int) -> Any:
    with _telling_faults(f"The recipe {name} failed"):
        return recipe(inputs, targets, seed)


def _load(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise click.BadParameter(f"{name!r} is not MODULE:FUNCTION, as in bank.models:make_model.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        with _telling_faults(f"The module {module_name} can't be imported"):
            module = importlib.import_module(module_name)
    finally:
        sys.path.pop(0)
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        raise click.BadParameter(f"{module_name} has no function {function_name!r}.")
    return function


@contextmanager
def _telling_faults(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise click.BadParameter(f"There is no module {missing.name!r} to import.") from missing
    except SyntaxError as error:
        place = f"{error.filename}, line {error.lineno}"
        raise click.BadParameter(f"{what}: {error.msg} ({place}).") from error
    except _FAULTS as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise click.BadParameter(
            f"{what}: {type(error).__name__}: {error} ({last.filename}, line {last.lineno})."
        ) from error
