"""What is known of each source, whichever kind of thing it is: rows, or cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from traceprop.lineage.source import Source, find_source, is_there

Found = TypeVar("Found", bound=Collection[Any])


class BySource(Mapping[Source, Found]):
    """Something of each source; a source is found by itself, or by its uri, path or name.

    Prints as `{credit_scores.csv: rows 0-5, 8}`. Sources of which there is nothing are left out.
    """

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[Source, Found]) -> None:
        self._found = {source: each for source, each in found.items() if len(each)}

    def __getitem__(self, source: Source | str) -> Found:
        return self._found[find_source(self._found, source)]

    def __contains__(self, source: object) -> bool:
        return isinstance(source, (Source, str)) and is_there(self._found, source)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{source}: {each!r}" for source, each in self._found.items()) + "}"
