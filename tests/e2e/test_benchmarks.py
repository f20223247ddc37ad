"""asv finds and runs every benchmark once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).resolve().parents[2] / "asv_bench" / "asv.conf.json"


@pytest.mark.timeout(600)
def test_asv_runs_every_benchmark(tmp_path: Path):
    asv = [sys.executable, "-m", "asv"]
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*asv, *arguments, "--config", str(CONFIG)]
        return subprocess.run(command, env=home, capture_output=True, text=True, check=False)

    run("machine", "--yes")
    done = run("run", "--python=same", "--quick", "--dry-run", "--show-stderr")
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert "failed" not in report, report
