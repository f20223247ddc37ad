"""Scores added up by what samples have in common: source, step, a column's value, any label.

Promise: a group's sum counts each of its samples once; a sample that is in several groups (rows of
two files, two values of a column) counts in full in each, since taking any of them out takes the
sample out. Shares are of the sizes of all scores, so they say how much of all the pushing, either
way, a group did.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.influence_scores import InfluenceScores
from traceprop.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from traceprop.attribution.store.provenance.answers import Provenance

Array = NDArray[np.float64]


class GroupScores(dict[Any, float]):
    """Sums of scores by group, largest first: a dict of group to sum, with what they consist of.

    Attributes
    ----------
    towards, against : dict of group to float
        The sum of the positive scores, and of the negative ones.
    shares : dict of group to float
        Σ|score| of the group over Σ|score| of all samples.
    counts : dict of group to int
        How many samples the group has.
    """

    def __init__(self, groups: Iterable[tuple[Any, Array]], total: float) -> None:
        sums = [(group, scores) for group, scores in groups if len(scores)]
        sums.sort(key=lambda item: -item[1].sum())
        super().__init__((group, float(scores.sum())) for group, scores in sums)
        self.towards = {group: float(scores[scores > 0].sum()) for group, scores in sums}
        self.against = {group: float(scores[scores < 0].sum()) for group, scores in sums}
        self.shares = {
            group: float(np.abs(scores).sum() / total) if total else 0.0 for group, scores in sums
        }
        self.counts = {group: len(scores) for group, scores in sums}


def plain_scores(
    scores: Iterable[tuple[int, float]],
) -> tuple[NDArray[np.int64], Array]:
    """Return samples and their scores; of an answer, those of all its samples."""
    if isinstance(scores, InfluenceScores):
        return scores.all_samples, scores.all_scores
    pairs = list(scores)
    samples = np.array([operator.index(sample) for sample, _ in pairs], np.int64)
    return samples, np.array([score for _, score in pairs], np.float64)


def sums_by_source(
    provenance: Provenance, scores: Iterable[tuple[int, float]], *, of_file: bool = False
) -> GroupScores:
    """Add scores up per source, or per file where `of_file`: a glob's files are several sources."""
    samples, values = plain_scores(scores)
    groups: dict[Any, list[NDArray[np.int64]]] = {}
    for source, positions, _ in provenance.occurrences(samples):
        groups.setdefault(source.path if of_file else source, []).append(positions)
    return _summed(groups, values)


def sums_by_step(provenance: Provenance, scores: Iterable[tuple[int, float]]) -> GroupScores:
    """Add scores up per preprocessing step that the samples' own values went through.

    Raises
    ------
    RowError
        A sample is none that came from a source.
    StoreError
        The lineage isn't there: plain arrays were trained on, or an erasure dropped it.
    """
    samples, values = plain_scores(scores)
    for _ in provenance.occurrences(samples):
        pass  # refuses samples that are none
    groups: dict[Any, list[NDArray[np.int64]]] = {}
    for step, went in provenance.samples_by_step():
        groups.setdefault(step, []).append(np.flatnonzero(np.isin(samples, went)))
    return _summed(groups, values)


def sums_by_column(
    provenance: Provenance, scores: Iterable[tuple[int, float]], column: str
) -> GroupScores:
    """Add scores up per value that a column of the sources has in the samples' rows.

    Raises
    ------
    UnknownNameError
        No source has such a column.
    SourceError
        A source can't be read again, or has changed.
    """
    samples, values = plain_scores(scores)
    groups: dict[Any, list[NDArray[np.int64]]] = {}
    known = []
    for source, positions, rows in provenance.occurrences(samples):
        if column not in source.columns:
            known.append(f"{source}: {', '.join(source.columns)}")
            continue
        found, number = np.unique(source.read(column)[rows], return_inverse=True)
        texts = source.categories([column])[column]
        order = np.argsort(number, kind="stable")
        parts = np.split(positions[order], np.searchsorted(number[order], range(1, len(found))))
        for value, part in zip(found.tolist(), parts, strict=False):
            # Code -1 stands for a missing text.
            name = value if texts is None else None if value < 0 else texts[value]
            groups.setdefault(name, []).append(part)
    if not groups:
        raise UnknownNameError(f"no source has a column {column!r} ({'; '.join(known)})")
    return _summed(groups, values)


def sums_by_label(
    n_samples: int, scores: Iterable[tuple[int, float]], labels: Sequence[Any] | NDArray[Any]
) -> GroupScores:
    """Add scores up per label, `labels[i]` being that of sample i.

    Raises
    ------
    DataError
        There isn't one label a sample.
    """
    samples, values = plain_scores(scores)
    given = np.asarray(labels)
    if given.shape != (n_samples,):
        raise DataError(
            f"{given.shape} labels for {n_samples} samples; give one a sample, in their order"
        )
    own = given[samples]
    groups = {value: [np.flatnonzero(own == value)] for value in dict.fromkeys(own.tolist())}
    return _summed(groups, values)


def _summed(groups: dict[Any, list[NDArray[np.int64]]], values: Array) -> GroupScores:
    def each() -> Iterator[tuple[Any, Array]]:
        for group, parts in groups.items():
            yield group, values[np.unique(np.concatenate(parts))]

    return GroupScores(each(), float(np.abs(values).sum()))
