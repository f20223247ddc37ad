"""A training that dies is resumed from its checkpoint: the store is that of one that never died."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.robustness.resumed_training import EPOCHS, main
from traceprop.attribution import GradientStore, TrainingContext
from traceprop.errors import StoreWarning
from traceprop.interop.torch import dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> GradientStore:
    folder = tmp_path_factory.mktemp("undisturbed")
    threads = torch.get_num_threads()
    main(folder, "never")
    torch.set_num_threads(threads)
    return GradientStore.open(folder / "grad")


@pytest.mark.parametrize("dies_at", ["3:middle", "3:commit"])
def test_a_training_that_dies_and_is_resumed(
    undisturbed: GradientStore, tmp_path: Path, dies_at: str
):
    command = [sys.executable, "-m", "tests.robustness.resumed_training", str(tmp_path)]
    died = subprocess.run([*command, dies_at], cwd=ROOT, capture_output=True, text=True)
    assert died.returncode == 9, died.stderr
    before = GradientStore.open(tmp_path / "grad")
    assert len(before.info()["parts"]) == (2 if dies_at == "3:middle" else 3)
    done = subprocess.run([*command, "never"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    store = GradientStore.open(tmp_path / "grad")
    assert len(store.info()["parts"]) == EPOCHS  # none twice, none lost
    np.testing.assert_array_equal(store.sample_ids, undisturbed.sample_ids)
    np.testing.assert_array_equal(store.rows[:], undisturbed.rows[:])
    weights, expected = store.record.final_weights, undisturbed.record.final_weights
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)
    assert store.verify().ok
    assert not store.verify().notes


def test_a_run_that_is_recorded_twice_is_said_before_it_is_trained(tmp_path: Path):
    data = dataset(torch.randn(6, 3), torch.randint(0, 2, (6,)))
    model = nn.Linear(3, 2)

    def record() -> None:
        with TrainingContext(model, GradientStore(path=tmp_path / "grad", append=True)) as ctx:
            for x, y in torch.utils.data.DataLoader(data, batch_size=3):
                ctx.backward(nn.functional.cross_entropy(model(x), y))

    record()
    with pytest.warns(StoreWarning, match=r"began with these very weights \(run-1\)"):
        record()
    with torch.no_grad():
        model.weight += 1
    record()
    assert GradientStore.open(tmp_path / "grad").runs_from(model) == ("run-3",)
