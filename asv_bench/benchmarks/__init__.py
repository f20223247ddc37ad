"""asv's benchmarks; `asv run --config asv_bench/asv.conf.json` tracks them over time."""

import sys
from pathlib import Path

# asv imports this package by itself; the benchmarks share programs and oracles with the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
