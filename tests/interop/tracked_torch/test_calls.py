"""Single calls of functions that the random programs don't draw, judged by the same oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from traceprop.testing import assert_cells_sound, assert_sound
from traceprop.testing.torch.program import in_numpy, in_torch, tensors_in

FLAT = np.array([[0.5, -1.0], [2.0, 0.25], [-3.0, 1.5], [1.0, 4.0]])
STACK = np.arange(48.0).reshape(4, 3, 2, 2) % 7 - 2
LINE = np.array([3.0, 1.0, 2.0, 5.0])
INTS = np.array([[0, 1], [2, 1], [1, 0], [3, 3]])
SQUARES = np.arange(16.0).reshape(4, 2, 2) % 5 + 3 * np.eye(2)

CALLS = {
    "conv2d": (STACK, lambda x: F.conv2d(x, torch.ones(2, 3, 2, 2, dtype=x.dtype))),
    "conv2d of one image": (STACK[0], lambda x: F.conv2d(x, torch.ones(2, 3, 1, 1).double())),
    "group_norm": (STACK, lambda x: F.group_norm(x, 3)),
    "instance_norm": (STACK, F.instance_norm),
    "rms_norm": (FLAT, lambda x: F.rms_norm(x, (2,))),
    "layer_norm over all": (FLAT, lambda x: F.layer_norm(x, (4, 2))),
    "batch_norm": (FLAT, lambda x: torch.nn.BatchNorm1d(2, track_running_stats=False).double()(x)),
    "max_pool2d": (STACK, lambda x: F.max_pool2d(x, 2)),
    "max_pool2d with indices": (STACK, lambda x: F.max_pool2d(x, 2, return_indices=True)),
    "adaptive_avg_pool2d": (STACK, lambda x: F.adaptive_avg_pool2d(x, 1)),
    "adaptive_avg_pool2d of one image": (STACK[0], lambda x: F.adaptive_avg_pool2d(x, 1)),
    "interpolate": (STACK, lambda x: F.interpolate(x, scale_factor=2)),
    "unfold": (STACK, lambda x: F.unfold(x, 2)),
    "pixel_shuffle": (np.ones((2, 4, 1, 1)), lambda x: F.pixel_shuffle(x, 2)),
    "pad in front of rows": (FLAT, lambda x: F.pad(x, (0, 0, 1, 0))),
    "prelu": (FLAT, lambda x: F.prelu(x, x[0])),
    "glu": (FLAT, lambda x: F.glu(x, dim=1)),
    "glu over rows": (FLAT, lambda x: F.glu(x, dim=0)),
    "attention": (STACK[0], lambda x: F.scaled_dot_product_attention(x, x, x)),
    "attention of one": (FLAT, lambda x: F.scaled_dot_product_attention(x, x, x)),
    "one_hot": (INTS, F.one_hot),
    "bilinear": (FLAT, lambda x: F.bilinear(x, x, torch.ones(3, 2, 2, dtype=x.dtype))),
    "nll_loss": (FLAT, lambda x: F.nll_loss(x, torch.tensor([0, 1, 0, 1]), reduction="none")),
    "cross_entropy": (FLAT, lambda x: F.cross_entropy(x, torch.softmax(x, 1), reduction="none")),
    "bce": (FLAT, lambda x: F.binary_cross_entropy_with_logits(x, x[0].expand(4, 2),
                                                               reduction="none")),
    "triplet": (FLAT, lambda x: F.triplet_margin_loss(x, x.flip(0), x * 2, reduction="none")),
    "tensordot": (FLAT, lambda x: torch.tensordot(x, x, ([1], [1]))),
    "tensordot over rows": (FLAT, lambda x: torch.tensordot(x, x, ([0], [0]))),
    "bmm": (SQUARES, lambda x: torch.bmm(x, x)),
    "baddbmm": (SQUARES, lambda x: torch.baddbmm(x[0], x, x)),
    "addbmm": (SQUARES, lambda x: torch.addbmm(x[0], x, x)),
    "addmv": (FLAT, lambda x: torch.addmv(x[:, 0], x, x[0])),
    "addr": (LINE, lambda x: torch.addr(torch.zeros(4, 4).double(), x, x)),
    "rmatmul": (FLAT, lambda x: torch.ones(3, 4, dtype=x.dtype) @ x),
    "kron": (FLAT, lambda x: torch.kron(x, x[:2])),
    "cross": (np.arange(12.0).reshape(4, 3), lambda x: torch.linalg.cross(x, x.flip(0))),
    "cross of columns": (np.arange(12.0).reshape(3, 4), lambda x: torch.cross(x, x.flip(1), dim=0)),
    "multi_dot": (FLAT, lambda x: torch.linalg.multi_dot([x, x.T, x])),
    "vecdot": (FLAT, lambda x: torch.linalg.vecdot(x, x)),
    "vecdot over rows": (FLAT, lambda x: torch.linalg.vecdot(x, x, dim=0)),
    "pairwise_distance": (FLAT, lambda x: F.pairwise_distance(x, x[0])),
    "pdist": (FLAT, F.pdist),
    "inverse": (SQUARES, torch.linalg.inv),
    "inverse of one": (SQUARES[0], torch.linalg.inv),
    "slogdet": (SQUARES, torch.linalg.slogdet),
    "vector_norm": (FLAT, lambda x: torch.linalg.vector_norm(x, 2, 1)),
    "matrix_norm": (SQUARES, torch.linalg.matrix_norm),
    "norm over rows": (FLAT, lambda x: x.norm(2, 0)),
    "std as text has it": (FLAT, lambda x: x.std(False)),
    "var_mean": (FLAT, lambda x: torch.var_mean(x, 1)),
    "aminmax": (FLAT, lambda x: torch.aminmax(x, dim=0)),
    "kthvalue": (FLAT, lambda x: torch.kthvalue(x, 2, 0)),
    "mode": (INTS, lambda x: torch.mode(x, 1)),
    "msort": (FLAT, torch.msort),
    "trapezoid": (FLAT, lambda x: torch.trapezoid(x, dim=0)),
    "cumulative_trapezoid": (FLAT, lambda x: torch.cumulative_trapezoid(x, dim=1)),
    "gradient": (LINE, torch.gradient),
    "combinations": (LINE, torch.combinations),
    "cartesian_prod": (LINE, lambda x: torch.cartesian_prod(x, x[:2])),
    "block_diag": (FLAT, lambda x: torch.block_diag(x, x[:1])),
    "diag_embed": (FLAT, torch.diag_embed),
    "rot90": (FLAT, torch.rot90),
    "movedim": (STACK, lambda x: torch.movedim(x, 0, 2)),
    "unflatten": (STACK, lambda x: x.flatten(0, 1).unflatten(0, (2, 6))),
    "tensor_split": (FLAT, lambda x: torch.tensor_split(x, 3)),
    "narrow": (FLAT, lambda x: torch.narrow(x, 0, 1, 2)),
    "select_scatter": (FLAT, lambda x: torch.select_scatter(x, x[0], 0, 2)),
    "slice_scatter": (FLAT, lambda x: torch.slice_scatter(x, x[:2], 0, 1, 3)),
    "diagonal_scatter": (FLAT, lambda x: torch.diagonal_scatter(x, x[0])),
    "index_put": (FLAT, lambda x: torch.index_put(x, (torch.tensor([0, 3]),), x[1:3])),
    "index_put twice": (FLAT, lambda x: torch.index_put(x, (torch.tensor([3, 3]),), x[1:3])),
    "index_put added": (FLAT, lambda x: x.index_put((torch.tensor([3, 3]),), x[:2], True)),
    "put": (FLAT, lambda x: x.put(torch.tensor([0, 5]), x[2])),
    "scatter of a number": (FLAT, lambda x: x.scatter(0, torch.tensor([[1, 2]]), 9.0)),
    "scatter reduced": (FLAT, lambda x: x.scatter_reduce(0, torch.tensor([[1, 1]]), x[2:3], "sum")),
    "index_add of rows": (FLAT, lambda x: torch.zeros_like(x).index_add(
        0, torch.tensor([1, 1, 0, 3]), x)),
    "repeat_interleave of rows": (FLAT, lambda x: x.repeat_interleave(
        torch.tensor([1, 0, 2, 1]), dim=0)),
    "counts": (INTS[:, 0], torch.repeat_interleave),
    "bincount": (INTS[:, 0], torch.bincount),
    "histc": (LINE, lambda x: torch.histc(x, 3)),
    "isin": (FLAT, lambda x: torch.isin(x, x[0])),
    "searchsorted in rows": (np.sort(FLAT), lambda x: torch.searchsorted(x, x * 1.5)),
    "fftn": (FLAT, torch.fft.fftn),
    "rfft": (FLAT, lambda x: torch.fft.rfft(x, dim=1)),
    "view of other type": (LINE, lambda x: x.view(torch.int32)),
    "view_as_complex": (FLAT, lambda x: torch.view_as_complex(x).abs()),
    "as_strided": (LINE, lambda x: x.as_strided((2, 2), (1, 1))),
    "full_like": (FLAT, lambda x: torch.full_like(x, 2.0) + x),
    "new_tensor": (FLAT, lambda x: x.new_zeros(3) + x.sum()),
    "meshgrid": (LINE, lambda x: torch.meshgrid(x, x[:2], indexing="xy")),
    "cov": (FLAT, lambda x: torch.cov(x.T)),
    "unique": (INTS, lambda x: torch.unique(x, dim=0, return_counts=True)),
    "embedding": (INTS, lambda x: F.embedding(x, torch.eye(4))),
    "a sum": (FLAT, lambda x: torch.ones(1, dtype=x.dtype) * x.sum(0, keepdim=True)),
    "mixed key": (STACK, lambda x: x[0, :, torch.tensor([1, 0])]),
    "keys in lists": (FLAT, lambda x: x[[0, 2], [1, 0]]),
    "true as a key": (FLAT, lambda x: x[True]),
    "bytes as a mask": (FLAT, lambda x: torch.masked_select(x, (x > 0))),
}  # fmt: skip


def on_arrays(call):
    def run(x):
        torch.manual_seed(0)
        try:
            return [in_numpy(each) for each in found_in(call(in_torch(x)))]
        except RuntimeError as wrong:
            raise ValueError(str(wrong)) from wrong

    return run


def found_in(result):
    """The tensors in a result, tracked or plain."""
    if isinstance(result, (tuple, list)):
        return [each for part in result for each in found_in(part)]
    return tensors_in(result) or [result]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sound_in_rows(name):
    array, call = CALLS[name]
    assert_sound(on_arrays(call), array)


@pytest.mark.parametrize("name", [n for n, (a, _) in CALLS.items() if a.size <= 16])
def test_a_call_is_sound_in_cells(name):
    array, call = CALLS[name]
    assert_cells_sound(on_arrays(call), array)
