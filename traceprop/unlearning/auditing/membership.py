"""Whether removed samples can be told by the model: figures from margins of many models.

Promise: both figures say "no difference" for models of one distribution, whatever it is; ties count
half; intervals are by resampling runs and samples, since the samples of one run hang together as
the runs of one sample do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import DataError

Array = NDArray[np.float64]

_BINS = 20
_MOST = 12.0
_DRAWS = 200
_LEAST = 1e-12  # of a standard deviation, relative to the margins' size


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval.

    Parameters
    ----------
    value, low, high : float
        The figure and the ends.
    """

    value: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def half_width(self) -> float:
        """Half of the interval's length."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Attack:
    """How well an attack tells models that had the samples removed from ones that never had them.

    Parameters
    ----------
    auc : Interval
        Area under the ROC curve; 0.5 for no better than guessing.
    tpr_at_1, tpr_at_5 : Interval
        Hits at 1 % and 5 % false alarms; 0.01 and 0.05 for no better than guessing.
    """

    auc: Interval
    tpr_at_1: Interval
    tpr_at_5: Interval


def klom(unlearned: Array, retrained: Array) -> Array:
    """Return the KL divergence of margins, sample by sample (Georgiev et al. 2024, KLoM).

    Parameters
    ----------
    unlearned, retrained : ndarray, shape (runs, m)
        Margins of m samples by models that had samples removed, and by retrained ones.

    Returns
    -------
    ndarray, shape (m,)
        KL(retrained ‖ unlearned) of histograms in 20 bins over both, at most 12, which also stands
        for an infinite one. Two sets of runs of one distribution don't give 0 but what their number
        leaves: compare with `klom` of two halves of the retrained runs.

    Raises
    ------
    DataError
        The arrays aren't of the same samples.
    """
    unlearned, retrained = _checked(unlearned, retrained)
    found = np.empty(unlearned.shape[1])
    for j, (ours, theirs) in enumerate(zip(unlearned.T, retrained.T, strict=True)):
        ends = min(ours.min(), theirs.min()), max(ours.max(), theirs.max())
        p = np.histogram(theirs, _BINS, ends)[0] / len(theirs)
        q = np.histogram(ours, _BINS, ends)[0] / len(ours)
        held = p > 0
        with np.errstate(divide="ignore"):
            divergence = float(np.sum(p[held] * np.log(p[held] / q[held])))
        found[j] = min(max(divergence, 0.0), _MOST)
    return found


def u_lira(unlearned: Array, retrained: Array, *, seed: int = 0) -> Attack:
    """Attack with the likelihood ratio of each sample's margins (Hayes et al. 2024, U-LiRA).

    For each sample a normal distribution is fitted to the margins of half of the runs of either
    kind, and the ratio of both tells the runs of the other half; then the halves change places.

    Parameters
    ----------
    unlearned, retrained : ndarray, shape (runs, m)
        As for `klom`; four runs or more of each.
    seed : int
        Of the resampling.

    Raises
    ------
    DataError
        There are fewer runs, or the arrays aren't of the same samples.
    """
    unlearned, retrained = _checked(unlearned, retrained)
    if min(len(unlearned), len(retrained)) < 4:
        raise DataError(
            f"U-LiRA fits a distribution to half of the runs, and there are {len(unlearned)} and "
            f"{len(retrained)}; give 4 or more of each"
        )
    hits, alarms = [], []
    for first in (0, 1):
        fit = unlearned[first::2], retrained[first::2]
        hits.append(_ratio(unlearned[1 - first :: 2], *fit))
        alarms.append(_ratio(retrained[1 - first :: 2], *fit))
    return _resampled(np.concatenate(hits), np.concatenate(alarms), seed, together=True)


def loss_attack(forget: Array, unseen: Array, *, seed: int = 0) -> Attack:
    """Attack one model by its losses: low ones are taken for trained on (Yeom et al. 2018).

    Parameters
    ----------
    forget : ndarray, shape (m,)
        Losses of the removed samples.
    unseen : ndarray, shape (q,)
        Losses of samples of the same kind that were never trained on.
    seed : int
        Of the resampling.
    """
    return _resampled(-forget[None], -unseen[None], seed, together=False)


def auc(hits: Array, alarms: Array) -> float:
    """Return the share of pairs in which the hit scores more; ties count half."""
    both = np.sort(alarms, axis=None)
    below = np.searchsorted(both, hits.ravel(), "left")
    upto = np.searchsorted(both, hits.ravel(), "right")
    return float((below + upto).sum() / (2 * hits.size * alarms.size))


def tpr_at(hits: Array, alarms: Array, rate: float) -> float:
    """Return the share of hits at a rate of false alarms, on the ROC curve joined by lines."""
    cuts = np.unique(np.concatenate([hits.ravel(), alarms.ravel()]))[::-1]
    caught = hits.size - np.searchsorted(np.sort(hits, axis=None), cuts, "left")
    false = alarms.size - np.searchsorted(np.sort(alarms, axis=None), cuts, "left")
    x, y = np.r_[0, false / alarms.size], np.r_[0, caught / hits.size]
    # Of a vertical piece the upper end counts: as many hits for the same false alarms.
    last = np.r_[x[1:] != x[:-1], True]
    return float(np.interp(rate, x[last], y[last]))


def _resampled(hits: Array, alarms: Array, seed: int, *, together: bool) -> Attack:
    draw = np.random.default_rng(seed)
    m, q = hits.shape[1], alarms.shape[1]
    found = []
    for _ in range(_DRAWS):
        mine = draw.integers(0, m, m)
        theirs = mine if together else draw.integers(0, q, q)
        runs = draw.integers(0, len(hits), len(hits)), draw.integers(0, len(alarms), len(alarms))
        found.append(_figures(hits[np.ix_(runs[0], mine)], alarms[np.ix_(runs[1], theirs)]))
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    values = _figures(hits, alarms)
    return Attack(*(Interval(v, float(a), float(b)) for v, a, b in zip(values, low, high,
                                                                        strict=True)))  # fmt: skip


def _figures(hits: Array, alarms: Array) -> tuple[float, float, float]:
    return auc(hits, alarms), tpr_at(hits, alarms, 0.01), tpr_at(hits, alarms, 0.05)


def _ratio(margins: Array, unlearned: Array, retrained: Array) -> Array:
    """Return log N(margin; unlearned) − log N(margin; retrained) of each run and sample."""
    size = _LEAST * (1.0 + np.abs(retrained).max(0))
    found = np.zeros_like(margins)
    for fit, sign in ((unlearned, 1.0), (retrained, -1.0)):
        mean, spread = fit.mean(0), np.maximum(fit.std(0), size)
        found += sign * (-0.5 * ((margins - mean) / spread) ** 2 - np.log(spread))
    return found


def _checked(unlearned: Array, retrained: Array) -> tuple[Array, Array]:
    arrays = np.asarray(unlearned, np.float64), np.asarray(retrained, np.float64)
    if any(a.ndim != 2 for a in arrays) or arrays[0].shape[1] != arrays[1].shape[1]:
        raise DataError(
            f"margins of shape {arrays[0].shape} and {arrays[1].shape} aren't runs of the same "
            f"samples; give (runs, samples) of both"
        )
    return arrays
