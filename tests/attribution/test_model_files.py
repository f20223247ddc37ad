"""Weights on disk: what is in the file, and who can read it."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from traceprop.attribution.model_files import save_weights
from traceprop.errors import StoreError


def test_the_file_holds_the_parameters_and_nothing_else(tmp_path: Path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    path = tmp_path / "new.npz"
    save_weights(model, path)
    with np.load(path, allow_pickle=False) as saved:
        assert sorted(saved) == sorted(model.state_dict())
        for name, value in model.state_dict().items():
            assert saved[name].dtype == value.numpy().dtype
            np.testing.assert_array_equal(saved[name], value.numpy())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r"Can't write the weights to .*missing"):
        save_weights(torch.nn.Linear(1, 1), tmp_path / "missing" / "new.npz")
