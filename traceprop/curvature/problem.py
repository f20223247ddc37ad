"""One training run as a problem to solve: data, loss, penalty, and the objectives made of them.

Promise: it knows nothing of where the run was recorded; row j of everything here is one sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.ggn import Network, NetworkObjective, float64, targets_tensor
from traceprop.curvature.heads import LinearHead, features_of, frozen_body
from traceprop.curvature.losses import LossSpec
from traceprop.curvature.objective import HeadObjective, data_scale
from traceprop.errors import DataError

if TYPE_CHECKING:
    from torch import nn

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Data, loss and penalty of one training run.

    Parameters
    ----------
    samples : ndarray of int64, shape (n,)
        The sample of each row.
    inputs, targets : ndarray, shape (n, ...)
        What the model was trained on.
    spec : LossSpec
        The loss.
    penalty : float or None
        λ; None where it isn't known.
    penalty_origin : str
        Where it was read.
    unpenalised : tuple of str
        The parameters that the penalty spares, such as the bias of scikit-learn's models.
    batch_size : int or None
        Samples per step.
    head : LinearHead or None
        The model as one matrix, where it is one and all of it was trained.
    trained : tuple of str
        The parameters that training moved; the others are constants.
    is_whole : bool
        Whether all samples that were trained on are here: none was erased from the store.
    """

    samples: Rows
    inputs: NDArray[Any]
    targets: NDArray[Any]
    spec: LossSpec
    penalty: float | None
    penalty_origin: str
    unpenalised: tuple[str, ...]
    batch_size: int | None
    head: LinearHead | None
    trained: tuple[str, ...]
    is_whole: bool = True

    def behind_frozen_layers(self, model: nn.Module) -> Problem:
        """Return the problem of a last linear layer, where only that was trained; else this one.

        Its inputs are what the frozen layers make of this one's, computed once.
        """
        found = None if self.head is not None else frozen_body(model, self.trained)
        if found is None:
            return self
        body, head = found
        features = features_of(body, self.inputs)
        return self if features is None else replace(self, inputs=features, head=head)

    @property
    def n(self) -> int:
        """Number of training samples."""
        return len(self.samples)

    def scale(self, n: int) -> float:
        """Return the weight of one sample's loss when n samples are trained on."""
        return data_scale(self.spec, n, self.batch_size)

    def removal_weights(self) -> tuple[float, float]:
        """Return a and b of a gᵢ − b ḡ, what leaving sample i out does to the gradient of J.

        With weight c of a sample among n and c' among n − 1, the new objective times c/c' is
        c Σ_{j≠i} ℓⱼ + (c/c') λ/2‖θ‖². At the minimum, where λθ = −c n ḡ, its gradient is
        −(a gᵢ − b ḡ) with a = c and b = n c (1 − c/c'). For a mean loss a = b = 1/n: when one
        sample goes the others weigh more. For a loss summed over all samples b = 0. Parameters
        without a penalty have λ = 0 in both, and nothing changes.

        Raises
        ------
        DataError
            There is one sample only: without it nothing is left to train on.
        """
        if self.n < 2:
            raise DataError(
                "the run has 1 training sample, and without it there is no model to compare with; "
                "record a training on 2 samples or more"
            )
        whole = self.scale(self.n)
        return whole, self.n * whole * (1.0 - whole / self.scale(self.n - 1))

    def head_objective(self, rows: Rows | None = None) -> HeadObjective:
        """Return J of the linear head, on some rows or all; an unknown penalty counts as none."""
        assert self.head is not None
        inputs, targets = self._data(rows)
        return HeadObjective(
            self.head.features(inputs),
            np.asarray(targets),
            self.head.n_outputs,
            self.spec,
            self._head_penalty(),
            self.scale(len(inputs)),
        )

    def network_objective(self, network: Network, rows: Rows | None = None) -> NetworkObjective:
        """Return J of the model as a network; an unknown penalty counts as none."""
        inputs, targets = self._data(rows)
        return NetworkObjective(
            network,
            float64(inputs),
            targets_tensor(self.spec, targets),
            self.spec,
            self._network_penalty(network),
            self.scale(len(inputs)),
        )

    def _head_penalty(self) -> float | NDArray[np.float64]:
        """Return λ, or λ of each parameter of the head where it spares some."""
        assert self.head is not None
        if not self.unpenalised or not self.penalty:
            return self.penalty or 0.0
        each = np.full((self.head.n_outputs, self.head.n_columns), self.penalty)
        if self.head.weight in self.unpenalised:
            each[:, : self.head.n_features] = 0.0
        if self.head.bias in self.unpenalised:
            each[:, -1] = 0.0
        return each.ravel()

    def _network_penalty(self, network: Network) -> float | NDArray[np.float64]:
        """Return λ, or λ of each number of θ where it spares some parameters."""
        if not self.unpenalised or not self.penalty:
            return self.penalty or 0.0
        return np.concatenate(
            [
                np.full(shape.numel(), 0.0 if name in self.unpenalised else self.penalty)
                for name, shape in network.shapes.items()
            ]
        )

    def _data(self, rows: Rows | None) -> tuple[NDArray[Any], NDArray[Any]]:
        return (
            (self.inputs, self.targets) if rows is None else (self.inputs[rows], self.targets[rows])
        )
