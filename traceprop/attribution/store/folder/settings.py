"""What a store is made with and keeps for life, and how a later opening is held to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.store.folder.formats import check_dtype
from traceprop.errors import StoreError

if TYPE_CHECKING:
    from traceprop.attribution.store.folder.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Settings:
    """A store's settings.

    Parameters
    ----------
    k : int
        The most numbers kept per sample.
    dtype : str
        How they are stored.
    seed : int
        Seed of the projection.
    """

    k: int = 4096
    dtype: str = "float32"
    seed: int = 0


def settings_for(
    root: Path, manifest: Manifest | None, k: int | None, dtype: str | None, seed: int | None
) -> Settings:
    """Put the settings that were asked for and those of an existing store together.

    Parameters
    ----------
    root : Path
        The store's folder, for the message.
    manifest : Manifest or None
        What the folder holds; None for a new store.
    k, dtype, seed : optional
        What was asked for; None leaves it to the store, or to the defaults of a new one.

    Raises
    ------
    StoreError
        A value can't be used, or the store was made with another one.
    """
    k, seed = _plain(k), _plain(seed)
    if k is not None and not _is_whole(k, 1, 1 << 31):
        raise StoreError(
            f"k={k!r} is no number of columns: give a whole number from 1 (and path=)."
        )
    if seed is not None and not _is_whole(seed, 0, 1 << 63):
        raise StoreError(f"seed={seed!r} can't be used: give a whole number from 0 to 2**63 - 1.")
    if dtype is not None:
        check_dtype(dtype)
    made = Settings(manifest.k, manifest.dtype, manifest.seed) if manifest else Settings()
    for name, asked in {"k": k, "dtype": dtype, "seed": seed}.items():
        if manifest is not None and asked is not None and asked != getattr(made, name):
            raise StoreError(
                f"{root} was made with {name}={getattr(made, name)!r}, not {name}={asked!r}: leave "
                f"{name}= out to open it, or give another path=."
            )
    return Settings(
        k=made.k if k is None else k,
        dtype=made.dtype if dtype is None else dtype,
        seed=made.seed if seed is None else seed,
    )


def _plain(value: int | np.integer[Any] | None) -> int | None:
    """Return a NumPy integer as the int that it is."""
    return int(value) if isinstance(value, np.integer) else value


def _is_whole(value: object, start: int, stop: int) -> bool:
    """Tell whether a value is an int of a range; a caller may well have put a path in its place."""
    return isinstance(value, int) and not isinstance(value, bool) and start <= value < stop
