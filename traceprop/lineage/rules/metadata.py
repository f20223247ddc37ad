"""Functions that answer with shapes, types and text: no value leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from traceprop.lineage.graph.counted import count_asked
from traceprop.lineage.recording.counts import count_left
from traceprop.lineage.recording.tracked import Tracked
from traceprop.lineage.registry import EXACT, handles

_COUNTING = (
    np.shape, np.size, np.einsum_path, np.diag_indices_from, np.tril_indices_from,
    np.triu_indices_from,
)  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Tracked):
        return value._array
    if isinstance(value, (tuple, list)):
        return type(value)(_plain(each) for each in value)
    return value


@handles(
    np.shape, np.size, np.ndim, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj,
    np.min_scalar_type, np.common_type, np.may_share_memory, np.shares_memory, np.array_repr,
    np.array_str, np.array2string, np.einsum_path, np.diag_indices_from, np.tril_indices_from,
    np.triu_indices_from,
    family="metadata", status=EXACT,
)  # fmt: skip
def describe(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The answer is the plain array's."""
    if function in _COUNTING:
        for each in (*args, *kwargs.values()):
            if isinstance(each, Tracked):
                count_left(each.node, f"np.{function.__name__}", None, depth=3)
    elif function is np.min_scalar_type:
        for each in args[:1]:
            if isinstance(each, Tracked) and not each._array.ndim:
                count_asked((each.node,), "np.min_scalar_type", 2)  # it tells how large it is
    return function(
        *(_plain(each) for each in args), **{name: _plain(v) for name, v in kwargs.items()}
    )
