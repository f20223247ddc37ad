"""The training objective of a linear head, with its exact derivatives, in float64.

    J(θ) = c Σᵢ ℓ(yᵢ, Θ xᵢ) + ½ Σⱼ λⱼ θⱼ²

Promises: value, gradient and Hessian are those of the loss that the torch criterion computes and of
the penalty that an optimizer's `weight_decay` adds (λθ in the gradient, bias included), or of one
that spares the bias, as scikit-learn's models do. What that means for the distance to the minimum
is in `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature import output_terms
from traceprop.curvature.cg import conjugate_gradient
from traceprop.curvature.cholesky import factorise
from traceprop.curvature.losses import LossSpec
from traceprop.errors import DataError

Array = NDArray[np.float64]

# Up to this many parameters the Hessian is formed and factorised (4,096² doubles are 134 MB).
MAX_DENSE = 4096

_EPS = float(np.finfo(np.float64).eps)

# Rows whose weighted copy stays in the cache while it is multiplied.
_PANEL = 1024


def data_scale(spec: LossSpec, n: int, batch_size: int | None) -> float:
    """Return c, the weight of one sample's loss in the objective that the optimizer descends.

    Parameters
    ----------
    spec : LossSpec
        The loss; its reduction decides.
    n : int
        Number of training samples.
    batch_size : int or None
        Samples per step.

    Returns
    -------
    float
        1/n for a mean loss, whatever the batches. A *summed* loss grows with the batch while
        `weight_decay` doesn't: a step on B of n samples follows the gradient of
        (B/n) Σℓ + λ/2‖θ‖² on average, so c = B/n.

    Raises
    ------
    DataError
        No samples, or a summed loss whose batch size isn't known.
    """
    if n < 1:
        raise DataError("no samples are left to train on; an objective needs 1 or more")
    if spec.reduction == "mean":
        return 1.0 / n
    if batch_size is None:
        raise DataError(
            "the loss is summed over batches of unknown size, so the weight of one sample against "
            "the penalty isn't known; train with reduction='mean' or with batches of one size"
        )
    return min(batch_size, n) / n


@dataclass(frozen=True, eq=False)
class HeadObjective:
    """J of a linear head over given features.

    Parameters
    ----------
    features : ndarray of float64, shape (n, p)
        `LinearHead.features` of the inputs.
    targets : ndarray, shape (n, ...)
        Labels or values, as the loss takes them.
    n_outputs : int
        Rows of Θ.
    spec : LossSpec
        The loss.
    penalty : float or ndarray, shape (o·p,)
        λ of all parameters, or of each; not negative.
    scale : float
        c, see `data_scale`.
    """

    features: Array
    targets: Array
    n_outputs: int
    spec: LossSpec
    penalty: float | Array
    scale: float

    @property
    def size(self) -> int:
        """Number of parameters, o·p."""
        return self.n_outputs * int(self.features.shape[1])

    @property
    def factorises(self) -> bool:
        """Whether H is formed and factorised, so that using it again costs next to nothing."""
        return self.size <= MAX_DENSE

    @cached_property
    def lengths(self) -> Array:
        """‖xᵢ‖ of each sample, shape `(n,)`."""
        return np.asarray(np.sqrt(np.einsum("np,np->n", self.features, self.features)))

    def of_rows(self, rows: NDArray[np.int64], scale: float) -> HeadObjective:
        """Return the objective of some of the samples, each of the weight `scale`."""
        features, targets = self.features[rows], self.targets[rows]
        return replace(self, features=features, targets=targets, scale=scale)

    def outputs(self, theta: Array) -> Array:
        """Return the outputs Θ xᵢ, shape `(n, o)`."""
        return np.asarray(self.features @ theta.reshape(self.n_outputs, -1).T)

    def value(self, theta: Array) -> float:
        """Return J(θ)."""
        return self._value(theta, self.outputs(theta))

    def gradient(self, theta: Array) -> Array:
        """Return ∇J(θ), shape `(o·p,)`."""
        residuals = output_terms.residuals(self.spec, self.outputs(theta), self.targets)
        return self._gradient(theta, residuals)

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return both, with one pass over the features, in panels of rows."""
        matrix = theta.reshape(self.n_outputs, -1)
        summed, gradient = 0.0, np.zeros_like(matrix)
        for start in range(0, len(self.features), _PANEL):
            x = self.features[start : start + _PANEL]
            y = self.targets[start : start + _PANEL]
            z = x @ matrix.T
            summed += float(output_terms.losses(self.spec, z, y).sum())
            gradient += output_terms.residuals(self.spec, z, y).T @ x
        value = self.scale * summed + 0.5 * float(np.sum(self.penalty * theta**2))
        return value, np.asarray(self.scale * gradient.ravel() + self.penalty * theta)

    def hessian(self, theta: Array) -> Array:
        """Return ∇²J(θ), shape `(o·p, o·p)`; for cross-entropy and λ = 0 it is singular.

        Of a softmax model whose bias has no penalty, class scores that all move alike change
        nothing. That one direction gets a curvature of its own (see `shift`), so that a Newton
        step, which has no part in it, can be solved for.
        """
        o, p = self.n_outputs, self.features.shape[1]
        second = output_terms.curvature(self.spec, self.outputs(theta))
        blocks = np.zeros((o, p, o, p))
        for a in range(o):
            blocks[a, :, a] = self._block(second.weight(a, a), positive=True)
            for b in range(a) if second.rank_one is not None else ():
                blocks[a, :, b] = blocks[b, :, a] = self._block(second.weight(a, b))
        hessian = blocks.reshape(o * p, o * p)
        hessian[np.diag_indices_from(hessian)] += self.penalty
        shift = self.shift()
        return hessian if shift is None else hessian + self.scale * np.outer(shift, shift)

    def hessian_product(self, theta: Array, vectors: Array) -> Array:
        """Return H(θ) v for each row v of `(q, o·p)`, without forming H."""
        second = output_terms.curvature(self.spec, self.outputs(theta))
        products = np.empty_like(vectors)
        for i, vector in enumerate(vectors):
            in_outputs = second.times(self.features @ vector.reshape(self.n_outputs, -1).T)
            products[i] = (self.scale * (in_outputs.T @ self.features)).ravel()
        products += self.penalty * vectors
        shift = self.shift()
        if shift is not None:
            products += self.scale * np.outer(vectors @ shift, shift)
        return products

    def shift(self) -> Array | None:
        """Return the direction in which J is constant for lack of a penalty on the bias, or None.

        Softmax takes no notice of a number added to all class scores: the biases together.
        """
        each = np.asarray(self.penalty)
        if self.spec.kind != "cross_entropy" or each.ndim == 0 or not each.any():
            return None
        if each.reshape(self.n_outputs, -1)[:, -1].any():
            return None
        direction = np.zeros((self.n_outputs, self.features.shape[1]))
        direction[:, -1] = np.sqrt(len(self.features) / self.n_outputs)
        return direction.ravel()

    def solve(self, theta: Array, rhs: Array) -> Array:
        """Return H(θ)⁻¹ rhs, see `solver`."""
        return self.solver(theta)(rhs)

    def solver(self, theta: Array) -> Callable[[Array], Array]:
        """Return rhs ↦ H(θ)⁻¹ rhs: by Cholesky up to `MAX_DENSE` parameters, else by CG.

        Raises
        ------
        numpy.linalg.LinAlgError
            The Hessian isn't positive definite; or, when it is used, CG didn't come to its
            tolerance.
        """
        if self.factorises:
            factor = factorise(self.hessian(theta))
            if factor is None:
                raise np.linalg.LinAlgError("the Hessian isn't positive definite")
            return factor.solve

        def by_cg(rhs: Array) -> Array:
            result = conjugate_gradient(
                lambda rows: self.hessian_product(theta, rows),
                rhs[None],
                max_iterations=10 * self.size,
            )
            if not result.converged:
                raise np.linalg.LinAlgError(
                    f"conjugate gradients stopped at a relative residual of "
                    f"{result.residuals[0]:.1e}"
                )
            return np.asarray(result.solution[0])

        return by_cg

    def gradient_with_error(self, theta: Array) -> tuple[Array, float]:
        """Return ∇J(θ), and a bound on the norm of the rounding in it.

        An inner product of m terms is off by at most γₘ Σ|aᵢbᵢ|, γₘ ≈ m·ε (Higham 2002, section
        3.1): once for the outputs, which move a residual by at most `slope` times their error,
        and once for the sum over the samples.
        """
        n, p = self.features.shape
        slope = 2.0 if self.spec.kind == "mse" else 1.0
        matrix = theta.reshape(self.n_outputs, -1)
        sizes = np.abs(matrix).sum(axis=0)
        gradient, summed = np.zeros((self.n_outputs, p)), np.zeros((self.n_outputs, p))
        for start in range(0, n, _PANEL):
            x = self.features[start : start + _PANEL]
            y = self.targets[start : start + _PANEL]
            r = output_terms.residuals(self.spec, x @ matrix.T, y)
            gradient += r.T @ x
            x, r = np.abs(x), np.abs(r)
            # Exponentials and their sum: a few units in the last place of numbers of at most 1.
            r_error = (slope * (p + 2) * _EPS * (x @ sizes))[:, None]
            r_error = r_error + (self.n_outputs + 8) * _EPS * (1.0 + r)
            summed += ((n + 2) * _EPS * r + r_error).T @ x
        each = self.scale * summed.ravel() + 2 * _EPS * np.abs(self.penalty * theta)
        found = self.scale * gradient.ravel() + self.penalty * theta
        return np.asarray(found), float(np.linalg.norm(each))

    def hessian_error(self, theta: Array) -> float:
        """Bound the rounding in `hessian(theta)`, as a spectral norm.

        Each entry is a sum over the samples, as in `gradient_error`, of |x| |xᵀ| weighted by at
        most twice the trace of Sᵢ in all; that matrix is no larger than its trace. The weights are
        products of probabilities, known to a few units in the last place of 1 and moved by no more
        than the error of the outputs.
        """
        n, p = self.features.shape
        second = output_terms.curvature(self.spec, self.outputs(theta))
        weights = sum(second.weight(a, a) for a in range(self.n_outputs))
        # 6: the product by c and by the weights' roots, on either side.
        each = (n + 6) * _EPS * weights + self.n_outputs * (self.n_outputs + 8) * _EPS
        if self.spec.kind != "mse":
            each = each + (p + 2) * _EPS * self._reach(theta)
        summed = self.scale * float(each @ self.lengths**2)
        return summed + 2 * _EPS * float(np.max(self.penalty))

    def _value(self, theta: Array, outputs: Array) -> float:
        data = output_terms.losses(self.spec, outputs, self.targets).sum()
        return float(self.scale * data + 0.5 * np.sum(self.penalty * theta**2))

    def _gradient(self, theta: Array, residuals: Array) -> Array:
        summed = (self.scale * (residuals.T @ self.features)).ravel()
        return np.asarray(summed + self.penalty * theta)

    def _reach(self, theta: Array) -> Array:
        """Bound Σ |xᵢ|ᵀ|θₐ| over the outputs, shape `(n,)`."""
        return self.lengths * float(np.linalg.norm(theta.reshape(self.n_outputs, -1), axis=1).sum())

    def _block(self, weights: Array, *, positive: bool = False) -> Array:
        """Return c Σᵢ wᵢ xᵢ xᵢᵀ, in panels of rows; of weights ≥ 0 with half of the work."""
        p = self.features.shape[1]
        total = np.zeros((p, p))
        factors = np.sqrt(np.maximum(weights, 0.0)) if positive else weights
        for start in range(0, len(self.features), _PANEL):
            rows = self.features[start : start + _PANEL]
            weighted = factors[start : start + _PANEL, None] * rows
            total += weighted.T @ (weighted if positive else rows)
        return self.scale * total
