"""The coverage page says what is so today."""

from __future__ import annotations

import pytest

from tests.coverage.page import PAGE, sections, text, versions
from tests.coverage.scipy_calls import EXACT, KEPT, WRONG, measured


def test_no_function_is_silently_wrong() -> None:
    wrong = [row.name for rows in sections().values() for row in rows if row.status == WRONG]
    assert not wrong


def test_the_page_is_what_the_library_does() -> None:
    written = PAGE.read_text(encoding="utf-8")
    if versions() not in " ".join(written.split()):
        pytest.skip(f"the page was written with other versions than {versions()}")
    assert written == text(), "write it anew: python -m tests.coverage"


def test_dispatch_keeps_rows_that_leave_without_it() -> None:
    without, dispatched = measured(array_api=False), measured(array_api=True)
    kept = {name for name, status in dispatched["scipy.stats"].items() if status in (EXACT, KEPT)}
    assert {"zscore", "gmean", "skew"} <= kept
    assert without["scipy.stats"]["zscore"] == "escapes"
    assert dispatched["scipy.special"]["expit"] == EXACT
