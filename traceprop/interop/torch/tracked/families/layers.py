"""Layers of `torch.nn.functional`: a batch's rows stay rows, weights go into every one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from traceprop.interop.torch.tracked.entries import by_name, define, define_like, define_opaque
from traceprop.lineage.graph.edge import EXTENT, Edge, Edges, Rule, opaque
from traceprop.lineage.graph.node import Node, make_node
from traceprop.lineage.graph.template import shape_of, slots
from traceprop.lineage.registry import CONSERVATIVE
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.movement import taken_rows


def batched(depth: int, first: int = 1, when: Callable[[Node], bool] = lambda node: True) -> Rule:
    """Rule of a layer whose first arguments are batches where they have `depth` axes or more."""

    def rows(node: Node) -> list[Edge]:
        batch = set(slots(node.args[:first]))
        holds = when(node)
        return [
            Edge(i, Identity(node.n_rows))
            if holds and i in batch and len(parent.shape) >= depth and parent.n_rows == node.n_rows
            else Edge(i, All(node.n_rows, parent.n_rows), aggregates=True)
            for i, parent in enumerate(node.inputs)
        ]

    return rows


_LAYERS = {
    3: "conv1d conv_transpose1d avg_pool1d max_pool1d max_pool1d_with_indices lp_pool1d "
    "adaptive_avg_pool1d adaptive_max_pool1d adaptive_max_pool1d_with_indices max_unpool1d "
    "local_response_norm interpolate affine_grid_generator instance_norm",
    4: "conv2d conv_transpose2d avg_pool2d max_pool2d max_pool2d_with_indices lp_pool2d "
    "adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool2d_with_indices max_unpool2d",
    5: "conv3d conv_transpose3d avg_pool3d max_pool3d max_pool3d_with_indices lp_pool3d "
    "adaptive_avg_pool3d adaptive_max_pool3d adaptive_max_pool3d_with_indices max_unpool3d",
    2: "group_norm prelu",
}
for _depth, _names in _LAYERS.items():
    define(_names, "torch: layers", batched(_depth), mixes=True, fresh=True)
define("max_unpool1d", "torch: layers", batched(3, first=2), mixes=True, fresh=True)
define("max_unpool2d", "torch: layers", batched(4, first=2), mixes=True, fresh=True)
define("max_unpool3d", "torch: layers", batched(5, first=2), mixes=True, fresh=True)
define("grid_sample grid_sampler grid_sampler_2d grid_sampler_3d", "torch: layers",
       batched(4, first=2), mixes=True, fresh=True)  # fmt: skip
define("affine_grid", "torch: layers", batched(3), mixes=True, fresh=True)


def _is_depth_known(node: Node) -> bool:
    """Whether `F.unfold` and `F.fold` got a batch: their results have one axis less, or more."""
    depth = len(shape_of(node, node.args[0]))
    return depth == (4 if node.op.name.endswith("unfold") else 3)  # type: ignore[attr-defined]


define(
    "nn.functional.unfold nn.functional.fold col2im im2col", "torch: layers",
    batched(3, when=_is_depth_known), mixes=True,
)  # fmt: skip


def _is_inference(node: Node) -> bool:
    """Whether a batch norm takes its statistics from its arguments, not from the batch."""
    given = by_name(node, "input running_mean running_var weight bias training")
    if not node.op.name.startswith("torch.nn.functional"):  # type: ignore[attr-defined]
        given = by_name(node, "input weight bias running_mean running_var training")
    return given.get("training", False) is False


define("batch_norm", "torch: layers", batched(2, when=_is_inference), mixes=True, fresh=True)


def _spares_rows(node: Node) -> bool:
    """Whether a layer norm leaves axis 0 alone."""
    shape = by_name(node, "input normalized_shape").get("normalized_shape")
    depth = len(shape) if isinstance(shape, (tuple, list)) else 1
    return depth < len(shape_of(node, node.args[0]))


define("layer_norm rms_norm", "torch: layers", batched(2, when=_spares_rows), mixes=True,
       fresh=True)  # fmt: skip


def embedded_rows(node: Node) -> Edges:
    """`embedding(input, weight)`: rows of the weight, taken by the input's numbers."""
    if len(node.args) < 2:
        return opaque(node)
    index, weight = node.args[:2]
    if not node.op.name.startswith("torch.nn.functional"):  # type: ignore[attr-defined]
        index, weight = weight, index
    args = (weight, index, 0)
    return taken_rows(make_node(np.take, node.inputs, args, None, node.shape, node.dtype))


define("nn.functional.embedding", "torch: layers", embedded_rows, values=(0,))
define("embedding", "torch: layers", embedded_rows, values=(1,))


def one_hot_rows(node: Node) -> list[Edge]:
    """Row by row; how many classes there are may be left to the values."""
    n = node.n_rows
    parent = node.inputs[0]
    edges = [Edge(0, Identity(n) if parent.shape else All(n, parent.n_rows))]
    if by_name(node, "input num_classes").get("num_classes", -1) == -1:
        edges.append(Edge(0, All(n, parent.n_rows), EXTENT))
    return edges


define("one_hot", "torch: layers", one_hot_rows, shape_from_values=0, fresh=True)


def attention_rows(node: Node) -> list[Edge]:
    """Stacks of queries, keys and values are worked on one by one; one stack's rows are queries."""
    depth = len(node.shape)
    own = set(slots(node.args[: 3 if depth > 2 else 1]))
    return [
        Edge(i, Identity(node.n_rows))
        if i in own and len(parent.shape) == depth and parent.n_rows == node.n_rows and depth > 1
        and not _is_causal_queries(node, depth)
        else Edge(i, All(node.n_rows, parent.n_rows), aggregates=True)
        for i, parent in enumerate(node.inputs)
    ]  # fmt: skip


def _is_causal_queries(node: Node, depth: int) -> bool:
    """Whether the flag for grouped heads is set, with which axis 0 of the stacks differ."""
    return depth == 3 and bool((node.kwargs or {}).get("enable_gqa"))


define(
    "scaled_dot_product_attention", "torch: layers", attention_rows, mixes=True, fresh=True,
    never="its dropout draws random numbers, and its kernel is chosen by the machine",
)  # fmt: skip
define_opaque(
    "embedding_bag multi_head_attention_forward gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell "
    "rnn_tanh rnn_tanh_cell conv_tbc native_batch_norm native_group_norm native_layer_norm "
    "native_norm batch_norm_elemt batch_norm_stats batch_norm_gather_stats "
    "batch_norm_gather_stats_with_counts batch_norm_backward_elemt batch_norm_backward_reduce "
    "batch_norm_update_stats convolution cudnn_convolution cudnn_convolution_relu "
    "cudnn_convolution_add_relu cudnn_convolution_transpose miopen_batch_norm miopen_convolution "
    "miopen_convolution_add_relu miopen_convolution_relu miopen_convolution_transpose "
    "miopen_depthwise_convolution miopen_rnn mkldnn_convolution",
    "its layout of time, batch and gates isn't taken apart: every row gets all rows",
    family="layers", shape_from_values=None, fresh=True,
)  # fmt: skip
define_like("pdist", "layers", np.cov, "input", facts={"status": CONSERVATIVE,
            "reason": "a distance is given all rows, not the two that it is between"})  # fmt: skip
