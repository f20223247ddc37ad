"""The page docs/coverage.md: what becomes of the rows in each function and transformer.

`text()` works it out anew: NumPy's part from the registry of row rules, scikit-learn's from what is
said of its estimators (both are held against nudged rows by the tests), SciPy's by calling it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy
import sklearn

from tests.coverage import torch_rows
from tests.coverage.scipy_calls import KEPT, NOT_TRIED, WRONG, measured
from tests.interop.sklearn_examples import MAKERS
from tests.interop.test_sklearn_rows import NO_VALUES
from tests.lineage.test_completeness import FUNCTIONS, TABLE, UFUNCS, public, ufunc_status
from traceprop.interop.sklearn.kinds import NEIGHBOURS, OPAQUE, VERSIONS, kind_of
from traceprop.interop.sklearn.splitters import LOOKED_AT
from traceprop.testing.program import name_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
EXACT, CONSERVATIVE, ESCAPES, REFUSED = "exact", "conservative", "escapes", "refused"
STATUSES = (EXACT, CONSERVATIVE, KEPT, ESCAPES, REFUSED)
_WIDTH = 100


class Row(NamedTuple):
    """What becomes of the rows in one function."""

    name: str
    status: str
    reason: str = ""


def versions() -> str:
    """The versions that the page was worked out with."""
    return f"NumPy {np.__version__}, SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}"


def sections() -> dict[str, list[Row]]:
    """Return the page's sections, each with its rows."""
    plain, dispatched = measured(array_api=False), measured(array_api=True)
    found = {
        "NumPy functions": [
            Row(name_of(each), TABLE[public(each)].status, TABLE[public(each)].reason)
            for each in FUNCTIONS
        ],
        "NumPy ufuncs": [Row(name_of(each), ufunc_status(each)) for each in UFUNCS],
        "scikit-learn estimators, after tp.sklearn.enable()": _estimators(),
        "scikit-learn splitters, after tp.sklearn.enable()": _splitters(),
    }
    for module in ("scipy.special", "scipy.stats"):
        found[module] = _rows(plain[module])
        found[f"{module}, with SCIPY_ARRAY_API=1"] = _rows(dispatched[module])
    if torch_rows.ROWS:
        found["torch functions"] = [Row(*each) for each in torch_rows.ROWS]
    return found


def _rows(verdicts: dict[str, str]) -> list[Row]:
    return [Row(name, status) for name, status in verdicts.items() if status != NOT_TRIED]


def _estimators() -> list[Row]:
    rows = []
    for name, (make, _) in MAKERS.items():
        estimator = make()
        method = "transform" if hasattr(estimator, "transform") else "predict"
        label = f"{name}.{method}" if method == "predict" else name
        kind = kind_of(estimator, method)
        if kind == OPAQUE:
            reason = "every row is given all rows: nothing more is known of it"
            rows.append(Row(label, CONSERVATIVE, reason))
        elif kind == NEIGHBOURS:
            reason = "every row is given all rows that may be its neighbours"
            rows.append(Row(label, CONSERVATIVE, reason))
        elif name in NO_VALUES.split():
            reason = "what it draws hangs on the number of rows and columns, not on their values"
            rows.append(Row(label, CONSERVATIVE, reason))
        else:
            rows.append(Row(label, EXACT))
    rows.append(Row("any other estimator", CONSERVATIVE, "every row is given all rows"))
    rows.append(Row("an estimator of one's own that keeps to NumPy functions", EXACT))
    rows.append(Row("a sparse or pandas result", ESCAPES, "only arrays carry rows"))
    return rows


def _splitters() -> list[Row]:
    reason = "all of {} are given as deciding a row's fold"
    return [
        Row(name, EXACT if not looked_at else CONSERVATIVE,
            reason.format(" and ".join(looked_at)) if looked_at else "")
        for name, looked_at in LOOKED_AT.items()
    ] + [Row("train_test_split", EXACT)]  # fmt: skip


_HEAD = """# What keeps its rows

Written by `python -m tests.coverage` and checked by `tests/coverage/test_page.py`, with
{versions} (estimators with scikit-learn {others}).

| | {columns} |
|---|{rules}|
{counts}

- **exact**: a row of the result is given the rows that it is made of, and statistics as such.
- **conservative**: it is given more rows than matter, never fewer.
- **escapes, rows kept**: the result has its rows, but a value left on the way, as a branch on it
  does: an escape, recorded and warned about once.
- **escapes**: the result is plain. Recorded, warned about once, and an error under `tp.strict()`.
- **refused**: an error that says what to do.

Torch's functions are classified by name, and random programs of about 150 of them are nudged; the
others were not called for this page. Of the rest no function is *silently wrong*: each was called,
its source rows were nudged, and a result that changes with a row which isn't among its
dependencies, while no escape and no unknown source says so, fails the tests. Plain values that
SciPy brings back in (`xp.asarray`) are rows of a source that is called `unknown:…`, never of none.
Functions of SciPy that take no data (roots and zeros of polynomials), draw random numbers, or take
longer than a test may, aren't here.
"""


def text() -> str:
    """Return the page."""
    found = sections()
    counts = []
    for title, rows in found.items():
        count = Counter(row.status for row in rows)
        numbers = " | ".join(str(count[status] or "") for status in STATUSES)
        counts.append(f"| {title} | {len(rows)} | {numbers} |")
    columns = ("all", *STATUSES)
    head = _HEAD.format(
        versions=versions(),
        others=" and ".join(VERSIONS),
        columns=" | ".join(columns),
        rules="|".join(["---:"] * len(columns)),
        counts="\n".join(counts),
    )
    return "\n".join([head, *(_section(title, rows) for title, rows in found.items())])


def _section(title: str, rows: list[Row]) -> str:
    lines = [f"## {title}", ""]
    for status in (*STATUSES, WRONG):
        reasons = dict.fromkeys(row.reason for row in rows if row.status == status)
        for reason in sorted(reasons):
            names = [f"`{r.name}`" for r in rows if r.status == status and r.reason == reason]
            label = f"**{status}**" + (f" ({reason})" if reason else "")
            lines += [*_wrapped(f"{label}:", names), ""]
    return "\n".join(lines)


def _wrapped(label: str, names: Iterable[str]) -> list[str]:
    lines = [label]
    for name in names:
        if len(lines[-1]) + len(name) + 1 > _WIDTH:
            lines.append(name)
        else:
            lines[-1] += f" {name}"
    return lines
