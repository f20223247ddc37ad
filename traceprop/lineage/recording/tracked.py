"""What every tracked array is made of: an array, its node, and what it shares with others.

A slice of a tensor shares memory with it, so that writing through either changes both. Tensors on
the same memory therefore share a root `State`, which counts writes. Who writes moves the version
and passes the news up to the root (`write`); who is behind derives its node from its parent's
again when it is asked (`Tracked.node`). A tensor that shares nothing has no state at all.
"""

from __future__ import annotations

import weakref
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.graph.counted import count_asked, is_counted
from traceprop.lineage.graph.node import (
    FIRST,
    PAIR,
    SOURCE,
    Held,
    Node,
    Op,
    Recipe,
    make_held,
    make_node,
    slot,
)
from traceprop.lineage.recording.granularity import level
from traceprop.lineage.recording.kept_arrays import hold_plain
from traceprop.lineage.registry import rule_of

if TYPE_CHECKING:
    from traceprop.lineage.source import Source

OVERWRITE: Final = Op("overwrite")
"""`overwrite(whole, part, recipe)`: `whole` after its view `part` was written."""

MEANWHILE: Final = Op("written meanwhile")
"""`meanwhile(one, other)`: what two threads wrote at the same time, each cell by one of them."""

UNFINISHED: Final = Op("unfinished write")
"""`unfinished(target, *others)`: a write that raised; nobody knows how far it came."""

_writing: Final = Lock()

LARGE: Final = 1 << 15
"""Cells from which on it pays to look for memory to write into: 256 KiB of float64, as in NumPy."""


class Adoption:
    """A plain array that tracked values were written into, see `recording.plain_targets`."""

    __slots__ = ("array", "node", "tensor")

    def __init__(self, array: weakref.ref[Any], node: Node) -> None:
        self.array = array
        self.node = node
        self.tensor: weakref.ref[Tracked] | None = None


class State:
    """What a tensor shares with others on the same memory.

    Attributes
    ----------
    root : State
        The state of the tensor that this one is a view of in the end; itself for a root.
    version : int
        On a root: how often the memory was written.
    holders : list of weakref to Held, or None
        On a root: who holds this memory as a mask or an index.
    parent : Tracked or None
        The tensor that this one is a view of.
    view : Node or None
        How the view was made of its parent.
    seen : int
        The root's version that the tensor's node belongs to.
    read : (int, (int, int)) or None
        On a tensor: the row that was read last, and by which instruction; on that row's view: the
        same (`Subscript.__setitem__`).
    value_shaped : bool or None
        Whether values decided the shape (`recording.value_shaped`); None if nobody asked.
    adoption : Adoption or None
        On a root whose memory is a plain array of somebody else's.
    exposed : bool
        On a root: whether somebody else may write into the memory.
    """

    __slots__ = (
        "adoption",
        "exposed",
        "holders",
        "parent",
        "read",
        "root",
        "seen",
        "value_shaped",
        "version",
        "view",
    )

    adoption: Adoption | None
    exposed: bool
    holders: list[weakref.ref[Held]] | None
    parent: Tracked | None
    read: tuple[int, tuple[int, int]] | None
    root: State
    seen: int
    value_shaped: bool | None
    version: int
    view: Node | None


class Tracked:
    """An array with its node. `ProvenanceTensor` is the one class made of it."""

    __slots__ = ("__weakref__", "_array", "_node", "_reuse", "_state")

    _array: Any  # ndarray, or the scalar that NumPy gives in its stead
    _node: Node
    _reuse: bool | None  # None while small; True for what an operator made (dying_operands)
    _state: State | None

    @property
    def node(self) -> Node:
        """The operation that made these values."""
        node = self._made_by()
        if not is_counted(node):
            count_asked((node,), "node")  # its shape and its rows can be read there
        return node

    def _made_by(self) -> Node:
        """Return the operation that made these values; nobody else gets it."""
        state = self._state
        if state is not None and state.seen != state.root.version:
            self._catch_up(state.root.version)
        return self._node

    def _plain(self) -> Any:
        """Return the values as a NumPy array, or as the scalar that NumPy gives in its stead."""
        return self._array

    def in_numpy(self) -> Any:
        """Return the tensor as one over a NumPy array, which most are."""
        return self

    def _catch_up(self, version: int) -> None:
        """Derive the node again: the memory was written through another tensor."""
        behind: list[tuple[Tracked, State]] = []
        tensor: Tracked | None = self
        while tensor is not None and tensor._state is not None and tensor._state.seen != version:
            behind.append((tensor, tensor._state))
            tensor = tensor._state.parent
        for view, state in reversed(behind):
            if state.parent is not None and state.view is not None:
                made = state.view
                inputs = (state.parent._node, *made.inputs[1:])
                if rule_of(made.op).returns_argument:
                    inputs = (*inputs, view._node)  # the values of then said what it shows
                view._node = make_node(
                    made.op, inputs, made.args, made.kwargs, made.shape, made.dtype, made.item
                )
            state.seen = version

    def _own_state(self) -> State:
        """Return the state, made when it is first needed."""
        state = self._state
        if state is None:
            state = State()
            state.root = state
            state.version = state.seen = 0
            state.holders = state.parent = state.view = None
            state.adoption = state.read = state.value_shaped = None
            state.exposed = False
            if self._state is None:  # else another thread was quicker
                self._state = state
        return self._state  # type: ignore[return-value]


KIND: Final[list[type[Tracked]]] = [Tracked]
"""The class that tensors are made of, set by the module that defines it."""


def wrap(cls: type[Tracked], array: Any, node: Node) -> Any:
    """Make a tensor of class `cls` from an array or scalar and its node."""
    tensor = cls()
    tensor._array = array
    tensor._node = node
    tensor._state = None
    tensor._reuse = False if array.size > LARGE else None
    return tensor


def leaf(
    cls: type[Tracked],
    array: NDArray[Any],
    source: Source,
    rows: NDArray[np.integer[Any]] | None,
    column: str | tuple[str, ...] | None = None,
) -> Any:
    """Make a tensor whose row i is data row i of `source`, or row `rows[i]`.

    `column` is the one column that a 1-D array holds, or the names of the array's columns where
    they aren't the source's.
    """
    node = make_node(SOURCE, (), (source, rows, column), None, array.shape, array.dtype)
    return wrap(cls, array, node)


def attach_view(tensor: Tracked, parent: Tracked) -> None:
    """Note that `tensor`, just made, shares the memory of `parent`, its node's first input."""
    root = (parent._state or parent._own_state()).root
    state = State()
    state.root = root
    state.seen = root.version
    state.version = 0
    state.parent = parent
    state.view = made = tensor._node
    state.holders = state.adoption = state.read = state.value_shaped = None
    state.exposed = False
    if parent._node is not made.inputs[0]:
        state.seen = -1  # another thread wrote while the view was made
    tensor._state = state


def shares_memory(result: Any, array: Any) -> bool:
    """Whether an array that was just made is a view of `array`'s memory."""
    base: Any = result.base
    if base is None:
        return False
    return base is array or _owner(base) is _owner(array)


def _owner(array: Any) -> Any:
    """Return what holds an array's memory: the last of what it is a view of, else itself."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def before_write(target: Tracked) -> Node:
    """Get ready for a write into `target`'s memory: whoever holds it as a mask or index copies it.

    Must be called before a byte moves, and `write` or `spoil` after. Returns the target's node.
    """
    state = target._state
    if state is None:
        return target._node
    if state.root.holders:
        for reference in state.root.holders:
            held = reference()
            if held is not None:
                held.protect()
        state.root.holders.clear()
    return target._made_by()


def write(target: Tracked, node: Node, before: Node) -> None:
    """Record that `target`'s memory now holds what `node` says, and so do all who share it.

    `node` may rest on `before`, the target's node until now: if it has another one meanwhile,
    another thread wrote. The tensors above the target get an `overwrite` node.
    """
    if target._state is None and target._node is before:
        target._node = node
        return
    with _writing:
        _write_shared(target, node, before)


def _write_shared(target: Tracked, node: Node, before: Node) -> None:
    state = target._state or target._own_state()
    root = state.root
    now = target._node if state.seen == root.version else target._made_by()
    if now is not before:
        node = make_node(MEANWHILE, (node, now), PAIR, None, now.shape, now.dtype)
    target._node = part = node
    above, below = state.parent, state
    if above is None and root.adoption is None:
        root.version += 1
        state.seen = root.version
        return
    told = [state]
    while above is not None:
        own = above._own_state()
        until_now = above.node
        args = (*PAIR, _recipe(below))
        part = make_node(OVERWRITE, (until_now, part), args, None, until_now.shape, until_now.dtype)
        above._node = part
        told.append(own)
        above, below = own.parent, own
    root.version += 1  # only now: whoever is behind finds all nodes in place
    for each in told:
        each.seen = root.version
    if root.adoption is not None:
        root.adoption.node = part


def spoil(target: Tracked, nodes: tuple[Node, ...], before: Node) -> None:
    """Record that a write of what `nodes` say into `target` raised, perhaps halfway."""
    inputs = (target._made_by(), *nodes)
    args = tuple(map(slot, range(len(inputs))))
    shape, dtype = inputs[0].shape, inputs[0].dtype
    write(target, make_node(UNFINISHED, inputs, args, None, shape, dtype), before)


def _recipe(state: State) -> Recipe:
    view = state.view
    if view is None:
        raise TypeError("only a view has a recipe")
    return Recipe(view.op, view.args, view.kwargs, view.item)


def expose(tensor: Tracked) -> None:
    """Get ready for the memory to be in somebody else's hands, who may write into it at any time.

    Who holds it as a mask or index copies it; who holds it from now on takes it for a plain array.
    """
    before_write(tensor)
    tensor._own_state().root.exposed = True


def hold(tensor: Tracked, index: int, array: Any = None) -> Held:
    """Hold a tensor's values as they are now, by reference: they choose rows.

    `array` is another view of the tensor's memory that is to be held.
    """
    if array is None:
        array = tensor._array
    if level.get() == "op":
        return make_held(index, None)
    root = tensor._own_state().root
    if root.exposed:
        return hold_plain(array, index)
    holders = root.holders
    if holders:
        latest = holders[-1]()
        if latest is not None and latest.array is array and latest.index == index:
            return latest  # X[kept], then y[kept]
        if len(holders) > 32:
            holders[:] = [reference for reference in holders if reference() is not None]
    elif holders is None:
        holders = root.holders = []
    held = make_held(index, array)
    holders.append(weakref.ref(held))
    return held


__all__ = [
    "FIRST",
    "OVERWRITE",
    "State",
    "Tracked",
    "attach_view",
    "before_write",
    "hold",
    "leaf",
    "shares_memory",
    "spoil",
    "wrap",
    "write",
]
