"""Other people's packages, each measured in an environment of its own beside ours.

An environment is made once under `.bench-envs/` in the checkout. A peer's script runs there with
the checkout off its path, since one of the peers has our import name, and prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".bench-envs"
# A PYTHONPATH of ours would put our package under the peer's import name.
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def environment(name: str, requirements: list[str]) -> Path:
    """Python of the peer's environment, made and filled if it isn't there.

    NumPy is held at our own version, so that both sides run the same kernels.
    """
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    done = folder / "requirements.txt"
    wanted = "\n".join([f"numpy=={np.__version__}", *requirements]) + "\n"
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"    installing {name} into {folder} …", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted.split()], check=True, cwd=ENVIRONMENTS, env=CLEAN)
    done.write_text(wanted)
    return python


def run_peer(script: str, name: str, requirements: list[str], *arguments: str) -> Any:
    """Run a script of this folder in the peer's environment; what it printed, parsed.

    Parameters
    ----------
    script : str
        File name in this folder.
    name : str
        Of the environment, and the script's first argument.
    requirements : list of str
        What pip installs there.
    *arguments : str
        Further arguments of the script.
    """
    python = environment(name, requirements)
    done = subprocess.run(
        [str(python), str(HERE / script), name, *arguments],
        cwd=ENVIRONMENTS,
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed for {name}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
