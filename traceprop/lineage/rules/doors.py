"""Functions that take values out by design, and functions that can't be made to work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.lib import recfunctions

from traceprop.errors import LineageError
from traceprop.lineage.recording.calls import capture, door_name
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.registry import EXACT, REFUSED, handles


def leave(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Say that values leave, before they do."""
    captured = capture(args, kwargs)
    for tensor in captured.inputs:
        escape(tensor, door_name(function))
    return function(*captured.args, **captured.kwargs)


handles(
    np.allclose, np.array_equal, np.array_equiv,
    family="doors", status=EXACT, reason="one truth about all values: it leaves the lineage",
)(leave)  # fmt: skip
handles(
    np.save, np.savez, np.savez_compressed, np.savetxt,
    family="doors", status=EXACT, reason="values leave the lineage into a file",
)(leave)  # fmt: skip


@handles(
    recfunctions.assign_fields_by_name, recfunctions.recursive_fill_fields,
    family="structured", status=REFUSED,
    reason="they write through a field by field copy; assign to the fields instead",
)  # fmt: skip
def refuse(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
    """Say what to do instead."""
    raise LineageError(
        f"{function.__name__} can't keep lineage: assign field by field, as a['x'] = b['x']."
    )
