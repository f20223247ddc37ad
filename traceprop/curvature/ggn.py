"""The training objective of any torch module, with products by its Hessian and Gauss-Newton matrix.

    J(θ) = c Σᵢ ℓ(yᵢ, f_θ(xᵢ)) + λ/2 ‖θ‖²,   G(θ) = c Σᵢ Jᵢᵀ Sᵢ Jᵢ + λ I

with Jᵢ the Jacobian of the outputs and Sᵢ the Hessian of the loss in the outputs: the generalised
Gauss-Newton matrix (Schraudolph 2002), positive semidefinite where the Hessian of a network isn't.

Promises: float64 throughout, on a copy in evaluation mode (no dropout, running statistics of
normalisation layers fixed); the module given is never touched; θ is the concatenation of
`named_parameters()` in their order, each flattened; those that weren't trained are constants.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap

from traceprop.curvature import losses
from traceprop.curvature.losses import LossSpec

Array = NDArray[np.float64]
State = dict[str, Tensor]

# torch's forward mode scripts its rules when first used and warns about its own `torch.jit.script`.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"`torch\.jit\.script`", DeprecationWarning)
    jvp(torch.neg, (torch.zeros(1),), (torch.zeros(1),))

# Samples per pass: bounds the activations that a product holds at once.
CHUNK = 1024


class Network:
    """A module as a function of one flat float64 vector.

    Parameters
    ----------
    model : torch.nn.Module
        Any module that takes one tensor `(n, ...)` and returns outputs `(n,)` or `(n, o)`.
    trained : collection of str, optional
        The parameters that θ consists of; the others stay as they are. All, if not given.
    """

    def __init__(self, model: nn.Module, trained: Collection[str] | None = None) -> None:
        self._module = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
        self._parameters = {
            name: p
            for name, p in self._module.named_parameters()
            if trained is None or name in trained
        }
        self.shapes = {name: p.shape for name, p in self._parameters.items()}
        self.size = sum(shape.numel() for shape in self.shapes.values())

    @property
    def theta(self) -> Array:
        """The parameters as they are in the module, shape `(d,)`."""
        return torch.cat([p.reshape(-1) for p in self._parameters.values()]).numpy()

    def weights(self) -> dict[str, Array]:
        """Return copies of the parameters of θ by name."""
        return {name: p.numpy().copy() for name, p in self._parameters.items()}

    def state(self, theta: Tensor) -> State:
        """Split a flat vector into named parameters, views of it."""
        parts = torch.split(theta, [shape.numel() for shape in self.shapes.values()])
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.reshape(shape) for (name, shape), part in named}

    def trainable(self, names: Collection[str]) -> nn.Module:
        """Return a copy of the module in float32 whose parameters of these names have gradients."""
        module = copy.deepcopy(self._module).float()
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in names)
        return module

    def layers(self) -> Iterator[nn.Module]:
        """Yield the module and those in it, to look at."""
        return self._module.modules()

    def module(self) -> nn.Module:
        """Return a copy of the module, in float64 and evaluation mode."""
        return copy.deepcopy(self._module)

    def outputs(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs `(n, o)` for θ, differentiable in it."""
        raw: Tensor = functional_call(self._module, self.state(theta), (inputs,))
        return raw.reshape(len(inputs), -1)

    def trained_outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs `(n, o)` at the module's own weights, not differentiable."""
        with torch.no_grad():
            raw: Tensor = self._module(inputs)
        return raw.reshape(len(inputs), -1)

    def margin_gradients(self, inputs: Tensor, spec: LossSpec, classes: Tensor) -> Array:
        """Return ∇_θ of each sample's margin at the module's own weights, shape `(q, d)`."""

        def margin(theta: Tensor, x: Tensor, label: Tensor) -> Tensor:
            return losses.margins(spec, self.outputs(theta, x[None]), label[None])[0]

        theta = torch.from_numpy(self.theta)
        gradients: Tensor = vmap(grad(margin), in_dims=(None, 0, 0))(theta, inputs, classes)
        return gradients.numpy()


def float64(inputs: ArrayLike) -> Tensor:
    """Return inputs as a float64 tensor that shares nothing with them."""
    return torch.tensor(np.asarray(inputs), dtype=torch.float64)


def targets_tensor(spec: LossSpec, targets: ArrayLike) -> Tensor:
    """Return targets as the loss takes them: int64 classes, or float64 values."""
    dtype = torch.int64 if spec.kind == "cross_entropy" else torch.float64
    return torch.tensor(np.asarray(targets), dtype=dtype)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkObjective:
    """J of a network over given samples; vectors are float64 arrays `(d,)` or rows `(q, d)`.

    Parameters
    ----------
    network : Network
        The module.
    inputs, targets : Tensor
        Float64 inputs `(n, ...)` and targets, see `targets_tensor`.
    spec : LossSpec
        The loss.
    penalty : float or ndarray, shape (d,)
        λ of all parameters, or of each.
    scale : float
        c, as in `objective.HeadObjective`.
    """

    network: Network
    inputs: Tensor
    targets: Tensor
    spec: LossSpec
    penalty: float | Array
    scale: float

    def value(self, theta: Array) -> float:
        """Return J(θ)."""
        data = float(self.sample_losses(theta).sum())
        return self.scale * data + 0.5 * float(np.sum(self.penalty * theta**2))

    def sample_losses(self, theta: Array) -> Array:
        """Return ℓ of each sample, shape `(n,)`."""
        point = torch.from_numpy(theta)
        with torch.no_grad():
            parts = [
                losses.sample_losses(self.spec, self.network.outputs(point, x), y)
                for x, y in self._chunks()
            ]
        return torch.cat(parts).numpy()

    def gradient(self, theta: Array) -> Array:
        """Return ∇J(θ), shape `(d,)`."""
        point = torch.from_numpy(theta)
        total = torch.zeros_like(point)
        for x, y in self._chunks():
            total += grad(self._summed_loss)(point, x, y)
        return self.scale * total.numpy() + self.penalty * theta

    def hessian_product(self, theta: Array, vectors: Array) -> Array:
        """Return ∇²J(θ) v for each row v of `(q, d)` (Pearlmutter 1994)."""

        def product(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
            gradient = grad(lambda point: self._summed_loss(point, x, y))

            def times_vector(v: Tensor) -> Tensor:
                return _directional(gradient, torch.from_numpy(theta), v)

            return times_vector

        return self._accumulate(product, vectors)

    def ggn_product(self, theta: Array, vectors: Array) -> Array:
        """Return G(θ) v for each row v of `(q, d)`: Jᵀ S J v, never forming J."""

        def product(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
            def outputs(point: Tensor) -> Tensor:
                return self.network.outputs(point, x)

            point = torch.from_numpy(theta)
            pulled = vjp(outputs, point)
            z, pull_back = pulled[0], pulled[1]
            in_outputs = grad(lambda scores: losses.sample_losses(self.spec, scores, y).sum())

            def times_vector(v: Tensor) -> Tensor:
                moved = _directional(outputs, point, v)
                result: Tensor = pull_back(_directional(in_outputs, z, moved))[0]
                return result

            return times_vector

        return self._accumulate(product, vectors)

    def with_samples(self, rows: NDArray[np.int64], scale: float) -> NetworkObjective:
        """Return the objective of these samples only, with another scale."""
        index = torch.from_numpy(rows)
        return NetworkObjective(
            self.network, self.inputs[index], self.targets[index], self.spec, self.penalty, scale
        )

    def _summed_loss(self, point: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return losses.sample_losses(self.spec, self.network.outputs(point, x), y).sum()

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(torch.split(self.inputs, CHUNK), torch.split(self.targets, CHUNK), strict=True)

    def _accumulate(
        self, product: Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]], vectors: Array
    ) -> Array:
        rows = torch.from_numpy(vectors)
        total = torch.zeros_like(rows)
        for x, y in self._chunks():
            total += vmap(product(x, y))(rows)
        return self.scale * total.numpy() + self.penalty * vectors


def _directional(function: Callable[[Tensor], Tensor], point: Tensor, along: Tensor) -> Tensor:
    """Return the derivative of a function along a vector, by forward mode."""
    derivative: Tensor = jvp(function, (point,), (along,))[1]
    return derivative


def largest_eigenvalue(
    product: Callable[[Array], Array], size: int, *, steps: int = 30, seed: int = 0
) -> float:
    """Return the largest eigenvalue of a positive semidefinite matrix, by Lanczos' method.

    Parameters
    ----------
    product : callable
        Maps rows `(1, d)` to rows times the matrix.
    size : int
        d.
    steps : int
        Size of the Krylov space; the estimate is from below and rarely more than 1 % off.
    seed : int
        Of the start vector.

    Returns
    -------
    float
        The largest Ritz value (Golub and Van Loan 2013, section 10.1), at least 0.
    """
    start = np.random.default_rng(seed).standard_normal(size)
    basis = [start / np.linalg.norm(start)]
    diagonal, off = [], []
    for _ in range(min(steps, size)):
        moved = product(basis[-1][None])[0]
        diagonal.append(float(moved @ basis[-1]))
        # Orthogonalised against all, twice: 30 vectors are cheap, lost orthogonality isn't.
        for _ in range(2):
            for vector in basis:
                moved = moved - (moved @ vector) * vector
        norm = float(np.linalg.norm(moved))
        if norm <= 1e-12 * max(diagonal):
            break
        off.append(norm)
        basis.append(moved / norm)
    ritz = np.diag(diagonal) + np.diag(off[: len(diagonal) - 1], 1)
    return max(float(np.linalg.eigvalsh(ritz, UPLO="U")[-1]), 0.0)


def write_back(model: nn.Module, state: Mapping[str, ArrayLike]) -> nn.Module:
    """Return a deep copy of a model that holds other weights, rounded to the copy's own dtypes.

    Parameters
    ----------
    model : torch.nn.Module
        The model to copy; it isn't changed.
    state : mapping of str to array
        New values by state-dict name; entries that aren't named keep theirs.

    Returns
    -------
    torch.nn.Module
        The copy, on the same device and in the same mode.
    """
    new = copy.deepcopy(model)
    new.zero_grad(set_to_none=True)  # a last batch's gradient is a trace of its rows
    own = new.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(torch.from_numpy(np.asarray(value, dtype=np.float64)))
    return new
