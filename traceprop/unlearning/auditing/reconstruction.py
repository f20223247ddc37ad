"""`reconstruct`: training rows read out of a gradient store's files, as an attacker would.

Of a linear layer with a bias the gradient of one sample is (err xᵀ, err): x is the quotient of the
two (Zhu et al. 2019; Geiping et al. 2020). Where the store keeps gradients unprojected, or their
factors, the first layer's input comes back; the cached inputs lie there as they are.

Promise: every file in the folder is read, whether or not a manifest names it, and nothing is
written; a row counts as recovered only where a candidate is within the stated tolerance of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.projection import Projector
from traceprop.attribution.store.folder.folder_state import MANIFEST_NAME
from traceprop.attribution.store.folder.manifest import Manifest
from traceprop.errors import DataError, StoreError

Array = NDArray[np.float64]
_DTYPES = {"float32": "<f4", "float16": "<f2", "int8": "i1"}


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What an attack got out of a store.

    Parameters
    ----------
    recovered : ndarray of bool, shape (m,)
        Whether each row that was looked for came out.
    distances : ndarray of float64, shape (m,)
        ‖x̂ − x‖ / ‖x‖ of the nearest candidate; infinite without any.
    tolerance : float
        Up to where a row counts as recovered.
    candidates : dict of str to int
        How many candidates each file gave.
    """

    recovered: NDArray[np.bool_]
    distances: Array
    tolerance: float
    candidates: dict[str, int]

    @property
    def n_recovered(self) -> int:
        """How many rows came out."""
        return int(self.recovered.sum())

    def __repr__(self) -> str:
        return (
            f"Reconstruction({self.n_recovered} of {len(self.recovered)} rows within "
            f"{self.tolerance:g}, from {sum(self.candidates.values())} candidates)"
        )


def reconstruct(
    path: str | os.PathLike[str], rows: ArrayLike, *, tolerance: float = 1e-2
) -> Reconstruction:
    """Try to get training rows out of a store's files.

    Parameters
    ----------
    path : path-like
        The store's folder. It is read as a folder of files, not opened as a store.
    rows : array-like, shape (m, d)
        The rows to look for, as they were trained on: what the attacker doesn't have, and the
        auditor does.
    tolerance : float
        Relative distance up to which a candidate counts as the row.

    Returns
    -------
    Reconstruction

    Raises
    ------
    StoreError
        The folder has no manifest that can be read.
    DataError
        The rows are no table of finite numbers.

    Examples
    --------
    >>> reconstruct("./grad/", X[forget_set.samples]).n_recovered  # doctest: +SKIP
    0
    """
    wanted = np.asarray(rows, np.float64)
    wanted = wanted.reshape(len(wanted), -1) if wanted.ndim else wanted
    if wanted.ndim != 2 or not wanted.size or not np.isfinite(wanted).all():
        raise DataError("rows must be a table of finite numbers, one row for each to look for")
    nearest = np.full(len(wanted), np.inf)
    counts: dict[str, int] = {}
    for name, candidates in _candidates(Path(path), wanted.shape[1]):
        counts[name] = counts.get(name, 0) + len(candidates)
        nearest = np.minimum(nearest, _nearest(wanted, candidates))
    distances = nearest / np.maximum(np.linalg.norm(wanted, axis=1), np.finfo(float).tiny)
    return Reconstruction(distances <= tolerance, distances, tolerance, counts)


def _candidates(root: Path, d: int) -> Iterator[tuple[str, Array]]:
    """Yield, by file, vectors that may be training rows."""
    manifest = _manifest(root)
    projector = Projector.from_json(manifest.projector)
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".npy":
            found = _cached(path, d)
        elif path.suffix in (".bin", ".rows"):
            found = _from_gradients(path, manifest, projector, d)
        else:
            found = np.empty((0, d))
        found = found[np.isfinite(found).all(axis=1) & found.any(axis=1)]
        if len(found):
            yield name, found


def _manifest(root: Path) -> Manifest:
    for path in sorted(root.glob("manifest-*.json"), reverse=True):
        if MANIFEST_NAME.fullmatch(path.name):
            try:
                return Manifest.decode(path.read_bytes())
            except ValueError:
                continue
    raise StoreError(f"{root} has no manifest that can be read; give the folder of a store")


def _cached(path: Path, d: int) -> Array:
    """Return the rows of a saved array, if they have as many numbers."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return np.empty((0, d))
    if array.ndim < 2 or array.dtype.kind not in "fiu" or array[0].size != d:
        return np.empty((0, d))
    found: Array = array.reshape(len(array), d).astype(np.float64)
    return found


def _from_gradients(path: Path, manifest: Manifest, projector: Projector, d: int) -> Array:
    """Divide the first layer's weight gradients by those of its bias."""
    width, dtype = manifest.width, np.dtype(_DTYPES[manifest.dtype])
    flat = np.fromfile(path, dtype)
    rows = flat[: len(flat) // width * width].reshape(-1, width)
    if projector.kind not in ("identity", "factors") or not len(rows):
        return np.empty((0, d))
    layers = _layers(projector, d)
    found = []
    for start in range(0, len(rows), 4096):
        # The scale of an int8 row falls out of the quotient.
        part = projector.gradients(rows[start : start + 4096].astype(np.float32))
        for weight, bias in layers:
            found.append(_quotient(part[:, weight], part[:, bias], d))
    return np.concatenate(found) if found else np.empty((0, d))


def _layers(projector: Projector, d: int) -> list[tuple[slice, slice]]:
    """Return where weight and bias of linear layers of d inputs stand in a gradient."""
    starts = np.cumsum([0, *(block.size for block in projector.blocks)]).tolist()
    found = []
    for i, (one, other) in enumerate(zip(projector.blocks, projector.blocks[1:], strict=False)):
        if len(one.shape) == 2 and one.shape[1] == d and tuple(other.shape) == (one.shape[0],):
            found.append((slice(starts[i], starts[i + 1]), slice(starts[i + 1], starts[i + 2])))
    return found


def _quotient(weight: NDArray[Any], bias: NDArray[Any], d: int) -> Array:
    """Return x of err xᵀ and err, by the output whose error is largest."""
    outer = weight.astype(np.float64).reshape(len(weight), -1, d)
    error = bias.astype(np.float64)
    best = np.abs(error).argmax(axis=1)
    at = np.arange(len(outer))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = outer[at, best] / error[at, best][:, None]
    return found


def _nearest(wanted: Array, candidates: Array) -> Array:
    """Return each row's distance to the nearest candidate.

    A tree, not norms and products: those lose half of the digits between near rows.
    """
    from scipy.spatial import cKDTree

    found: Array = cKDTree(candidates).query(wanted)[0]
    return found
