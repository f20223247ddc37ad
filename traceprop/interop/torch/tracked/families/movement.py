"""Functions that only move cells: run on row numbers, or, where a formula is known, as NumPy's."""

from __future__ import annotations

import numpy as np

from traceprop.interop.torch.tracked.entries import Like, by_name, define, define_opaque, in_numpy
from traceprop.lineage.graph.edge import EXTENT, Edge, Edges, opaque
from traceprop.lineage.graph.node import FIRST, Node, make_node
from traceprop.lineage.graph.template import slots
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rowmap import All
from traceprop.lineage.rules.elementwise import first_broadcast
from traceprop.lineage.rules.movement import moved_rows, same_bytes, taken_rows, transpose_rows

_ALL = tuple(range(32))

define(
    "flip fliplr flipud rot90 roll tile repeat stack hstack vstack dstack column_stack row_stack "
    "diag diag_embed diagflat diagonal linalg.diagonal tril triu fft.fftshift fft.ifftshift "
    "combinations unfold_copy diagonal_copy",
    "movement", moved_rows,
)  # fmt: skip
define("block_diag cartesian_prod", "movement", moved_rows, data=_ALL)
define(
    "split chunk tensor_split hsplit vsplit dsplit unbind narrow select unsafe_chunk unsafe_split "
    "unsafe_split_with_sizes split_with_sizes split_copy unbind_copy split_with_sizes_copy "
    "narrow_copy select_copy slice_copy Tensor.unfold atleast_1d atleast_2d atleast_3d",
    "movement", moved_rows, quiet=True,
)  # fmt: skip
define(
    "meshgrid broadcast_tensors atleast_1d atleast_2d atleast_3d",
    "movement", moved_rows, data=_ALL, by_memory=True,
)  # fmt: skip
define(
    "T H mT mH t t_copy adjoint permute permute_copy transpose transpose_copy swapaxes swapdims "
    "movedim moveaxis",
    "movement", transpose_rows, quiet=True,
)  # fmt: skip


def reshaped_rows(node: Node) -> Edges:
    """Keep the cells and their order: as np.reshape to the shape that came out."""
    if any(isinstance(value, np.dtype) for value in node.args[1:2]):
        parent = node.inputs[0]  # view(dtype): another reading of the same bytes
        return [Edge(0, same_bytes(node.shape, node.dtype, parent.shape, parent.dtype))]
    same = make_node(
        np.reshape, node.inputs, (FIRST, node.shape), None, node.shape, node.dtype
    )  # fmt: skip
    return rule_of(np.reshape).rows(same)


define(
    "reshape reshape_as view view_as view_copy flatten unflatten ravel squeeze squeeze_copy "
    "unsqueeze unsqueeze_copy",
    "movement", reshaped_rows, quiet=True,
)  # fmt: skip


def spread_rows(node: Node) -> Edges:
    """`expand`: as np.broadcast_to to the shape that came out."""
    same = make_node(
        np.broadcast_to, node.inputs[:1], (FIRST, node.shape), None, node.shape, node.dtype
    )
    return rule_of(np.broadcast_to).rows(same)


define("expand expand_as broadcast_to expand_copy", "movement", spread_rows, quiet=True)


def joined_rows(node: Node) -> Edges:
    """As np.concatenate; torch lets empty vectors through among tensors of more axes."""
    depths = {len(parent.shape) for parent in node.inputs}
    if len(depths) == 1 and len(node.shape) in depths and not _has_plain_empties(node):
        same = in_numpy(node)
        return rule_of(np.concatenate).rows(same)
    return moved_rows(node)


def _has_plain_empties(node: Node) -> bool:
    parts = node.args[0] if node.args and isinstance(node.args[0], (list, tuple)) else ()
    return any(np.shape(part) == (0,) for part in parts if isinstance(part, np.ndarray))


define(
    "cat concat concatenate", "movement", joined_rows,
    like=Like(np.concatenate, "tensors dim=axis", {}),
)  # fmt: skip


def repeated_rows(node: Node) -> Edges:
    """`repeat_interleave(x, repeats, dim)`; of counts alone, the result's values are the places."""
    if len(node.args) + len(node.kwargs or {}) < 2 or not slots(node.args[:1]):
        return [*opaque(node), *(Edge(i, All(node.n_rows, p.n_rows), EXTENT)
                                 for i, p in enumerate(node.inputs))]  # fmt: skip
    given = by_name(node, "input repeats dim")
    if "repeats" not in given and "dim" not in given:
        return opaque(node)
    return moved_rows(node)


define(
    "repeat_interleave", "movement", repeated_rows, values=(1, "repeats"), shape_from_values=0
)  # fmt: skip


def picked_rows(node: Node) -> Edges:
    """`masked_select(x, mask)`: the mask decides which cells there are."""
    return moved_rows(node)


define("masked_select", "movement", picked_rows, values=(1, "mask"), shape_from_values=1)


def pad_rows(node: Node) -> Edges:
    """`pad` works from the last axis on; where it doesn't reach the first, rows stay rows."""
    width = by_name(node, "input pad mode value").get("pad")
    if not isinstance(width, (tuple, list)) or len(width) // 2 >= len(node.inputs[0].shape):
        return opaque(node)
    return first_broadcast(1)(node) if node.n_rows == node.inputs[0].n_rows else opaque(node)


define("nn.functional.pad constant_pad_nd", "torch: movement", pad_rows)
define(
    "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle", "movement", moved_rows
)  # fmt: skip
define(
    "gather", "movement", taken_rows, values=(2, "index"), fresh=True
)  # fmt: skip
define("take", "movement", taken_rows, values=(1, "index"), fresh=True)
define("take_along_dim", "movement", taken_rows, values=(1, "indices"), fresh=True)


def selected_rows(node: Node) -> Edges:
    """`index_select(x, dim, index)`: as np.take."""
    given = by_name(node, "input dim index")
    if len(given) < 3 or slots(given["dim"]):
        return opaque(node)
    kwargs = {"indices": given["index"], "axis": given["dim"]}
    args = (given["input"],)
    return taken_rows(make_node(np.take, node.inputs, args, kwargs, node.shape, node.dtype))


define(
    "index_select", "movement", selected_rows, values=(2, "index"), fresh=True,
    like=Like(np.take, "input dim=axis index=indices", {}),
)  # fmt: skip
define_opaque(
    "as_strided as_strided_copy as_strided_scatter slice_inverse",
    "it shows memory as it lies, which isn't recorded", family="movement", by_memory=True,
)  # fmt: skip
