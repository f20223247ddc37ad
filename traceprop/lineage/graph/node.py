"""One recorded operation, and how to walk the operations beneath it.

A `Node` names an operation, holds the nodes of its inputs and the arguments it was called with,
and nothing else: its rows are worked out when somebody asks (`graph.edges`). Nodes
form a DAG by reference. A node never refers to a node made later, so a lineage is freed with the
tensors that end in it; freeing is iterative (CPython's trashcan), however deep it is.

Arguments are kept as a *template*: a tuple in which every tracked array was replaced by a `Slot`
that says which input stood there. Lineage keeps no tracked data alive, with one exception: an
array that chose rows (a mask, an index) is kept by a `Held`, since the rows are in its values. A
plain operand is kept for replay: a small one as a copy, a large one by a `Constant`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np

from traceprop.lineage.graph.kept import Constant as Constant
from traceprop.lineage.graph.kept import Held as Held
from traceprop.lineage.graph.kept import make_held as make_held
from traceprop.operations import load_operation

if TYPE_CHECKING:
    from traceprop.lineage.graph.memo import Memo
    from traceprop.lineage.source import Source


class Slot:
    """The place of a tracked input in a template: "input number `index` stood here"."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> Any:
        return slot, (self.index,)

    def __repr__(self) -> str:
        return f"<input {self.index}>"


SLOTS: Final = tuple(Slot(i) for i in range(64))
FIRST: Final = SLOTS[0]
SECOND: Final = SLOTS[1]
ONE: Final = (FIRST,)
PAIR: Final = (FIRST, SECOND)


def slot(index: int) -> Slot:
    """Return the placeholder of input number `index`; the first few are shared."""
    return SLOTS[index] if index < 64 else Slot(index)


class Op:
    """An operation that NumPy has no function for: indexing, assignment, loading.

    Parameters
    ----------
    name : str
        What the operation is called in `ops(raw=True)` and in a saved lineage.
    run : callable, optional
        Does the operation on plain arrays, for rules and for replay.
    why_not : callable, optional
        Node → the reason in words why this one can't be run again, None where it can.
    """

    __slots__ = ("name", "run", "why_not")

    by_name: ClassVar[dict[str, Op]] = {}

    def __init__(
        self,
        name: str,
        run: Callable[..., Any] | None = None,
        why_not: Callable[[Node], str | None] | None = None,
    ) -> None:
        self.name = name
        self.run = run
        self.why_not = why_not
        Op.by_name[name] = self

    @staticmethod
    def called(name: str) -> Op:
        """Return the operation of that name, of a part of Traceprop that nobody used yet too."""
        if name not in Op.by_name:
            made: Op | None = load_operation(name)
            if made is not None:
                return made
        return Op.by_name[name]

    def __reduce__(self) -> Any:
        return Op.called, (self.name,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the operation on plain arrays."""
        if self.run is None:
            raise TypeError(f"{self.name} is not an operation on arrays")
        return self.run(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


class UfuncMethod:
    """A ufunc's `reduce`, `accumulate`, `reduceat`, `outer` or `at`, as one hashable operation."""

    __slots__ = ("__name__", "method", "ufunc")

    def __init__(self, ufunc: np.ufunc, method: str) -> None:
        self.ufunc = ufunc
        self.method = method
        self.__name__ = f"{ufunc.__name__}.{method}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the operation on plain arrays."""
        return getattr(self.ufunc, self.method)(*args, **kwargs)

    def __reduce__(self) -> Any:
        return ufunc_method, (self.ufunc, self.method)

    def __repr__(self) -> str:
        return f"<operation {self.__name__}>"


@cache
def ufunc_method(ufunc: np.ufunc, method: str) -> UfuncMethod:
    """Return the one operation object for this ufunc's method."""
    return UfuncMethod(ufunc, method)


class Recipe(NamedTuple):
    """How a view was made of its parent, without the parent: a node less its inputs."""

    op: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    item: int | None


SOURCE: Final = Op("source")
CONSTANT: Final = Op("constant")


class Node:
    """One recorded operation. Immutable, but for `memo`: answers that were worked out from it.

    Attributes
    ----------
    op : callable
        The NumPy function, ufunc, `UfuncMethod` or `Op` that was called.
    inputs : tuple of Node
        The tracked inputs, in the order of their slots.
    args, kwargs : tuple, dict or None
        The call's template. A leaf's (`SOURCE`) is its source, the source row of each row (None for
        0, 1, 2, …), and what `Source.read` takes to give it again: the name of its one column, the
        names of its columns where they aren't the source's, or None.
    shape, dtype
        Of the result.
    item : int or None
        Which of several results this is.
    memo : Memo or None
        What was worked out so far; never part of the node's meaning.
    """

    __slots__ = ("args", "dtype", "inputs", "item", "kwargs", "memo", "op", "shape")

    op: Callable[..., Any]
    inputs: tuple[Node, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    item: int | None
    memo: Memo | None

    @property
    def name(self) -> str:
        """The operation's plain name."""
        return plain_name(self.op)

    @property
    def n_rows(self) -> int:
        """Length of axis 0; a scalar counts as one row."""
        return self.shape[0] if self.shape else 1

    @property
    def source(self) -> Source | None:
        """The source whose rows this leaf holds; None for anything but such a leaf."""
        return self.args[0] if self.op is SOURCE else None

    @property
    def leaf_columns(self) -> tuple[str, ...]:
        """Names of the columns that this leaf holds; () where they have none."""
        source, _, column = self.args
        if column is None:
            names: tuple[str, ...] = source.columns
            return names
        return (column,) if isinstance(column, str) else column

    def __repr__(self) -> str:
        return f"<{self.name} {self.dtype}{list(self.shape)}>"


def plain_name(op: Callable[..., Any]) -> str:
    """Return what an operation is called in raw steps."""
    name = getattr(op, "name", None) or getattr(op, "__name__", None)
    return str(name or type(op).__name__)


def in_numpy(node: Node) -> Node:
    """Return a node of another library as the NumPy call that it stands for; else itself."""
    translate: Callable[[Node], Node] | None = getattr(node.op, "in_numpy", None)
    return node if translate is None else translate(node)


def make_node(
    op: Callable[..., Any],
    inputs: tuple[Node, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    item: int | None = None,
) -> Node:
    """Make a node from its parts."""
    node = Node()
    node.op = op
    node.inputs = inputs
    node.args = args
    node.kwargs = kwargs
    node.shape = shape
    node.dtype = dtype
    node.item = item
    node.memo = None
    return node


def flat(node: Node) -> list[tuple[Any, ...]]:
    """Return everything `node` rests on as plain records, inputs first; for pickling."""
    order = inputs_first(node)
    number = {each: i for i, each in enumerate(order)}
    return [
        (n.op, tuple(number[p] for p in n.inputs), n.args, n.kwargs, n.shape, n.dtype, n.item)
        for n in order
    ]


def unflat(records: list[tuple[Any, ...]]) -> Node:
    """Return the last node that `flat` recorded."""
    made: list[Node] = []
    for op, inputs, *rest in records:
        made.append(make_node(op, tuple(made[i] for i in inputs), *rest))
    return made[-1]


def ancestors(*roots: Node) -> list[Node]:
    """Every node that `roots` rest on, themselves included, each once, in no promised order."""
    seen = set(roots)
    stack = list(seen)
    pop, add, push = stack.pop, seen.add, stack.append
    while stack:
        for parent in pop().inputs:
            if parent not in seen:
                add(parent)
                push(parent)
    return list(seen)


def inputs_first(*roots: Node) -> list[Node]:
    """Every node that `roots` rest on, each after its inputs."""
    done: set[Node] = set()
    order: list[Node] = []
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if root in done:
            continue
        done.add(root)
        stack.append((root, iter(root.inputs)))
        while stack:
            node, remaining = stack[-1]
            for parent in remaining:
                if parent not in done:
                    done.add(parent)
                    stack.append((parent, iter(parent.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order
