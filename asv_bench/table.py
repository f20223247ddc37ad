"""Print the goals of one part of the product, each held against its measured figure.

    python -m asv_bench.table main

One line per goal: what, measured, goal, `ok` or `SHORT`. Exit status 1 when any goal is short, 2
for an unknown table. Each table is a module of `asv_bench/goals/` with a function `goals()`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import platform
import sys
import time

import numpy as np

import asv_bench.goals


def table_names() -> list[str]:
    """Names of the tables that can be printed."""
    return sorted(m.name for m in pkgutil.iter_modules(asv_bench.goals.__path__))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m asv_bench.table", description=__doc__)
    parser.add_argument("name", choices=table_names(), help="which goals to measure")
    name = parser.parse_args(arguments).name
    module = importlib.import_module(f"asv_bench.goals.{name}")

    print(f"{name}: Python {platform.python_version()}, NumPy {np.__version__}, {module.THREADS}")
    print(f"{'what':<66} {'measured':>14} {'goal':>14}")
    short, start = 0, time.perf_counter()
    for goal in module.goals():
        short += not goal.holds
        verdict = "ok" if goal.holds else "SHORT"
        print(f"{goal.what:<66} {goal.measured:>14} {goal.goal:>14}  {verdict}", flush=True)
        if goal.note:
            print(f"    {goal.note}", flush=True)
    print(f"{short} short, {time.perf_counter() - start:.0f} s")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
