"""`X.torch()`: a tensor's rows in torch, with their ids."""

from __future__ import annotations

import numpy as np
import torch

import traceprop as tp
from traceprop.attribution import GradientStore, TrainingContext


def test_a_full_batch_made_of_a_tensor_is_recorded_with_its_rows(tmp_path):
    X = tp.array(np.arange(12.0).reshape(6, 2), name="table")[[4, 1, 3]]
    inputs = X.torch()
    assert inputs.dtype == torch.get_default_dtype()
    np.testing.assert_array_equal(inputs.numpy(), tp.lineage.values(X))
    model = torch.nn.Linear(2, 2)
    store = GradientStore(path=tmp_path / "grad")
    with TrainingContext(model, store) as ctx:
        ctx.backward(torch.nn.functional.cross_entropy(model(inputs), torch.tensor([0, 1, 0])))
    assert [list(store.get_provenance(i).rows["table"]) for i in range(3)] == [[4], [1], [3]]
