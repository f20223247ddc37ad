"""Random edits of a CSV's rows that say what became of each: what `Trace.verify` must find."""

from __future__ import annotations

import random


def edited(rows: list[bytes], edits: int, random_: random.Random) -> list[bytes]:
    """Insert, delete, change, move and copy rows at random places."""
    new = list(rows)
    for edit in range(edits):
        at = random_.randrange(len(new) + 1)
        kind = random_.choice(["insert", "delete", "change", "move", "copy"])
        if kind == "insert":
            new.insert(at, b"new%d,%d" % (edit, random_.randrange(100)))
        elif not new or at == len(new):
            continue
        elif kind == "delete":
            del new[at]
        elif kind == "change":
            new[at] += b"%d" % edit
        else:
            row = new.pop(at) if kind == "move" else new[at]
            new.insert(random_.randrange(len(new) + 1), row)
    return new
