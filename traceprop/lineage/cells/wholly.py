"""What is answered by its rows: because that is all there is to say, or since values decide."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.cells.table import by_rows, refines, wide

refines(
    np.polyadd, np.polysub, np.polyder, np.polyint, np.vander, np.zeros_like, np.ones_like,
    np.empty_like,
)(by_rows)  # fmt: skip

wide(family="sets", reason="which cells hold a value is in values that aren't kept")
wide(
    np.nonzero, np.flatnonzero, np.argwhere,
    reason="which cells are true is in values that aren't kept",
)  # fmt: skip
wide(
    np.piecewise, np.apply_over_axes,
    reason="the function that is applied sees the whole array",
)  # fmt: skip
wide(np.polymul, np.polydiv, reason="leading zeros are cut off first")
wide(
    np.linspace, np.logspace, np.geomspace,
    reason="a step of nothing between two of the ends changes the rounding of all points",
)  # fmt: skip
