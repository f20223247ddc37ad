"""The progress bar: after a second, on a terminal, and nowhere else."""

from __future__ import annotations

import gzip
import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import traceprop as tp
from traceprop.sources.csv import parse as csv_parse
from traceprop.sources.inputs import compression, files, progress
from traceprop.sources.parquet import source as parquet_source


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


@pytest.mark.parametrize("kind", ["parquet", "gz"])
def test_each_kind_of_file_says_how_far_it_is(
    kind: str, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each door hands over a position that comes to its total; of a CSV it may stop before."""
    ends: dict[str, bool] = {}

    def wait(work, position, total, name, *, doing="loading", unit="B"):  # type: ignore[no-untyped-def]
        result = work.result()
        ends[doing] = position() == total or (
            name.endswith("gz") and doing == "loading" and position() <= total
        )
        return result

    for module in (files, compression, parquet_source, csv_parse):
        monkeypatch.setattr(module, "wait_with_bar", wait)
    path = tmp_path / f"rows.{kind}"
    if kind == "gz":
        path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000))
        tp.load_csv(path).trace(0)
        assert ends == {"expanding": True, "loading": True}
        return
    pq.write_table(pa.table({"a": range(1000)}), path, row_group_size=300)
    tp.load_parquet(path)
    assert ends == {"loading": True}
    assert tp.read_parquet(path)["a"].shape == (1000,)
    (source,) = tp.load_parquet(path).sources()
    source.check()
    assert ends == {"loading": True, "hashing": True}
