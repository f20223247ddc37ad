"""Row maps: which input rows (axis 0) each output row came from.

Most operations move rows in a way that a few numbers describe: all in place (`Identity`), every
third (`Slice`), whole blocks (`Blocks`), neighbours (`Window`), everything so far (`Prefix`), the
same rows for every output row (`All`). What needs a number per row is a `Take`, int32 up to 2**31
rows and −1 for "from nowhere", and what needs several is a `Groups`. Every map can say which input
rows a set of output rows came from (`image`), which output rows a set of input rows went to
(`preimage`), and write itself out (`groups`). `traceprop.lineage.answers.compose` joins maps.
"""

from traceprop.lineage.rowmap.base import Groups_, RowMap, check_entries
from traceprop.lineage.rowmap.functional import Identity, Nothing, Outside, Patch, Slice
from traceprop.lineage.rowmap.listed import Filter, Groups, Take
from traceprop.lineage.rowmap.spread import All, Blocks, Prefix, Spans, Window

__all__ = [
    "All",
    "Blocks",
    "Filter",
    "Groups",
    "Groups_",
    "Identity",
    "Nothing",
    "Outside",
    "Patch",
    "Prefix",
    "RowMap",
    "Slice",
    "Spans",
    "Take",
    "Window",
    "check_entries",
]
