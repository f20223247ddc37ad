"""Removal and its certificate under one name: what a user imports to take rows out of a model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traceprop.compliance.report import Report as Report
    from traceprop.compliance.report import export_compliance as export_compliance
    from traceprop.unlearning import RemovalRecord as RemovalRecord
    from traceprop.unlearning import approximate_unlearn as approximate_unlearn
    from traceprop.unlearning import record as record

# Imported when first used: torch comes with the removal, not with the name.
_HOMES = {
    "RemovalRecord": "traceprop.unlearning",
    "Report": "traceprop.compliance.report",
    "approximate_unlearn": "traceprop.unlearning",
    "export_compliance": "traceprop.compliance.report",
    "record": "traceprop.unlearning",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'traceprop.unlearn' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
