"""What is promised of each torch function that may be overridden: the table behind the docs.

`torch.overrides` says what there is; a test fails for any that nobody classified.
"""

from __future__ import annotations

from typing import Any

from torch.overrides import get_overridable_functions

from traceprop.interop.torch.tracked.ops import find_entry, qualified_name
from traceprop.lineage.registry import Classified


def classification() -> dict[str, Classified]:
    """Return each overridable function's name with what is promised, and why.

    Returns
    -------
    dict
        "torch.Tensor.sum" → status `exact`, `conservative`, `refused`, `escape` or `unclassified`;
        family; and the reason for any but exact.
    """
    found: dict[str, Classified] = {}
    functions: Any = get_overridable_functions()
    for group in functions.values():
        for function in group:
            name = qualified_name(function)
            entry = find_entry(name)
            family = entry.family.removeprefix("torch: ")
            found[name] = Classified(entry.status, family, entry.reason)
    return dict(sorted(found.items()))
