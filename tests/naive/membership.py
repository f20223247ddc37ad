"""Membership figures, pair by pair."""

from __future__ import annotations

import math


def auc(hits, alarms) -> float:
    pairs = [(h, a) for h in hits for a in alarms]
    return sum(1.0 if h > a else 0.5 if h == a else 0.0 for h, a in pairs) / len(pairs)


def tpr_at(hits, alarms, rate) -> float:
    """The most hits among all tests that choose at random between two thresholds."""
    points = [(0.0, 0.0)]
    for cut in sorted({*hits, *alarms}, reverse=True):
        points.append(
            (sum(a >= cut for a in alarms) / len(alarms), sum(h >= cut for h in hits) / len(hits))
        )
    below = max((p for p in points if p[0] <= rate), key=lambda p: (p[0], p[1]))
    above = min((p for p in points if p[0] > rate), key=lambda p: p, default=None)
    if above is None:
        return below[1]
    part = (rate - below[0]) / (above[0] - below[0])
    # On a vertical piece the upper end is the point that is joined.
    top = max(p[1] for p in points if p[0] == above[0])
    return below[1] + part * (top - below[1])


def klom(ours, theirs, bins=20, most=12.0) -> float:
    low, high = min(*ours, *theirs), max(*ours, *theirs)
    if low == high:
        return 0.0

    def share(values, i):
        edges = [low + (high - low) * k / bins for k in range(bins + 1)]
        inside = [v for v in values if edges[i] <= v and (v < edges[i + 1] or (i == bins - 1))]
        return len(inside) / len(values)

    total = 0.0
    for i in range(bins):
        p, q = share(theirs, i), share(ours, i)
        if p and not q:
            return most
        if p:
            total += p * math.log(p / q)
    return min(max(total, 0.0), most)
