"""The model as its user gave it, and as the methods see it: a torch module, or an estimator.

Promise: what was given is never changed; new weights are put into a copy of the same kind, and what
is measured and bounded afterwards is that copy as it stores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from traceprop.curvature.ggn import write_back
from traceprop.curvature.sklearn_models import (
    SklearnModel,
    is_estimator,
    preparation_of,
    read_estimator,
    with_weights,
)

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class GivenModel:
    """A model in both forms.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        What the user holds.
    module : torch.nn.Module
        The same as a module; of a pipeline its last step.
    read : SklearnModel or None
        How the estimator was read; None for a torch module.
    """

    model: Any
    module: nn.Module
    read: SklearnModel | None

    @staticmethod
    def of(model: Any) -> GivenModel:
        """Take a model as it was given.

        Raises
        ------
        ModelError
            It is an estimator that isn't fitted, or of a type that can't be read.
        """
        if not is_estimator(model):
            return GivenModel(model, model, None)
        read = read_estimator(model)
        return GivenModel(model, read.module, read)

    def holding(self, state: Mapping[str, ArrayLike]) -> GivenModel:
        """Return a copy with other weights, rounded to the type that the model stores."""
        if self.read is None:
            new = write_back(self.model, state)
            return GivenModel(new, new, None)
        return GivenModel.of(with_weights(self.model, dict(state)))  # type: ignore[arg-type]

    def behind(self, preparation: Any) -> GivenModel:
        """Return a copy of a pipeline whose steps before the last are others, already fitted."""
        import copy

        new = copy.deepcopy(self.model)
        new.steps[:-1] = preparation.steps
        return GivenModel.of(new)

    @property
    def preparation(self) -> Any:
        """The steps before the last of a pipeline; None without any."""
        return None if self.read is None else preparation_of(self.model)

    def targets(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return labels as the loss takes them."""
        return labels if self.read is None else self.read.targets(labels)
