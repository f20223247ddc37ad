"""Models whose outputs are linear in their parameters, seen as one matrix over their features.

Promise: `linear_head` says yes only to structures for which `outputs = features @ Θᵀ` is exact, so
that convex results (Newton, bounds, exact Hessians) hold for the torch module itself.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Mapping
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


def frozen_body(model: nn.Module, trained: Collection[str]) -> tuple[nn.Module, LinearHead] | None:
    """Return the frozen layers of a module, and the linear layer after them that was trained.

    Parameters
    ----------
    model : torch.nn.Module
        Accepted: an `nn.Sequential` that ends in an `nn.Linear`, by exact type. Layers that aren't
        the same function at every visit, or that training moves without a gradient (dropout,
        normalisation by batches), are not: what the last layer was trained on isn't known then.
    trained : collection of str
        The parameters that training moved.

    Returns
    -------
    tuple of torch.nn.Module and LinearHead, or None
        A copy of the layers before the last, in evaluation mode on the CPU, and the last.
    """
    from torch import nn

    layers = [*model.named_children()] if type(model) is nn.Sequential else []
    if len(layers) < 2 or type(layers[-1][1]) is not nn.Linear:
        return None
    name, last = layers[-1]
    assert isinstance(last, nn.Linear)
    if {*trained} != {f"{name}.{own}" for own, _ in last.named_parameters()}:
        return None
    body = nn.Sequential(OrderedDict(layers[:-1]))
    moving = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RReLU)
    own = {id(parameter) for parameter in last.parameters()}
    if any(isinstance(module, moving) for module in body.modules()) or any(
        id(parameter) in own for parameter in body.parameters()
    ):
        return None
    bias = f"{name}.bias" if "bias" in last.state_dict() else None
    head = LinearHead(last.in_features, last.out_features, f"{name}.weight", bias)
    return copy.deepcopy(body).to("cpu").eval(), head


def features_of(body: nn.Module, inputs: ArrayLike, *, chunk: int = 1024) -> Array | None:
    """Return what frozen layers make of inputs, as they compute it: float64 `(n, n_features)`.

    None where they don't give one row of numbers a sample.
    """
    import torch

    first = next(body.parameters(), None)
    dtype = torch.get_default_dtype() if first is None else first.dtype
    parts = []
    with torch.no_grad():
        for rows in torch.split(torch.as_tensor(np.array(inputs)), chunk):
            made = body(rows.to(dtype) if rows.is_floating_point() else rows)
            if made.ndim != 2 or len(made) != len(rows):
                return None
            parts.append(made.double().numpy())
    return np.concatenate(parts)
