"""Names of a package that are imported when first used, so that importing it costs nothing.

Promise: where that needs a library that is not installed, the error names our extra that brings it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from traceprop.errors import MissingExtraError

_EXTRA_OF = {
    "torch": "torch",
    "sklearn": "sklearn",
    "fsspec": "remote",
    "networkx": "graph",
    "rfc3161_client": "timestamp",
    "prov": "report",
    "openlineage": "report",
    "cyclonedx": "report",
    "pandas": "dataframes",
    "polars": "dataframes",
    "adbc_driver_manager": "sql",
    "adbc_driver_postgresql": "sql",
}


@contextmanager
def needing_extras() -> Iterator[None]:
    """Turn a missing optional library into a `MissingExtraError` that names its extra."""
    try:
        yield
    except ModuleNotFoundError as missing:
        extra = _EXTRA_OF.get((missing.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtraError(
            f"This needs {missing.name}, which is not installed: install the extra [{extra}], in "
            f"Traceprop's checkout with `python -m pip install -e '.[{extra}]'`.",
            name=missing.name,
        ) from missing


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
        with needing_extras():
            module = importlib.import_module(home)
        value = module if home.endswith(f".{name}") else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
