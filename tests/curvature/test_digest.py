from __future__ import annotations

import numpy as np
import torch
from torch import nn

from traceprop.curvature.digest import model_digest


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_a_module_its_state_and_numpy_arrays_have_one_digest():
    model = _model()
    state = model.state_dict()
    arrays = {name: value.numpy() for name, value in reversed(state.items())}
    assert model_digest(model) == model_digest(state) == model_digest(arrays)
    assert len(model_digest(model)) == 64


def test_byte_order_and_memory_layout_of_the_arrays_do_not_matter():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    plain = model_digest({"w": a})
    assert model_digest({"w": np.asfortranarray(a)}) == plain
    assert model_digest({"w": a.astype(">f4")}) == plain


def test_one_bit_a_name_a_shape_and_a_dtype_change_the_digest():
    a = np.arange(6, dtype=np.float32)
    plain = model_digest({"w": a})
    nudged = a.copy()
    nudged[2] = np.nextafter(nudged[2], np.float32(9))
    others = [{"w": nudged}, {"v": a}, {"w": a.reshape(2, 3)}, {"w": a.view(np.int32)}]
    assert len({plain, *map(model_digest, others)}) == 5


def test_buffers_and_bfloat16_count():
    model = _model()
    before = model_digest(model)
    model[1].running_mean += 1
    assert model_digest(model) != before
    half = model_digest({"w": torch.ones(3, dtype=torch.bfloat16)})
    assert half != model_digest({"w": torch.zeros(3, dtype=torch.bfloat16)})
