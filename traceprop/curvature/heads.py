"""Models whose outputs are linear in their parameters, seen as one matrix over their features.

Promise: `linear_head` says yes only to structures for which `outputs = features @ Θᵀ` is exact, so
that convex results (Newton, bounds, exact Hessians) hold for the torch module itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """One affine map, `outputs = x Wᵀ + b`, and where its numbers lie in a module's state.

    Its parameter vector θ is the matrix Θ = [W b] of shape `(n_outputs, n_columns)`, row by row.

    Parameters
    ----------
    n_features, n_outputs : int
        Shape of W is `(n_outputs, n_features)`.
    weight : str
        Name of W in the state dict.
    bias : str or None
        Name of b, or None if there is none.
    """

    n_features: int
    n_outputs: int
    weight: str
    bias: str | None

    @property
    def n_columns(self) -> int:
        """Columns of Θ: the features, and one for the bias."""
        return self.n_features + (self.bias is not None)

    def features(self, inputs: ArrayLike) -> Array:
        """Return the model's inputs `(n, ...)` as float64 features `(n, n_columns)`.

        The last column is ones if the head has a bias.
        """
        array = np.asarray(inputs, dtype=np.float64)
        flat = array.reshape(len(array), -1)
        if self.bias is None:
            return flat
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)

    def outputs(self, theta: Array, inputs: ArrayLike) -> Array:
        """Return the outputs Θ xᵢ, shape `(n, n_outputs)`."""
        return np.asarray(self.features(inputs) @ theta.reshape(self.n_outputs, -1).T)

    def pack(self, state: Mapping[str, Any]) -> Array:
        """Return θ, float64, from a state dict of tensors or arrays."""
        parts = [float64_array(state[self.weight])]
        if self.bias is not None:
            parts.append(float64_array(state[self.bias])[:, None])
        return np.concatenate(parts, axis=1).ravel()

    def unpack(self, theta: Array) -> dict[str, Array]:
        """Return the state dict, as float64 arrays, that holds θ."""
        matrix = theta.reshape(self.n_outputs, self.n_columns)
        state = {self.weight: matrix[:, : self.n_features].copy()}
        if self.bias is not None:
            state[self.bias] = matrix[:, -1].copy()
        return state


def float64_array(value: Any) -> Array:
    """Return a tensor of any dtype and device, or an array, as a float64 array."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    import torch

    array: Array = value.detach().to("cpu", torch.float64).numpy()
    return array


def linear_head(model: nn.Module) -> LinearHead | None:
    """Return a module's linear head, or None if its outputs aren't linear in all its parameters.

    Parameters
    ----------
    model : torch.nn.Module
        Accepted: `nn.Linear`, or an `nn.Sequential` (also nested) of one `nn.Linear` and any
        number of `nn.Flatten` and `nn.Identity`. By exact type: a subclass may do something else
        in its forward.

    Returns
    -------
    LinearHead or None
        The head.
    """
    from torch import nn

    found: list[tuple[str, nn.Linear]] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) is nn.Linear:
            found.append((f"{name}." if name else "", module))
        elif type(module) not in (nn.Sequential, nn.Flatten, nn.Identity):
            return None
    if len(found) != 1:
        return None
    prefix, linear = found[0]
    bias = f"{prefix}bias" if "bias" in linear.state_dict() else None
    return LinearHead(linear.in_features, linear.out_features, f"{prefix}weight", bias)
