"""Models in and out of files without pickle: the one a store was recorded from, and new weights.

The store keeps the final weights, and for modules of a known kind a description of the layers. A
model of the user's own class needs the user's own factory.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.architecture import build
from traceprop.errors import StoreError
from traceprop.files import PRIVATE_FILE, write_file
from traceprop.lazy import needing_extras

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.gradient_store import GradientStore


def restore_model(
    store: GradientStore, factory: Callable[[], nn.Module] | None = None
) -> nn.Module:
    """Build the recorded model with its final weights, in evaluation mode.

    Parameters
    ----------
    store : GradientStore
        A store that holds a run.
    factory : callable, optional
        Returns an untrained model of the recorded architecture. Needed where the store has no
        description of it: models other than sequences of torch's ordinary layers.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    StoreError
        The store holds no run, has no description of the model and no factory was given, or the
        factory returns no model, or one whose parameters don't fit the recorded weights.
    MissingExtraError
        torch is not installed.

    Examples
    --------
    >>> from traceprop.attribution import GradientStore
    >>> model = restore_model(GradientStore.open("./grad/"))  # doctest: +SKIP
    """
    with needing_extras():
        import torch

    record = store.record
    if record is None:
        raise StoreError(
            f"{store.path} holds no run: give the folder of a store that holds one, or train "
            "inside `with TrainingContext(model, store)` first."
        )
    if factory is not None:
        model = factory()
        if not isinstance(model, torch.nn.Module):
            raise StoreError(
                f"The model's factory returned a {type(model).__name__}: give a function that "
                "returns an untrained torch.nn.Module."
            )
    elif record.architecture is not None:
        model = build(record.architecture)
    else:
        raise StoreError(
            f"{store.path} has no description of its model, whose layers are not all torch's own. "
            "Give a function that returns an untrained one (--model package.module:function)."
        )
    recorded = {name: tuple(value.shape) for name, value in record.final_weights.items()}
    given = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if recorded != given:
        names = ", ".join(sorted(n for n in recorded | given if recorded.get(n) != given.get(n)))
        raise StoreError(
            f"The recorded weights of {store.path} don't fit the given model: they differ in "
            f"{names}. Give the function that made the model which was trained."
        )
    model.load_state_dict(
        {name: torch.from_numpy(value.copy()) for name, value in record.final_weights.items()}
    )
    return model.eval()


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights as an uncompressed `.npz`, one array a parameter, in one move.

    The file has mode 0600: weights can give away the data that they were trained on.

    Parameters
    ----------
    model : torch.nn.Module
    path : Path
        Replaced whole or left as it was; its folder must exist.

    Raises
    ------
    StoreError
        The file can't be written.
    """
    content = io.BytesIO()
    # By hand: in NumPy 2.0 `np.savez(allow_pickle=False)` saves an array of that name.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, value in model.state_dict().items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, value.detach().cpu().numpy(), allow_pickle=False)
    try:
        write_file(path, content.getvalue(), mode=PRIVATE_FILE)
    except OSError as error:
        raise StoreError(f"Can't write the weights to {path}: {error.strerror}.") from error


def load_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Read a model's weights from a file that `save_weights` wrote.

    Parameters
    ----------
    path : Path
        An `.npz`, one array a parameter.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    StoreError
        The file can't be read, or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise StoreError(f"Can't read the weights {path}: {error.strerror or error}.") from error
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path} is no file of weights: give the .npz that `traceprop unlearn --out` wrote."
        ) from error
