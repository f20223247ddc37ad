"""What a replay without rows must give: the user's own function on a file with those lines deleted.

Slow and plain: the file is copied line by line, loaded anew, and the program runs on the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from traceprop.lineage import ProvenanceTensor, values


def without_lines(path: Path, rows: Collection[int], header: bool = True) -> Path:
    """Copy a CSV file of one line a row, less some data rows."""
    lines = path.read_text().splitlines(keepends=True)
    gone = {int(row) + header for row in rows}
    shorter = path.with_name(f"shorter-{path.name}")
    shorter.write_text("".join(line for i, line in enumerate(lines) if i not in gone))
    return shorter


def executed_anew(
    program: Callable[..., Any],
    load: Callable[[Path], ProvenanceTensor],
    rows: dict[Path, Collection[int]],
    header: bool = True,
) -> Any:
    """Run a program on plain arrays of files without some rows each."""
    shorter = [without_lines(path, gone, header) for path, gone in rows.items()]
    return program(*(values(load(path)).copy() for path in shorter))
