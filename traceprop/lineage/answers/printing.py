"""How a tensor prints: its values, its sources, its steps."""

from __future__ import annotations

from html import escape as escape_html
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from traceprop.lineage.tensor import ProvenanceTensor


def lineage(tensor: ProvenanceTensor) -> str:
    """Tell sources and steps."""
    parts = []
    found = tensor.sources()
    parts.append(f"sources={found}")
    steps = tensor.ops()
    if steps:
        parts.append(f"steps={steps}")
    return ", ".join(parts)


def text(tensor: ProvenanceTensor) -> str:
    """Values, then what they come from."""
    name = type(tensor).__name__
    values = np.array2string(np.asarray(tensor._array), separator=", ", prefix=f"{name}(")
    return f"{name}({values},\n{' ' * len(name)} {lineage(tensor)})"


def html(tensor: ProvenanceTensor) -> str:
    """Return the same for a notebook."""
    values = escape_html(np.array2string(np.asarray(tensor._array), threshold=60))
    return (
        f"<pre>{values}</pre><small>shape {tensor.shape}, {tensor.dtype} · "
        f"{escape_html(lineage(tensor))}</small>"
    )
