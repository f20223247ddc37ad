"""Names of a package that are imported when first used, so that importing it costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__` (PEP 562) from a table of its names.

    Parameters
    ----------
    package : str
        The package's `__name__`.
    homes : mapping of str to str
        Public name → the module that defines it. A name that is the last part of its module's own
        stands for the module itself.

    Returns
    -------
    tuple of callable
        `__getattr__` and `__dir__`, to be assigned in the package.
    """

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(home)
        value = module if home.endswith(f".{name}") else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
