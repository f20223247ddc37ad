from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from traceprop.curvature.architecture import build, describe
from traceprop.curvature.digest import model_digest
from traceprop.errors import StoreError


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 4, (1, 3), padding=(0, 1)), nn.GELU("tanh")),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.LayerNorm(16),
        nn.Linear(16, 2),
    )


@pytest.mark.parametrize(
    "model",
    [nn.Linear(5, 1), nn.Linear(5, 3, bias=False).double(), _cnn()],
    ids=["linear", "float64 without bias", "cnn"],
)
def test_a_model_comes_back_from_json_with_its_outputs(model):
    model.eval()
    description = json.loads(json.dumps(describe(model)))
    again = build(description)
    again.load_state_dict(model.state_dict())
    assert model_digest(again) == model_digest(model)
    dtype = next(model.parameters()).dtype
    x = torch.randn(3, 1, 12, 12, dtype=dtype) if len(list(model.children())) else None
    x = torch.randn(3, 5, dtype=dtype) if x is None else x
    assert torch.equal(again(x), model(x))


def test_names_of_a_named_sequential_are_kept():
    model = nn.Sequential()
    model.add_module("body", nn.Linear(2, 2))
    model.add_module("head", nn.Linear(2, 1))
    assert list(build(describe(model)).state_dict()) == list(model.state_dict())


def test_building_leaves_the_random_state_alone():
    description = describe(nn.Linear(3, 3))
    before = torch.get_rng_state()
    build(description)
    assert torch.equal(torch.get_rng_state(), before)


class Linear(nn.Linear):
    pass


def test_what_is_not_in_the_list_is_none():
    shared = nn.Linear(3, 3)
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert describe(Linear(3, 1)) is None
    assert describe(nn.Sequential(Linear(3, 1))) is None
    assert describe(nn.Sequential(shared, nn.ReLU(), shared)) is None
    assert describe(tied) is None
    assert describe(nn.LSTM(3, 3)) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "os.system", "arguments": {}, "dtype": "float32"},
        {"type": "Linear", "arguments": {"in_features": 3}, "dtype": "float32"},
        {"type": "Identity", "arguments": {}, "dtype": "nn"},
    ],
)
def test_a_strange_description_is_refused(broken):
    with pytest.raises(StoreError, match="model description"):
        build(broken)
