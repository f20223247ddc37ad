"""Influence for a linear, logistic or softmax model, with the exact Hessian.

For J(θ) = c Σ ℓᵢ + λ/2‖θ‖² at its minimum, leaving sample i out moves the minimum by
H₋ᵢ⁻¹ (a gᵢ − b ḡ) to first order (Koh and Liang 2017; a and b: `Problem.removal_weights`). H₋ᵢ is H
without the sample's own term, which for o outputs costs one o × o solve per sample:

    H₋ᵢ⁻¹ Xᵢ rᵢ = H⁻¹ Xᵢ (I − c Sᵢ Kᵢ)⁻¹ rᵢ,   Kᵢ = Xᵢᵀ H⁻¹ Xᵢ

with gᵢ = Xᵢ rᵢ and Sᵢ the Hessian of the loss in the outputs: the leave-one-out formula of ridge
regression carried over to any loss (Rad and Maleki 2020). Without it a sample of high leverage is
underestimated several times over.

Promise: unit `margin` only where the penalty is known, H positive definite and the model at its
minimum; otherwise H is damped by the stated rule, and the notes say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Quality, Queries
from traceprop.curvature import output_terms
from traceprop.curvature.cholesky import factorise
from traceprop.curvature.damping import RELATIVE_DAMPING
from traceprop.curvature.ggn import largest_eigenvalue
from traceprop.curvature.heads import LinearHead
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError

Array = NDArray[np.float64]

# A Hessian whose reciprocal condition number is smaller is singular within its own rounding.
_SINGULAR = 1e-12
# Numbers of the Kᵢ held at once: 32 MB.
_LEVERAGES = 1 << 22


class HeadInfluence:
    """The fitted estimator.

    Parameters
    ----------
    problem : Problem
        The run; its `head` isn't None and has at most `objective.MAX_DENSE` parameters.
    theta : ndarray, shape (o·p,)
        The head's parameters as training ended.
    """

    def __init__(self, problem: Problem, theta: Array) -> None:
        assert problem.head is not None
        objective = problem.head_objective()
        self._head: LinearHead = problem.head
        self._objective = objective
        self._theta = theta
        self._own, self._shared = problem.removal_weights()
        self._second = output_terms.curvature(objective.spec, objective.outputs(theta))
        self._r = output_terms.residuals(
            objective.spec, objective.outputs(theta), objective.targets
        )
        hessian = objective.hessian(theta)
        self._factor = factorise(hessian, least=_SINGULAR)
        known = None if self._factor is None else self._leave_out_each()
        self.quality = self._choose_damping(hessian, problem.penalty, known)
        if known is None or self.quality.damping:
            hessian[np.diag_indices_from(hessian)] += self.quality.damping
            self._factor = factorise(hessian)
            known = self._leave_out_each()
        self._mean = (self._r.T @ objective.features) / len(self._r)
        self._corrected = known.residuals

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        features = self._head.features(queries.inputs)
        outputs = features @ self._theta.reshape(self._head.n_outputs, -1).T
        slopes = output_terms.margin_gradients(self._objective.spec, outputs, queries.classes)
        gradients = np.einsum("qo,qp->qop", slopes, features).reshape(len(features), -1)
        solved = self._solve(gradients).reshape(len(features), *self._matrix_shape)
        # ∇f · H⁻¹ (x_i ⊗ r) for every sample, with the corrected residuals and with the plain ones.
        own = _contract(solved, self._objective.features, self._corrected)
        mean = np.einsum("qop,op->q", solved, self._mean)
        return np.asarray(self._shared * mean[:, None] - self._own * own)

    @property
    def _matrix_shape(self) -> tuple[int, int]:
        return self._head.n_outputs, self._objective.features.shape[1]

    def _solve(self, rows: Array) -> Array:
        if self._factor is None:
            raise AttributionError("no sample has any influence: the model's Hessian is zero")
        return self._factor.solve(rows)

    def _choose_damping(
        self, hessian: Array, penalty: float | None, known: _LeftOut | None
    ) -> Quality:
        """Leave the Hessian as it is, or say by how much and why it must be damped."""
        why = None
        if penalty is None:
            why = "the penalty of the run is unknown"
        elif known is None:
            why = "it is singular, so the model has no unique minimum"
        elif known.singular:
            why = "it is singular without one of the samples, so that no unique minimum is left"
        elif self._distance() > known.mean_effect:
            why = "training stopped further from its objective's minimum than one sample moves it"
        if why is None:
            return Quality("margin")
        top = largest_eigenvalue(lambda rows: rows @ hessian, len(hessian))
        note = f"The Hessian was damped by {RELATIVE_DAMPING} of its largest eigenvalue: {why}."
        return Quality("relative", RELATIVE_DAMPING * top, (note,))

    def _distance(self) -> float:
        """Return ∇Jᵀ H⁻¹ ∇J, twice what a Newton step says J is above its minimum."""
        gradient = self._objective.gradient(self._theta)
        return float(gradient @ self._solve(gradient[None])[0])

    def _leave_out_each(self) -> _LeftOut:
        """Take each sample's own curvature out, by solves with I − c Sᵢ Kᵢ.

        A second right-hand side tells how far from singular each is: where leaving a sample out
        leaves H singular, its residual is 0 too, and 0/0 would be any number.
        """
        x, scale = self._objective.features, self._objective.scale
        o, p = self._matrix_shape
        inverse = self._solve(np.eye(o * p)).reshape(o, p, o, p)
        assert self._factor is not None
        most = self._factor.reciprocal_condition / (100 * np.finfo(np.float64).eps)
        probe = np.random.default_rng(0).standard_normal(o) / np.sqrt(o)
        residuals, effect, singular = np.empty_like(self._r), 0.0, False
        step = max(_LEVERAGES // o**2, 1)
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            k = np.empty((len(x[part]), o, o))
            for a in range(o):
                for b in range(a + 1):
                    moved = x[part] @ inverse[a, :, b]
                    k[:, a, b] = k[:, b, a] = np.einsum("np,np->n", moved, x[part])
            r, second = self._r[part], self._second.part(part)
            columns = [second.times(k[:, :, b]) for b in range(o)]
            system = np.eye(o) - scale * np.stack(columns, axis=2)
            both = np.stack([r, np.broadcast_to(probe, r.shape)], axis=2)
            try:
                solved = np.linalg.solve(system, both)
            except np.linalg.LinAlgError:
                return _LeftOut(residuals, effect, True)
            residuals[part] = solved[:, :, 0]
            singular |= bool(np.abs(solved[:, :, 1]).max() > most)
            effect += float(np.einsum("no,nop,np->", r, k, r))
        return _LeftOut(residuals, scale**2 * effect / len(x), singular)


@dataclass(frozen=True, slots=True, eq=False)
class _LeftOut:
    """What leaving each sample out comes to.

    Parameters
    ----------
    residuals : ndarray, shape (n, o)
        (I − c Sᵢ Kᵢ)⁻¹ rᵢ.
    mean_effect : float
        The mean over samples of c² gᵢᵀ H⁻¹ gᵢ: the `_distance` that leaving one out makes.
    singular : bool
        Whether H without some sample is singular within rounding; the others then don't count.
    """

    residuals: Array
    mean_effect: float
    singular: bool


def _contract(solved: Array, features: Array, residuals: Array) -> Array:
    """Return Σ_op solved[q,o,p] features[n,p] residuals[n,o], shape `(q, n)`, by o products."""
    total = np.zeros((len(solved), len(features)))
    for o in range(residuals.shape[1]):
        total += (solved[:, o] @ features.T) * residuals[:, o]
    return total
