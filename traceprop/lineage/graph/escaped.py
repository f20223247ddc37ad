"""Where values left the lineage, noted on the operations that they came from.

What escapes is often a temporary, as in `X / float(X.std())`: nobody can ask it afterwards. So an
escape is noted on every operation beneath the escaping one, down to the sources, and a tensor's
escapes are those noted on it or on any of its sources. A note is a bit, one for each line of code
that ever let a value out; so notes take no more room than the program has such lines, and a walk
ends where the same line was noted before.
"""

from __future__ import annotations

from threading import Lock
from typing import Final, NamedTuple

from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Node, ancestors


class Escape(NamedTuple):
    """One place where values left.

    Attributes
    ----------
    door : str
        What they left through, as the user wrote it: "np.asarray", "float", "tolist".
    filename, line
        Where in the caller's code.
    """

    door: str
    filename: str
    line: int

    def __str__(self) -> str:
        return f"{self.door} at {self.filename}:{self.line}"


_numbers: Final[dict[Escape, int]] = {}  # in the order of first use: the bit of each
_noting: Final = Lock()


def note_escape(node: Node, escape: Escape) -> None:
    """Note that values of `node` left."""
    with _noting:
        bit = 1 << _numbers.setdefault(escape, len(_numbers))
        stack = [node]
        while stack:
            current = stack.pop()
            kept = memo(current)
            if not kept.escapes & bit:
                kept.escapes |= bit
                stack.extend(current.inputs)
                if current.op is SOURCE:
                    current.args[0].escaped |= bit


def escapes_of(node: Node) -> list[Escape]:
    """Where values of `node`, or of what rests on a source of it, left; in order of first use."""
    noted = 0 if node.memo is None else node.memo.escapes
    for each in ancestors(node):
        if each.op is SOURCE:  # whose columns may each be a leaf of their own
            noted |= each.args[0].escaped
    with _noting:
        return [escape for escape, number in _numbers.items() if noted >> number & 1]
