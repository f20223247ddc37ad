"""The record that a run leaves: what later steps need, as far as it was given or can be read."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from traceprop.attribution.capture.optimizer import OptimizerWatch
from traceprop.attribution.capture.run_data import RunData
from traceprop.attribution.store.run.record import TrainingRecord
from traceprop.curvature.architecture import describe
from traceprop.curvature.digest import model_digest
from traceprop.errors import CaptureError, CaptureWarning


def run_record(
    model: nn.Module,
    data: RunData,
    watch: OptimizerWatch,
    initial_weights: dict[str, NDArray[Any]],
    seed: int,
    recipe: dict[str, str | None] | None,
) -> TrainingRecord:
    """Put the record of a run together, at its end.

    Parameters
    ----------
    model : torch.nn.Module
        As training ended.
    data : RunData
        What its batches brought.
    watch : OptimizerWatch
        What stepped it.
    initial_weights : dict of str to ndarray
        The model's state as training began.
    seed : int
        Of torch's own generator as training began.
    recipe : dict or None
        What `describe_recipe` gave.
    """
    optimizer, penalty, origin = watch.found()
    inputs, targets = data.observed()
    return TrainingRecord(
        inputs=inputs,
        targets=targets,
        loss=data.loss,
        penalty=penalty,
        penalty_origin=origin,
        optimizer=optimizer,
        initial_weights=initial_weights,
        final_weights=weights_of(model),
        model_digest=model_digest(model),
        architecture=describe(model),
        epochs=data.epochs.epochs,
        batch_size=data.batch_size,
        input_columns=getattr(data.owner, "columns", None),
        seed=seed,
        fixed_data=data.fixed_data,
        order=data.order(),
        recipe=recipe,
    )


def weights_of(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a copy of a model's state; `CaptureError` for bfloat16, which NumPy lacks."""
    weights = {}
    for name, value in model.state_dict().items():
        if value.dtype == torch.bfloat16:
            raise CaptureError(f"{name} is bfloat16, which NumPy can't store; train in float32")
        weights[name] = value.detach().cpu().numpy().copy()
    return weights


def warn_of_mixing(model: nn.Module) -> None:
    """Warn, from `TrainingContext.backward`, of BatchNorm that is trained: it mixes samples."""
    found = mixing_layer(model)
    if found is not None:
        name, module = found
        warnings.warn(
            f"{name or 'the model'} ({type(module).__name__}) in training mode mixes the samples "
            f"of a batch: a sample's recorded gradient takes the batch's statistics as given. "
            f"GroupNorm and LayerNorm keep samples apart",
            CaptureWarning,
            stacklevel=3,
        )


def mixing_layer(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Return the first layer that lets the samples of a batch meet, and its name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            return name, module
    return None
