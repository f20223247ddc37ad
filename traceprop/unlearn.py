"""Removal and its certificate under one name: what a user imports to take rows out of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
