"""What a training run left for later: its data, its loss and penalty, its weights, its settings.

Influence scores, exact removal and certificates are computed from this record. Promises: it is
saved without pickle (arrays as `.npy`, the rest as one JSON file), comes back equal, and training
data come back as memory maps.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tokenize import TokenError  # what NumPy lets through from an `.npy` header it can't parse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import Bytes, FileEntry, StoreFolder, entry_of
from traceprop.attribution.store.folder.layout import RECORD
from traceprop.attribution.store.folder.ordinary import check_ordinary, open_ordinary, read_ordinary
from traceprop.curvature.losses import LossSpec
from traceprop.errors import DataError, StoreError

_SETTINGS = "record.json"
_ORDER = "order"
_WEIGHTS = ("initial_weights", "final_weights")
_DATA = ("inputs", "targets")
DATA_FILES = tuple(f"{name}.npy" for name in _DATA)
ORDER_FILE = f"{_ORDER}.npy"


@dataclass(frozen=True, eq=False, slots=True)
class BatchOrder:
    """Which samples each batch of a run had, one batch after the other.

    Parameters
    ----------
    samples : ndarray of int32, shape (visits,)
        The samples; -1 where one was that is erased.
    ends : ndarray of int64, shape (batches,)
        Where in `samples` each batch ends.
    """

    samples: NDArray[np.int32]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        """Yield each batch's samples."""
        start = 0
        for end in self.ends.tolist():
            yield self.samples[start:end]
            start = end


def join_orders(orders: Sequence[BatchOrder | None]) -> BatchOrder | None:
    """Return the order of runs one after the other; None where one of them isn't known."""
    known = [order for order in orders if order is not None]
    if not known or len(known) < len(orders):
        return None
    sizes = [np.diff(order.ends, prepend=0) for order in known]
    return BatchOrder(
        np.concatenate([order.samples for order in known]), np.cumsum(np.concatenate(sizes))
    )


@dataclass(frozen=True, eq=False, repr=False)
class TrainingRecord:
    """One training run, as far as it was given or could be read.

    Parameters
    ----------
    inputs : ndarray, shape (n, ...)
        The training inputs; row i is sample i. A read-only memory map where it comes from a store.
    targets : ndarray, shape (n, ...)
        The training targets, likewise.
    loss : LossSpec or None
        The loss and its reduction; None where they couldn't be read.
    penalty : float or None
        λ of the λ/2 ‖θ‖² added to the reduced loss, as the optimizer's `weight_decay` means it;
        None where unknown.
    penalty_origin : str
        Where the penalty was read, or why it couldn't be.
    optimizer : dict or None
        The optimizer's name and settings, as JSON values.
    initial_weights, final_weights : mapping of str to ndarray
        The model's state before and after.
    model_digest : str
        `model_digest` of the final weights.
    architecture : dict or None
        The layers as `curvature.architecture.describe` gives them; None where it can't.
    epochs, batch_size : int or None
        How the run went, where it was seen.
    input_columns : tuple of str or None
        The names of the inputs' columns.
    seed : int or None
        The seed of torch's own generator as the run began, where it is known.
    fixed_data : bool
        Whether every sample had the same input and label at each visit. Where not (augmentation,
        noise), those kept are the last seen, and the training minimised no objective of them.
    unpenalised : tuple of str
        The parameters that the penalty spares, by name.
    order : BatchOrder or None
        The samples of each batch, in the order of training, where they were seen.
    recipe : dict or None
        The qualified name of the function that trains from arrays and a seed, and the SHA-256 of
        its source; None where none was given.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    loss: LossSpec | None
    penalty: float | None
    penalty_origin: str
    optimizer: dict[str, Any] | None
    initial_weights: Mapping[str, NDArray[Any]]
    final_weights: Mapping[str, NDArray[Any]]
    model_digest: str
    architecture: dict[str, Any] | None
    epochs: int | None
    batch_size: int | None
    input_columns: tuple[str, ...] | None
    seed: int | None
    fixed_data: bool = True
    unpenalised: tuple[str, ...] = ()
    order: BatchOrder | None = None
    recipe: dict[str, str | None] | None = None

    def __repr__(self) -> str:
        loss = f"{self.loss.kind} ({self.loss.reduction})" if self.loss else "loss unknown"
        penalty = "penalty unknown" if self.penalty is None else f"penalty {self.penalty:g}"
        run = "" if self.epochs is None else f", epochs: {self.epochs}"
        return (
            f"TrainingRecord({len(self.inputs)} inputs of shape {self.inputs.shape[1:]}, {loss}, "
            f"{penalty}{run}, model {self.model_digest[:12]}…)"
        )


def save_record(
    folder: StoreFolder, below: str, record: TrainingRecord, *, data: bool = True
) -> list[FileEntry]:
    """Write a record below a folder of the store, and return the files' entries.

    Parameters
    ----------
    folder : StoreFolder
    below : str
    record : TrainingRecord
    data : bool
        Whether inputs and targets are written too.

    Raises
    ------
    DataError
        Inputs and targets are not of the same length.
    StoreError
        A value has no JSON form, or an array holds Python objects.
    """
    if len(record.inputs) != len(record.targets):
        raise DataError(
            f"{len(record.inputs)} training inputs for {len(record.targets)} targets can't be "
            f"recorded: give one target an input."
        )
    settings = _settings(record)
    parts = {name: _npy(name, getattr(record, name)) for name in _DATA} if data else {}
    parts[_SETTINGS] = iter([settings])
    if record.order is not None:
        parts[_ORDER] = order_parts(record.order)
    for group in _WEIGHTS:
        parts[group] = _weights_parts(getattr(record, group))
    return [
        folder.write(f"{below}/{name}" + ("" if name == _SETTINGS else ".npy"), content)
        for name, content in parts.items()
    ]


def load_record(folder: StoreFolder, run: str, data: str | None = None) -> TrainingRecord:
    """Read a record that `save_record` wrote.

    Parameters
    ----------
    folder : StoreFolder
    run : str
        The run's folder.
    data : str, optional
        The folder of the run whose inputs and targets these are too; by default its own.

    Raises
    ------
    StoreError
        A file is gone or damaged.
    """
    below = f"{run}/{RECORD}"
    inputs, targets = (folder.locate(f"{data or run}/{RECORD}/{name}.npy") for name in _DATA)
    try:
        value = json.loads(read_ordinary(folder.locate(f"{below}/{_SETTINGS}")))
        loss = value["loss"]
        columns = value["input_columns"]
        weights = {
            group: _read_all(folder.locate(f"{below}/{group}.npy"), value[group])
            for group in _WEIGHTS
        }
        return TrainingRecord(
            inputs=mapped(inputs),
            targets=mapped(targets),
            loss=None if loss is None else LossSpec.from_json(loss),
            penalty=value["penalty"],
            penalty_origin=value["penalty_origin"],
            optimizer=value["optimizer"],
            initial_weights=weights["initial_weights"],
            final_weights=weights["final_weights"],
            model_digest=value["model_digest"],
            architecture=value["architecture"],
            epochs=value["epochs"],
            batch_size=value["batch_size"],
            input_columns=None if columns is None else tuple(columns),
            seed=value["seed"],
            fixed_data=bool(value.get("fixed_data", True)),
            unpenalised=tuple(map(str, value.get("unpenalised", ()))),
            order=load_order(folder, run) if value.get("has_order") else None,
            recipe=value.get("recipe"),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, TokenError) as error:
        raise StoreError(
            f"The training record in {folder.root}/{below} can't be read: {error}. "
            f"`traceprop store verify` tells which files are damaged."
        ) from error


def _settings(record: TrainingRecord) -> bytes:
    value = {
        "loss": record.loss and record.loss.to_json(),
        "penalty": record.penalty,
        "penalty_origin": record.penalty_origin,
        "optimizer": record.optimizer,
        "initial_weights": list(record.initial_weights),
        "final_weights": list(record.final_weights),
        "model_digest": record.model_digest,
        "architecture": record.architecture,
        "epochs": record.epochs,
        "batch_size": record.batch_size,
        "input_columns": record.input_columns,
        "seed": record.seed,
        "fixed_data": record.fixed_data,
        "unpenalised": list(record.unpenalised),
        "has_order": record.order is not None,
        "recipe": record.recipe,
    }
    for name, item in value.items():
        try:
            json.dumps(item, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"The training record's {name} has no JSON form ({error}): give plain numbers, "
                f"strings, lists and dicts."
            ) from error
    return json.dumps(value, indent=1).encode() + b"\n"


def starting_entry(run: str, weights: Mapping[str, NDArray[Any]]) -> FileEntry:
    """Return the entry of the file of a run's initial weights, were it to begin with these."""
    return entry_of(f"{run}/{RECORD}/{_WEIGHTS[0]}.npy", _weights_parts(weights))


def _weights_parts(weights: Mapping[str, NDArray[Any]]) -> Iterator[Bytes]:
    """Yield one `.npy` after the other: of hundreds of files each would have to be synced."""
    return chain.from_iterable(_npy(name, value) for name, value in weights.items())


def _npy(name: str, value: NDArray[Any]) -> Iterator[Bytes]:
    """Return the parts of an `.npy` file: its header, then the values without a copy."""
    if value.dtype.hasobject:
        raise StoreError(f"{name} holds Python objects, which are not stored: give it as numbers.")
    return npy_parts(value, [value])


def npy_parts(like: NDArray[Any], blocks: Iterable[NDArray[Any]]) -> Iterator[Bytes]:
    """Yield an `.npy` file of the shape and dtype of one array, with the values of blocks of it."""
    dtype = like.dtype.newbyteorder("<")
    header = io.BytesIO()
    described = {
        "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": like.shape,
    }  # fmt: skip
    np.lib.format.write_array_header_1_0(header, described)
    yield header.getvalue()
    for block in blocks:
        yield np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data


def read_arrays(path: Path, count: int) -> list[NDArray[Any]]:
    """Read arrays that lie one after the other in one file."""
    with open_ordinary(path) as file:
        return [np.lib.format.read_array(file, allow_pickle=False) for _ in range(count)]


def _read_all(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    names = list(names)
    return dict(zip(names, read_arrays(path, len(names)), strict=True))


def order_parts(order: BatchOrder) -> Iterator[Bytes]:
    """Return the parts of the file of an order: its two arrays, one after the other."""
    return chain(_npy("samples", order.samples), _npy("ends", order.ends))


def load_order(folder: StoreFolder, run: str) -> BatchOrder:
    """Read the order of a run that kept one; `ValueError` where the file holds none."""
    arrays = _read_all(folder.locate(f"{run}/{RECORD}/{ORDER_FILE}"), ("samples", "ends"))
    samples, ends = arrays["samples"], arrays["ends"]
    if samples.ndim != 1 or ends.ndim != 1 or not len(ends) or ends[-1] != len(samples):
        raise ValueError(f"{ORDER_FILE} doesn't hold batches")
    return BatchOrder(samples, ends)


def mapped(path: Path) -> NDArray[Any]:
    """Map an `.npy` file, read-only."""
    check_ordinary(path)
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
