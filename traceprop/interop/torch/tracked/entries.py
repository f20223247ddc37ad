"""What is known of each torch function by its name: its row rule, and what is promised of it.

The families (`tracked.families`) fill one table, `define("abs add …", …)`. A name stands for the
function, the method and the in-place method alike (`torch.abs`, `Tensor.abs`, `Tensor.abs_`); one
with its home in front ("nn.functional.normalize") is meant alone. `Like` names the NumPy function
whose rule answers, with the places of torch's parameters in it, so that no rule is written twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from traceprop.lineage.graph.edge import Rule, opaque_in_extent
from traceprop.lineage.graph.node import Constant, Held, Node, Slot, make_node
from traceprop.lineage.registry import CONSERVATIVE, EXACT, REFUSED, rule_of

ESCAPE: Final = "escape"
UNCLASSIFIED: Final = "unclassified"

_ALIASES: Final = {"axis": "dim", "axes": "dim", "keepdims": "keepdim", "self": "input"}


class Like(NamedTuple):
    """The NumPy call with the same row behaviour.

    Attributes
    ----------
    function : callable
        Of NumPy.
    parameters : str
        Torch's parameters in order: "input dim=axis -unbiased" says that the first stays in its
        place, the second is NumPy's `axis`, and the third says nothing about rows.
    defaults : dict
        NumPy's parameters where torch's call leaves them out.
    order : tuple of int
        Numbers of those that stay in their places, in NumPy's order.
    """

    function: Callable[..., Any]
    parameters: str
    defaults: dict[str, Any]
    order: tuple[int, ...] = ()


class Entry(NamedTuple):
    """A torch function as it is classified.

    Attributes
    ----------
    family, status, reason : str
        What is promised; see `lineage.registry.Classified`.
    rows : callable
        Its row rule.
    like : Like or None
    mixes, values, data, quiet, shape_from_values, written
        See `lineage.registry.RowRule`.
    cells : bool
        The NumPy function's cell rule fits too.
    fresh : bool
        Its result is memory of its own, never a view.
    by_memory : bool
        Its views show memory as it lies, so that a write through one can't be followed by cells.
    never : str or None
        Why it isn't run again in a replay.
    """

    family: str
    rows: Rule
    status: str = EXACT
    reason: str = ""
    like: Like | None = None
    mixes: bool = False
    values: tuple[int | str, ...] = ()
    data: tuple[Any, ...] = (0,)
    quiet: bool = False
    shape_from_values: int | None = None
    written: int | None = None
    cells: bool = False
    fresh: bool = False
    by_memory: bool = False
    never: str | None = None


ENTRIES: Final[dict[str, Entry]] = {}

UNKNOWN_ENTRY: Final = Entry(
    "torch: unknown", opaque_in_extent, UNCLASSIFIED, "nobody classified it: every row gets all "
    "rows", mixes=True, shape_from_values=0, by_memory=True,
)  # fmt: skip


def define(names: str, family: str, rows: Rule, **facts: Any) -> None:
    """Enter functions, by names between spaces, with their rule and what is known of them."""
    entry = Entry(family, rows, **facts)
    for name in names.split():
        ENTRIES[name] = entry


def define_like(
    names: str,
    family: str,
    function: Any,
    parameters: str,
    order: tuple[int, ...] = (),
    *,
    facts: dict[str, Any] | None = None,
    **defaults: Any,
) -> None:
    """Enter functions whose rows go as those of a NumPy function; see `Like`."""
    like = Like(function, parameters, defaults, order)
    known = rule_of(function)
    settings: dict[str, Any] = {"mixes": known.mixes, "fresh": True, **(facts or {})}
    define(names, f"torch: {family}", rows_of_like, like=like, **settings)


def define_opaque(names: str, reason: str, *, family: str = "all to all", **facts: Any) -> None:
    """Enter functions that get the sound answer, and say why it is no narrower one."""
    settings: dict[str, Any] = {"mixes": True, "shape_from_values": 0, **facts}
    define(names, f"torch: {family}", opaque_in_extent, status=CONSERVATIVE, reason=reason,
           **settings)  # fmt: skip


def define_refused(names: str, reason: str) -> None:
    """Enter functions that can't be followed; `reason` says what to do instead."""
    define(names, "torch: refused", opaque_in_extent, status=REFUSED, reason=reason)


def define_escape(names: str, reason: str) -> None:
    """Enter functions that take values out of the lineage."""
    define(names, "torch: doors", opaque_in_extent, status=ESCAPE, reason=reason)


def define_metadata(names: str) -> None:
    """Enter functions that tell shapes, types and places: no value leaves."""
    define(names, "torch: metadata", opaque_in_extent)


def rows_of_like(node: Node) -> Any:
    """Rule of all functions that go as a NumPy function does."""
    same = in_numpy(node)
    return rule_of(same.op).rows(same)


def in_numpy(node: Node) -> Node:
    """Return the node as the NumPy call with the same row behaviour; itself where there is none."""
    like: Like | None = getattr(node.op, "like", None)
    if like is None:
        return node
    given = by_name(node, like.parameters)
    in_place = [
        given[name] for name in _plain_names(like.parameters) if name in given
    ]  # arguments without a NumPy name, in their order
    if like.order and len(in_place) == len(like.order):
        in_place = [in_place[i] for i in like.order]
    kwargs = dict(like.defaults)
    for word in like.parameters.split():
        name, _, theirs = word.partition("=")
        if theirs and name in given:
            kwargs[theirs] = _axes(given[name]) if theirs in ("axis", "axes") else given[name]
    if node.kwargs and "out" in node.kwargs:
        kwargs["out"] = node.kwargs["out"]
    made = make_node(like.function, node.inputs, tuple(in_place), kwargs or None, node.shape,
                     node.dtype, node.item)  # fmt: skip
    made.memo = node.memo
    return made


def by_name(node: Node, parameters: str) -> dict[str, Any]:
    """Return a call's arguments by torch's names for them, those that were given."""
    names = [word.partition("=")[0].lstrip("-") for word in parameters.split()]
    given = dict(zip(names, node.args, strict=False))
    for name, value in (node.kwargs or {}).items():
        given[name if name in names else _ALIASES.get(name, name)] = value
    return given


def _plain_names(parameters: str) -> list[str]:
    return [word for word in parameters.split() if "=" not in word and word[0] != "-"]


def _axes(dim: Any) -> Any:
    """Return torch's `dim` as NumPy's `axis`: () and [] are all axes, as `std(False)`'s are."""
    if isinstance(dim, (bool, np.bool_)):
        return None
    if isinstance(dim, (tuple, list)):
        return tuple(dim) or None
    return dim


def is_tensor_argument(value: Any) -> bool:
    """Whether an argument in a template was a tensor, tracked or plain."""
    return isinstance(value, (Slot, Held, Constant, np.ndarray))
