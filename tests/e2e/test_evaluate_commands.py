"""`traceprop evaluate …`: its help teaches, a mistake is one line, and it trains side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from tests.curvature.recorded import recorded
from traceprop.attribution import GradientStore
from traceprop.cli import main
from traceprop.curvature.losses import LossSpec

RECIPE = """
import torch
from torch import nn

STEPS = 20


def _model(width):
    return nn.Sequential(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def train(inputs, targets, seed):
    torch.manual_seed(seed)
    model = _model(inputs.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.tensor(inputs)), torch.tensor(targets))
        loss.backward()
        optimizer.step()
    return model


def train_slowly(inputs, targets, seed):
    import time

    time.sleep(0.3)
    return train(inputs, targets, seed)


def fail(inputs, targets, seed):
    raise ValueError("no money left")
"""

RECIPED = ("--recipe", "bank_recipe:train")


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A folder with a recipe in it, the store of a network, and inputs to ask about."""
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "bank_recipe.py").write_text(RECIPE)
    namespace: dict[str, object] = {"__name__": "bank_recipe"}
    exec(RECIPE, namespace)
    draw = np.random.default_rng(0)
    x = draw.standard_normal((50, 3))
    y = (x[:, 0] + 0.5 * draw.standard_normal(50) > 0).astype(np.int64)
    model = namespace["train"](x[:40], y[:40], 0)  # type: ignore[operator]
    data = (torch.tensor(x[:40]), torch.tensor(y[:40]))
    run = recorded(model, *data, LossSpec("cross_entropy", "mean"), 0.0)
    store = GradientStore(path=folder / "grad")
    store.commit(run.rows, run.sample_ids, run.projector, run.record, None)
    inputs = folder / "test.csv"
    np.savetxt(inputs, x[40:], delimiter=",", header="a,b,c", comments="")
    return folder, Path(store.path), inputs


def test_help_teaches_each_command():
    text = _run("--help").output
    assert "\\b" not in text
    for command in ("lds", "loo", "mislabel", "tail-patch"):
        assert f"  traceprop evaluate {command} grad/" in text
        own = _run(command, "--help").output
        assert "STORE" in own
        assert "--json" in own


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lds", "nowhere", "--input", "INPUTS"), "nowhere"),
        (("lds", "STORE", "--input", "INPUTS"), "give recipe="),
        (("lds", "STORE", "--input", "INPUTS", "--share", "2"), "between 0 and 1"),
        (("lds", "STORE", "--input", "INPUTS", "--subsets", "1"), "three or more"),
        (("lds", "STORE", "--input", "INPUTS", "--target", "7"), "no class 7"),
        (("loo", "STORE", "--input", "NARROW"), "trained on inputs of shape (3,)"),
        (("mislabel", "STORE", "--flipped", "FLIPPED"), "sample 99 was never trained on"),
        (("tail-patch", "STORE", "--input", "INPUTS", "--top", "40", "--rate", "1"), "1 to 39"),
    ],
)
def test_a_mistake_is_one_line(network, tmp_path, monkeypatch, arguments, says):
    folder, store, inputs = network
    (tmp_path / "flipped.txt").write_text("1\n99\n")
    (tmp_path / "narrow.csv").write_text("a,b\n1,2\n")
    names = {
        "STORE": store,
        "INPUTS": inputs,
        "NARROW": tmp_path / "narrow.csv",
        "FLIPPED": tmp_path / "flipped.txt",
    }
    more = () if "give recipe=" in says or arguments[0] in ("mislabel", "tail-patch") else RECIPED
    monkeypatch.chdir(folder)
    result = _run(*(names.get(one, one) for one in arguments), *more)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("Error: ")
    assert says in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("bank_recipe:fail", "The recipe bank_recipe:fail failed: ValueError: no money left"),
        ("bank_recipe:absent", "no function 'absent'"),
        ("absent_module:train", "no module 'absent_module'"),
        ("train", "is not MODULE:FUNCTION"),
    ],
)
def test_a_wrong_recipe_is_named(network, monkeypatch, recipe, says):
    folder, store, inputs = network
    monkeypatch.chdir(folder)
    result = _run("lds", store, "--input", inputs, "--subsets", 3, "--recipe", recipe)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_two_processes_train_by_a_recipe_in_the_current_folder(network, tmp_path):
    folder, store, inputs = network
    cache = tmp_path / "trainings"
    command = [sys.executable, "-c", "from traceprop.cli import main; main()"]
    command += ["evaluate", "lds", str(store), "--input", str(inputs), "--method", "ggn"]
    command += ["--subsets", "4", "--workers", "2", "--cache", str(cache), "--json", *RECIPED]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where nobody looks
    found = json.loads(done.stdout)
    assert (found["trainings"], found["inputs"], found["how"]) == (4, 10, "by the recipe")
    kept = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(kept) == 4
    again = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert json.loads(again.stdout) == found
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == kept


def test_the_other_commands_answer(network, tmp_path, monkeypatch):
    folder, store, inputs = network
    flipped = tmp_path / "flipped.txt"
    flipped.write_text("1\n\n7\n")
    monkeypatch.chdir(folder)
    auc = _run("mislabel", store, "--flipped", flipped, "--method", "ggn")
    assert auc.output.startswith("AUC 0.")
    patch = _run("tail-patch", store, "--input", inputs, "--rate", 0.1, "--json")
    assert json.loads(patch.output)["inputs"] == 10
    loo = _run("loo", store, "--input", inputs, *RECIPED)
    assert loo.output.startswith("leave-one-out correlation")


def test_what_was_trained_before_a_kill_is_not_trained_again(network, tmp_path):
    folder, store, inputs = network
    cache = tmp_path / "trainings"
    command = [sys.executable, "-c", "from traceprop.cli import main; main()"]
    command += ["evaluate", "lds", store, "--input", inputs]
    command += ["--recipe", "bank_recipe:train_slowly", "--subsets", 20, "--cache", cache]
    command += ["--json"]
    begun = subprocess.Popen([*map(str, command)], cwd=folder)
    while not list(cache.glob("margins-*")):
        assert begun.poll() is None
        time.sleep(0.05)
    begun.kill()
    begun.wait()
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("margins-*")}
    assert 0 < len(kept) < 20
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["trainings"] == 20
    assert len(list(cache.glob("margins-*"))) == 20
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
