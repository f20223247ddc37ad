"""What is known of each source, whichever kind of thing it is: rows, or cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self, TypeVar

from traceprop.lineage.graph.counted import count_asked
from traceprop.lineage.graph.node import Node
from traceprop.lineage.source import Source, find_source, is_there

Found = TypeVar("Found", bound=Collection[Any])


class BySource(Mapping[Source, Found]):
    """Something of each source; a source is found by itself, or by its uri, path or name.

    Prints as `{credit_scores.csv: rows 0-5, 8}`. Sources of which there is nothing are left out.
    """

    __slots__ = ("_asked", "_found")

    def __init__(self, found: Mapping[Source, Found]) -> None:
        self._found = {source: each for source, each in found.items() if len(each)}
        self._asked: tuple[Node, ...] = ()

    def asked_of(self, *nodes: Node) -> Self:
        """Return the same for the user: how many there are is a count of what nodes hold."""
        made = type(self).__new__(type(self))
        made._found, made._asked = self._found, nodes
        return made

    def __getitem__(self, source: Source | str) -> Found:
        if self._asked:
            count_asked(self._asked, "sources()")
        return self._found[find_source(self._found, source)]

    def __contains__(self, source: object) -> bool:
        return isinstance(source, (Source, str)) and is_there(self._found, source)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{source}: {each!r}" for source, each in self._found.items()) + "}"
