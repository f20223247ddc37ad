"""What became of each row of a file that was edited: plain Python over the rows' own texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Fate(NamedTuple):
    state: str  # "same row", "changed" or "gone"
    now: int | None  # the row in the later version


def matches(old: Sequence[bytes], new: Sequence[bytes]) -> list[int | None]:
    """For each old row the new row that it is, after Heckel (1978); see the kernel of that name."""
    found: dict[int, int] = {}
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        found[head] = head
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
        found[len(old) - tail] = len(new) - tail
    ours, theirs = range(head, len(old) - tail), range(head, len(new) - tail)
    in_old, in_new = Counter(old[i] for i in ours), Counter(new[j] for j in theirs)

    def pair(i: int, j: int) -> None:
        if i not in found and j in theirs and j not in found.values() and old[i] == new[j]:
            found[i] = j

    for i in ours:
        if in_old[old[i]] == in_new[old[i]] == 1:
            pair(i, next(j for j in theirs if new[j] == old[i]))
    for i in ours:
        if i - 1 in ours and i - 1 in found:
            pair(i, found[i - 1] + 1)
    for i in reversed(ours):
        if i + 1 in ours and i + 1 in found:
            pair(i, found[i + 1] - 1)
    for i in ours:
        for j in theirs:
            pair(i, j)
    return [found.get(i) for i in range(len(old))]


def fates(old: Sequence[bytes], new: Sequence[bytes]) -> list[Fate]:
    """What became of each old row.

    A row whose text is nowhere has changed where the rows between its neighbours are as many as
    they were; else it is gone.
    """
    found = matches(old, new)
    stays = set(found)
    answer = []
    for i, j in enumerate(found):
        if j is not None:
            answer.append(Fate("same row", j))
            continue
        first, last = i, i
        while first > 0 and found[first - 1] is None:
            first -= 1
        while last + 1 < len(old) and found[last + 1] is None:
            last += 1
        before = -1 if first == 0 else found[first - 1]
        after = len(new) if last + 1 == len(old) else found[last + 1]
        one_each = after - before == last - first + 2
        if one_each and not any(place in stays for place in range(before + 1, after)):
            answer.append(Fate("changed", before + 1 + i - first))
        else:
            answer.append(Fate("gone", None))
    return answer
