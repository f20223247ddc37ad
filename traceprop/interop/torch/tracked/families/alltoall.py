"""Stacks of matrices, transforms, and functions in which any row can depend on any other."""

from __future__ import annotations

import numpy as np

from traceprop.interop.torch.tracked.entries import define, define_like, define_opaque
from traceprop.lineage.graph.edge import opaque

define_like(
    "det logdet slogdet linalg.slogdet inverse linalg.inv linalg.inv_ex pinverse linalg.pinv "
    "cholesky cholesky_ex cholesky_inverse linalg.cholesky linalg.cholesky_ex linalg.eigh "
    "linalg.eigvalsh svd linalg.svd linalg.svdvals qr linalg.qr matrix_power linalg.matrix_power "
    "matrix_exp linalg.matrix_exp linalg.matrix_rank linalg.cond linalg.solve linalg.solve_ex "
    "linalg.lu linalg.lu_factor linalg.lu_factor_ex lu_solve linalg.lu_solve "
    "linalg.solve_triangular triangular_solve cholesky_solve geqrf linalg.eig linalg.eigvals "
    "linalg.ldl_factor linalg.ldl_factor_ex linalg.ldl_solve linalg.householder_product orgqr "
    "ormqr lu linalg.det lu_unpack",
    "matrices", np.linalg.inv, "input other",
)  # fmt: skip
for _one in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    define_like(f"fft.{_one}", "transforms", getattr(np.fft, _one), "input n=n dim=axis norm=norm",
                facts={"cells": False})  # fmt: skip
for _two in ("fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2"):
    define_like(f"fft.{_two}", "transforms", np.fft.fft2, "input -s dim=axes", axes=(-2, -1))
for _all in ("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn"):
    define_like(f"fft.{_all}", "transforms", np.fft.fftn, "input -s dim=axes", axes=None)

define("cov corrcoef linalg.tensorinv linalg.tensorsolve linalg.vander vander", "torch: all to all",
       opaque, mixes=True, fresh=True)  # fmt: skip
define_opaque(
    "bincount histc histogram histogramdd", "every bin counts over all rows", fresh=True
)  # fmt: skip
define_opaque(
    "unique unique_consecutive nonzero nonzero_static argwhere",
    "which rows hold a value is in values not kept",
)  # fmt: skip
define_opaque(
    "stft istft pca_lowrank svd_lowrank lobpcg linalg.lstsq chain_matmul gradient "
    "cumulative_trapezoid unravel_index norm_except_dim hash_tensor segment_reduce",
    "any row can depend on any other: every row gets all rows",
)  # fmt: skip
