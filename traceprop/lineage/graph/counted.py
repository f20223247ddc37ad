"""Where the number of a tensor's rows left the lineage as a plain number, noted on its operations.

`len(X)` is a plain int, and nobody can tell what is computed of it from a number that was written.
But a number that came of it can only stand in an operation recorded afterwards. So the first time
that a count leaves, every operation beneath the tensor is marked with it: those were there before,
and their numbers are as they were written. A replay without rows refuses numbers in all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from traceprop.lineage.graph.callers import is_only_shown, users_frame
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Node

if TYPE_CHECKING:
    from traceprop.lineage.source import Source


class CountDoor(NamedTuple):
    """One place where a number of rows left.

    Attributes
    ----------
    number : int
        Later ones have higher numbers.
    door : str
        What it left through, as the user wrote it: "len", "shape".
    filename, line
        Where in the caller's code.
    """

    number: int
    door: str
    filename: str
    line: int

    def __str__(self) -> str:
        return f"{self.door} at {self.filename}:{self.line}"


_numbers: Final = count()
_noting: Final = Lock()


def note_count(node: Node, door: str, filename: str, line: int) -> None:
    """Note that the number of rows of `node` left."""
    if is_counted(node):
        return
    with _noting:
        noted = CountDoor(next(_numbers), door, filename, line)
        stack = [node]
        while stack:
            current = stack.pop()
            kept, beneath = memo(current), current.inputs
            if kept.counted is None:
                kept.counted = noted
                stack.extend(beneath)
                if current.op is SOURCE and current.args[0].counted is None:
                    current.args[0].counted = noted


def is_counted(node: Node) -> bool:
    """Whether a node, and all beneath it, were there when an earlier count left."""
    return node.memo is not None and node.memo.counted is not None


def count_asked(nodes: Iterable[Node], door: str, depth: int = 1) -> None:
    """Note a count of these nodes where the code `depth` calls above the caller is the user's."""
    new = [node for node in nodes if not is_counted(node)]
    frame = users_frame(depth + 1) if new else None
    if frame is not None and not is_only_shown(frame):
        for node in new:
            note_count(node, door, frame.f_code.co_filename, frame.f_lineno)


def source_count_asked(source: Source, door: str) -> None:
    """Note that the caller's caller, if it is the user's code, got a source's number of rows.

    Which operations there were is not known then: none counts as recorded before.
    """
    frame = users_frame(2)
    if frame is not None and source.counted is None and not is_only_shown(frame):
        with _noting:
            noted = CountDoor(next(_numbers), door, frame.f_code.co_filename, frame.f_lineno)
            source.counted = noted


def first_count(nodes: list[Node]) -> CountDoor | None:
    """Return where a number of rows of something made of these nodes' sources left first."""
    found = [
        node.args[0].counted
        for node in nodes
        if node.op is SOURCE and node.args[0].counted is not None
    ]
    return min(found, default=None)


def was_there(node: Node, door: CountDoor) -> bool:
    """Whether an operation is known to have been recorded before a count left."""
    kept = node.memo
    return kept is not None and kept.counted is not None and kept.counted.number <= door.number


def restore_count(
    sources: Iterable[Source], nodes: Iterable[Node], door: str, filename: str, line: int
) -> None:
    """Note what a saved lineage says: where a count left first, and what was there before."""
    with _noting:
        noted = CountDoor(next(_numbers), door, filename, line)
        for source in sources:
            source.counted = noted
        for node in nodes:
            memo(node).counted = noted
