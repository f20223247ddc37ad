"""The progress bar: after a second, on a terminal, and nowhere else."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from traceprop.sources import progress


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.01)
    monkeypatch.setattr(progress, "_REFRESH", 0.01)


def run(screen: Screen, monkeypatch: pytest.MonkeyPatch, *, slow: bool) -> str:
    """Wait for some work that ends once a bar had the time to be drawn."""
    monkeypatch.setattr(sys, "stderr", screen)
    looks = iter(range(10**6))
    enough = threading.Event()

    def position() -> int:
        look = next(looks)
        if look >= 3:
            enough.set()
        return min(10 * look, 90)

    with ThreadPoolExecutor(1) as pool:
        if not slow or not screen.isatty():
            enough.set()
        work = pool.submit(enough.wait, 30)
        assert progress.wait_with_bar(work, position, 100, "rows.csv") is True
    return screen.getvalue()


def test_a_slow_load_shows_a_bar_on_a_terminal(quick, monkeypatch) -> None:
    drawn = run(Screen(terminal=True), monkeypatch, slow=True)
    assert "loading rows.csv" in drawn


def test_a_quick_load_shows_nothing(monkeypatch) -> None:
    assert run(Screen(terminal=True), monkeypatch, slow=False) == ""


def test_nothing_is_drawn_where_there_is_no_terminal(quick, monkeypatch) -> None:
    assert run(Screen(terminal=False), monkeypatch, slow=True) == ""


def test_an_error_in_the_work_comes_through(monkeypatch) -> None:
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(int, "no number")
        with pytest.raises(ValueError, match="no number"):
            progress.wait_with_bar(work, lambda: 0, 1, "rows.csv")
