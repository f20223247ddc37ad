"""The weights of a run's checkpoints on disk, which scores by checkpoint (`tracin`) need.

Promises: they are committed with the run or not at all; they are read when asked for, not when a
store is opened; an erasure drops them, since they were trained with what is erased.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import FileEntry, StoreFolder
from traceprop.attribution.store.folder.layout import RECORD
from traceprop.attribution.store.folder.manifest import RunPart
from traceprop.attribution.store.run.record import npy_parts, read_arrays
from traceprop.errors import StoreError

_ABOUT, _WEIGHTS = "checkpoints.json", "checkpoint_weights.npy"
CHECKPOINT_FILES = (_ABOUT, _WEIGHTS)


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model on its way.

    Parameters
    ----------
    number : int
        The pass over the data that began with these weights, from 1.
    weights : mapping of str to ndarray
        The model's state.
    learning_rate : float or None
        The mean over the steps of the pass; None where no optimizer was seen, or its groups differ.
    """

    number: int
    weights: Mapping[str, NDArray[Any]]
    learning_rate: float | None


def save_checkpoints(
    folder: StoreFolder, below: str, checkpoints: Sequence[Checkpoint]
) -> list[FileEntry]:
    """Write checkpoints below the folder of a run's record; nothing where there are none."""
    if not checkpoints:
        return []
    about = [
        {"number": each.number, "learning_rate": each.learning_rate, "names": [*each.weights]}
        for each in checkpoints
    ]
    values = chain.from_iterable(each.weights.values() for each in checkpoints)
    content = chain.from_iterable(npy_parts(value, [value]) for value in values)
    return [
        folder.write(f"{below}/{_ABOUT}", [json.dumps(about, indent=1).encode() + b"\n"]),
        folder.write(f"{below}/{_WEIGHTS}", content),
    ]


def is_of_checkpoints(part: RunPart, path: str) -> bool:
    """Tell whether a file of a part holds weights of checkpoints, or says which there are."""
    return path in {f"{part.run}/{RECORD}/{name}" for name in CHECKPOINT_FILES}


def keeps_weights(part: RunPart) -> bool:
    """Tell whether a part keeps the weights of its checkpoints."""
    return any(is_of_checkpoints(part, entry.path) for entry in part.files)


def load_checkpoints(folder: StoreFolder, part: RunPart) -> dict[int, Checkpoint]:
    """Read the checkpoints of a part by their numbers; none where it keeps none.

    Raises
    ------
    StoreError
        A file is gone or damaged.
    """
    if not keeps_weights(part):
        return {}
    below = f"{part.run}/{RECORD}"
    try:
        about = json.loads(folder.locate(f"{below}/{_ABOUT}").read_bytes())
        names = [(i, name) for i, each in enumerate(about) for name in each["names"]]
        arrays = read_arrays(folder.locate(f"{below}/{_WEIGHTS}"), len(names))
        weights: list[dict[str, NDArray[np.generic]]] = [{} for _ in about]
        for (i, name), value in zip(names, arrays, strict=True):
            weights[i][name] = value
        return {
            int(each["number"]): Checkpoint(int(each["number"]), own, _rate(each))
            for each, own in zip(about, weights, strict=True)
        }
    except (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, TokenError) as error:
        raise StoreError(
            f"The checkpoints in {folder.root}/{below} can't be read: {error}. "
            f"`traceprop store verify` tells which files are damaged."
        ) from error


def _rate(about: Mapping[str, Any]) -> float | None:
    rate = about["learning_rate"]
    return None if rate is None else float(rate)
