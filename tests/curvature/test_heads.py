"""Linear layers found in modules, whole or after frozen layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from traceprop.curvature.heads import features_of, frozen_body


@pytest.mark.parametrize(
    ("body", "is_frozen"),
    [
        ([nn.Linear(3, 4), nn.Tanh()], True),
        ([nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))], True),
        ([nn.Linear(3, 4), nn.Dropout()], False),
        ([nn.Linear(3, 4), nn.BatchNorm1d(4)], False),
        ([], False),
    ],
)
def test_a_last_layer_after_layers_that_stay_as_they_are(body, is_frozen):
    model = nn.Sequential(*body, nn.Linear(4, 2))
    last = len(body)
    found = frozen_body(model, (f"{last}.weight", f"{last}.bias"))
    assert (found is not None) == is_frozen
    assert frozen_body(model, (f"{last}.weight",)) is None
    if found is not None:
        x = torch.randn(5, 3)
        features = features_of(found[0], x.numpy())
        outputs = found[1].outputs(found[1].pack(model.state_dict()), features)
        np.testing.assert_allclose(outputs, model(x).detach(), atol=1e-6)


def test_tied_weights_and_layers_that_keep_more_than_a_row_are_no_such_body():
    tied = nn.Linear(4, 4)
    model = nn.Sequential(tied, nn.Tanh(), tied)
    assert frozen_body(model, ("2.weight", "2.bias")) is None
    assert features_of(nn.Unflatten(1, (2, 2)), np.zeros((3, 4))) is None
