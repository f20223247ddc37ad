from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from traceprop.curvature.losses import (
    LossSpec,
    decided,
    margins,
    n_decisions,
    reduce,
    sample_losses,
)
from traceprop.errors import DataError

F64 = torch.float64


def _case(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn(7, 3, generator=generator, dtype=F64) * 4
    if kind == "cross_entropy":
        return outputs, torch.randint(0, 3, (7,), generator=generator)
    if kind == "mse":
        return outputs, torch.randn(7, 3, generator=generator, dtype=F64)
    return outputs, torch.randint(0, 2, (7, 3), generator=generator).to(F64)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("kind", "criterion"),
    [
        ("cross_entropy", functional.cross_entropy),
        ("bce_with_logits", functional.binary_cross_entropy_with_logits),
        ("mse", functional.mse_loss),
    ],
)
def test_reduced_sample_losses_equal_torchs_criterion(kind, criterion, reduction):
    outputs, targets = _case(kind)
    spec = LossSpec(kind, reduction)
    ours = reduce(spec, sample_losses(spec, outputs, targets))
    theirs = criterion(outputs, targets, reduction=reduction)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)


def test_targets_of_shape_n_fit_outputs_of_shape_n_by_1():
    spec = LossSpec("mse", "sum")
    outputs = torch.tensor([[1.0], [2.0]])
    losses = sample_losses(spec, outputs, torch.tensor([0.0, 5.0]))
    assert losses.tolist() == [1.0, 9.0]


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_margin_of_class_scores_is_the_log_odds_of_the_class(n_classes):
    outputs = torch.randn(4, n_classes, dtype=F64, generator=torch.Generator().manual_seed(1))
    classes = torch.tensor([0, 1, 1, 0])
    p = outputs.softmax(1)[torch.arange(4), classes]
    ours = margins(LossSpec("cross_entropy", "mean"), outputs, classes)
    torch.testing.assert_close(ours, torch.log(p / (1 - p)), rtol=1e-12, atol=1e-12)


def test_margin_and_decision_of_one_logit():
    spec = LossSpec("bce_with_logits", "mean")
    outputs = torch.tensor([[2.0], [-3.0]])
    assert decided(spec, outputs).tolist() == [1, 0]
    assert margins(spec, outputs, decided(spec, outputs)).tolist() == [2.0, 3.0]


def test_margin_of_a_regression_is_the_prediction():
    spec = LossSpec("mse", "mean")
    outputs = torch.tensor([2.0, -3.0])
    assert margins(spec, outputs, decided(spec, outputs)).tolist() == [2.0, -3.0]


def test_margins_keep_their_derivative_where_a_class_is_masked_out():
    outputs = torch.tensor([[1.0, 2.0, 4.0]], dtype=F64, requires_grad=True)
    margin = margins(LossSpec("cross_entropy", "mean"), outputs, torch.tensor([2]))
    (gradient,) = torch.autograd.grad(margin.sum(), outputs)
    odds = torch.softmax(torch.tensor([1.0, 2.0], dtype=F64), 0)
    torch.testing.assert_close(gradient[0], torch.tensor([-odds[0], -odds[1], 1.0], dtype=F64))


def test_several_logits_decide_no_class():
    with pytest.raises(DataError, match="3 independent"):
        n_decisions(LossSpec("bce_with_logits", "mean"), 3)


@pytest.mark.parametrize(("kind", "reduction"), [("hinge", "mean"), ("mse", "none")])
def test_an_unknown_loss_is_named(kind, reduction):
    with pytest.raises(DataError, match=r"hinge|none"):
        LossSpec(kind, reduction)


def test_json_round_trip():
    spec = LossSpec("mse", "sum")
    assert LossSpec.from_json(spec.to_json()) == spec


def test_the_modules_that_stores_read_import_no_torch():
    code = (
        "import sys, traceprop.curvature.losses, traceprop.curvature.digest, "
        "traceprop.curvature.architecture; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
