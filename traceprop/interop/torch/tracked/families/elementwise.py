"""Cell by cell: all tensors broadcast together, and each output row comes of its own row."""

from __future__ import annotations

import numpy as np

from traceprop.interop.torch.tracked.entries import define, define_like
from traceprop.lineage.graph.edge import Edge, Edges, row_by_row
from traceprop.lineage.graph.node import Node
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import elementwise_rows

define(
    "abs absolute acos arccos acosh arccosh addcdiv addcmul angle arctan2 asin arcsin asinh "
    "arcsinh "
    "atan atan2 arctan atanh arctanh bitwise_and bitwise_left_shift bitwise_not bitwise_or "
    "bitwise_right_shift bitwise_xor ceil celu clamp_max clamp_min complex conj_physical copysign "
    "cos cosh deg2rad digamma elu erf erfc erfinv exp2 fix float_power floor floor_divide fmax "
    "fmin "
    "fmod frac frexp gcd ge greater_equal gelu greater gt hardshrink hardsigmoid hardswish "
    "hardtanh "
    "heaviside hypot i0 igamma igammac isclose isfinite isinf isneginf isposinf isreal lcm "
    "ldexp le "
    "less_equal leaky_relu lerp less lgamma log_sigmoid logsigmoid logaddexp logaddexp2 "
    "logical_and "
    "logical_not logical_or logical_xor logit lt mish mul multiply mvlgamma ne neg negative "
    "nextafter not_equal polar polygamma pow rad2deg reciprocal relu relu6 remainder rsqrt "
    "rsub selu "
    "sgn sigmoid sign signbit silu sin sinc sinh softplus softshrink softsign square tan tanh "
    "tanhshrink threshold trunc xlogy add exp expm1 sqrt round "
    "special.airy_ai special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1 "
    "special.chebyshev_polynomial_t special.chebyshev_polynomial_u special.chebyshev_polynomial_v "
    "special.chebyshev_polynomial_w special.entr special.erfcx special.expit special.gammainc "
    "special.gammaincc special.gammaln special.hermite_polynomial_h special.hermite_polynomial_he "
    "special.i0e special.i1 special.i1e special.laguerre_polynomial_l "
    "special.legendre_polynomial_p special.log_ndtr special.modified_bessel_i0 "
    "special.modified_bessel_i1 special.modified_bessel_k0 special.modified_bessel_k1 "
    "special.multigammaln special.ndtr special.ndtri special.psi special.round "
    "special.scaled_modified_bessel_k0 special.scaled_modified_bessel_k1 "
    "special.shifted_chebyshev_polynomial_t special.shifted_chebyshev_polynomial_u "
    "special.shifted_chebyshev_polynomial_v special.shifted_chebyshev_polynomial_w "
    "special.spherical_bessel_j0 special.xlog1py special.zeta",
    "elementwise", elementwise_rows, mixes=True, fresh=True,
)  # fmt: skip
define(
    "positive conj resolve_conj resolve_neg real view_as_real_copy",
    "elementwise", elementwise_rows, quiet=True,
)  # fmt: skip
define(
    "clone contiguous detach detach_copy to float double half bfloat16 int long short bool char "
    "byte cdouble cfloat chalf type type_as cpu cuda pin_memory data requires_grad_ alias "
    "Tensor.detach_ Tensor.numpy xpu ipu mtia alias_copy copy_ fill_ zero_ "
    "nn.functional._threshold",
    "elementwise", elementwise_rows, quiet=True,
)  # fmt: skip

# Functions that idioms know by their NumPy names: the same rule, by way of those.
_SAME = {
    np.subtract: "sub subtract",
    np.true_divide: "div divide true_divide",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.equal: "eq",
    np.isnan: "isnan",
    np.log: "log",
    np.log1p: "log1p",
    np.log2: "log2",
    np.log10: "log10",
}
for _function, _names in _SAME.items():
    define_like(_names, "elementwise", _function, "input other", facts={"cells": True})

define_like("clamp clip", "elementwise", np.clip, "input min max", facts={"cells": True})
define_like("nan_to_num", "elementwise", np.nan_to_num, "input", facts={"cells": True})


def imaginary_rows(node: Node) -> Edges:
    """Torch refuses it for real numbers, so that each row has its own."""
    return row_by_row(node.n_rows)


define("imag", "elementwise", imaginary_rows)


def halves_rows(node: Node) -> list[Edge]:
    """Pairs of a last axis for complex numbers, or the other way round."""
    parent = node.inputs[0]
    if parent.n_rows == node.n_rows and parent.shape and node.shape:
        return [Edge(0, Identity(node.n_rows))]
    return [Edge(0, All(node.n_rows, parent.n_rows))]


define(
    "view_as_real view_as_complex view_as_complex_copy view_as_real_copy",
    "torch: elementwise", halves_rows, by_memory=True,
)  # fmt: skip


def first_rows(node: Node) -> list[Edge]:
    """Rows of the first argument stay rows; what they are looked up in is used whole."""
    from traceprop.lineage.graph.template import slots
    from traceprop.lineage.rules.elementwise import aligned

    first = set(slots(node.args[:1]))
    return [
        Edge(
            i, aligned(parent.shape, node.shape) if i in first else All(node.n_rows, parent.n_rows)
        )
        for i, parent in enumerate(node.inputs)
    ]


define("bucketize isin", "torch: searching", first_rows, mixes=True, fresh=True)
