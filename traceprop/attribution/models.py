"""What users give as a model, and the inputs that go with it: torch modules and scikit-learn's own.

Promise: all that follows works on a torch module and on plain arrays of numbers; an estimator
stands for the module that its weights make, a pipeline for its last step behind its preparation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.estimators.problem import plain_values
from traceprop.curvature.sklearn_models import (
    is_estimator,
    preparation_of,
    read_estimator,
    weights_of,
)
from traceprop.errors import AttributionError, DataError
from traceprop.lineage import ProvenanceTensor, values

if TYPE_CHECKING:
    from torch import nn


def module_of(model: Any) -> nn.Module:
    """Return a model as a torch module: itself, or what a fitted estimator amounts to.

    Raises
    ------
    AttributionError
        It is neither.
    ModelError
        The estimator can't be read.
    """
    if is_estimator(model):
        return read_estimator(model).module
    _check(model)
    module: nn.Module = model
    return module


def state_of(model: Any) -> Mapping[str, Any]:
    """Return a model's weights by name, without building a module for them.

    Raises
    ------
    AttributionError, ModelError
        As `module_of`.
    """
    if not is_estimator(model):
        _check(model)
        state: Mapping[str, Any] = model.state_dict()
        return state
    return weights_of(model)


def _check(model: Any) -> None:
    if not hasattr(model, "state_dict"):
        raise AttributionError(
            f"the model is a {type(model).__name__}; give the torch module that was trained, a "
            f"fitted scikit-learn model, or traceprop.attribution.model_files.restore_model(store)"
        )


def plain_inputs(model: Any, inputs: Any) -> NDArray[Any]:
    """Return inputs as the module of a model takes them: prepared by the steps of a pipeline.

    Of a pipeline, one input may be given as a vector; all other shapes are kept.

    Raises
    ------
    DataError
        They aren't numbers, or have none of the shapes that the pipeline takes.
    """
    preparation = preparation_of(model) if is_estimator(model) else None
    if preparation is None:
        return plain_values(_dense(inputs))
    try:
        return plain_values(_dense(preparation.transform(_table(inputs))))
    except (ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"the pipeline doesn't take these inputs: {said}") from error


def _table(inputs: Any) -> Any:
    """Return what a pipeline takes: of one row of numbers, a table; all else as it is."""
    if isinstance(inputs, ProvenanceTensor):
        inputs = values(inputs)
    elif hasattr(inputs, "detach"):
        inputs = inputs.detach().cpu().numpy()
    elif hasattr(inputs, "to_frame"):  # a row of a data frame
        return inputs.to_frame().T
    if isinstance(inputs, np.ndarray | list | tuple):
        row = np.asarray(inputs)
        if row.ndim == 1 and row.dtype.kind in "biuf":
            return row[None]
    return inputs


def _dense(array: Any) -> Any:
    """Return a sparse matrix as an array, and anything else as it is."""
    return array.toarray() if hasattr(array, "toarray") else array
