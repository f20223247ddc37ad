"""The record of a removal: what was done to a model, what it is worth, what it doesn't cover.

Promises: `to_dict` holds JSON values only and names no sample and no row, so that it can be
published; `save` writes the samples too, for its owner alone, and `load` gives the record back in
another process; a record in memory lives exactly as long as the model that it describes.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceprop.errors import UnlearnError
from traceprop.files import PRIVATE_FILE, write_file
from traceprop.unlearning.records.classes import ClassName
from traceprop.unlearning.records.left import Left

if TYPE_CHECKING:
    from traceprop.replays import Pipeline

_FORMAT = "traceprop-removal-record"
_VERSION = 3


@dataclass(frozen=True, slots=True, eq=False)
class RemovalRecord:
    """What `approximate_unlearn` did.

    Parameters
    ----------
    method : str
        The method that ran, of `traceprop.unlearning.records.classes.METHODS`.
    asked_method : str
        The method that was asked for, such as "auto".
    removal_class : str
        What the result is, a name of `traceprop.unlearning.records.classes.CLASSES`.
    reason : str
        Why this method.
    bound : float or None
        Bound on ‖θ′ − θ_retrained‖ for the weights as stored; None where none is known.
    bound_from : str or None
        What the bound rests on: the penalty, or the curvature at the weights.
    compared_with : str or None
        The retrained model that the result stands for: the minimum of the objective, or what the
        run's own recipe gives; None where it stands for none.
    recipe : dict or None
        The recipe that was run: `{"name", "sha256", "seed", "threads", "deterministic"}`.
    budget : dict or None
        Of a certified removal: its ε, δ, σ and threshold, and the ε and δ of all removals so far.
    objective : dict
        The loss, the penalty λ and where it was read.
    data : dict
        Where the training data came from, `{"origin": "store" | "given", "sha256"}`: the store's
        own, or an argument that nothing could be held against; and the digest of inputs and
        targets (by the encoding of `model_digest`).
    samples : tuple of int
        The samples removed. Not part of `to_dict`.
    n_forget, n_retain : int
        How many samples went and stayed.
    digest_before, digest_after : str
        `model_digest` of the given model and of the new one.
    loss : dict
        Mean training loss without penalty: `{"forget": {"before", "after"}, "retain": {...}}`.
    forget_margin : dict
        Of the removed samples' own labels: mean margin before and after, and mean absolute change.
    figures : dict
        Numbers of the method's own, such as Newton steps.
    seconds : float
        Wall time of the removal.
    preprocessing : str
        What the removal did about the statistics of the preprocessing.
    replayed : dict or None
        Where the preparation was done again: the statistics and by what power of ten they moved,
        how many rows entered and left, the SHA-256 of the new pipeline as `tp.save_pipeline` writes
        it, the steps of a scikit-learn pipeline that were fitted again.
    unaudited : bool
        True while nobody compared the model with retrained ones.
    unused_arguments : tuple of str
        Arguments given that the method doesn't use.
    limits : tuple of str
        What the removal does not cover.
    left : tuple of Left
        The copies of the rows that are still there.
    versions : dict of str to str
        The software that computed it.
    requester, approver : str or None
        Who asked for the removal, and who approved it.
    purge : dict or None
        What a purge did to the store and to named files, and the search that shows it; None
        without one.
    """

    method: str
    asked_method: str
    removal_class: ClassName
    reason: str
    bound: float | None
    bound_from: str | None
    compared_with: str | None
    recipe: Mapping[str, Any] | None
    budget: Mapping[str, Any] | None
    objective: Mapping[str, Any]
    data: Mapping[str, str]
    samples: tuple[int, ...]
    n_forget: int
    n_retain: int
    digest_before: str
    digest_after: str
    loss: Mapping[str, Mapping[str, float | None]]
    forget_margin: Mapping[str, float | None]
    figures: Mapping[str, float | int | None]
    seconds: float
    preprocessing: str
    replayed: Mapping[str, Any] | None
    unaudited: bool
    unused_arguments: tuple[str, ...]
    limits: tuple[str, ...]
    left: tuple[Left, ...]
    versions: Mapping[str, str]
    requester: str | None = None
    approver: str | None = None
    purge: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, without the samples.

        Numbers that JSON lacks (an infinite loss) become None.
        """
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "samples"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON, with the samples, readable by its owner alone (mode 0600).

        Parameters
        ----------
        path : path-like
            Replaced whole or left as it was; its folder must exist. Keep it beside the weights.

        Raises
        ------
        UnlearnError
            The file can't be written.

        Examples
        --------
        >>> record(theta_prime).save("unlearned.record.json")  # doctest: +SKIP
        """
        about = {"format": _FORMAT, "version": _VERSION}
        body = {**about, **self.to_dict(), "samples": list(self.samples)}
        content = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode()
        try:
            write_file(Path(path), content + b"\n", mode=PRIVATE_FILE)
        except OSError as error:
            raise UnlearnError(
                f"the record can't be written to {path} ({error.strerror}); name a file in a "
                f"folder that is there and writable"
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: Any) -> RemovalRecord:
        """Read a record that `save` wrote, and give it back to its model.

        Parameters
        ----------
        path : path-like
            The file.
        model : torch.nn.Module or scikit-learn estimator
            The model that the removal made, such as its saved weights loaded again. Afterwards
            `record(model)` finds the record, and so does a certificate's export.

        Raises
        ------
        UnlearnError
            The file is missing, is no record, or is another model's.

        Examples
        --------
        >>> done = RemovalRecord.load("unlearned.record.json", theta_prime)  # doctest: +SKIP
        """
        from traceprop.attribution.models import state_of
        from traceprop.curvature.digest import model_digest

        found = cls.read(path)
        digest = model_digest(state_of(model))
        if digest != found.digest_after:
            raise UnlearnError(
                f"{path} is the record of the model {found.digest_after[:16]}…, and this one is "
                f"{digest[:16]}…; give the model that the removal made, with its weights as saved"
            )
        attach(model, found)
        return found

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RemovalRecord:
        """Read a record that `save` wrote, without its model.

        Raises
        ------
        UnlearnError
            The file is missing, or is no record.
        """
        try:
            body = json.loads(Path(path).read_bytes())
            if (body.pop("format"), body.pop("version")) != (_FORMAT, _VERSION):
                raise ValueError("it is of another kind or version")
            for name in ("samples", "unused_arguments", "limits"):
                body[name] = tuple(body[name])
            body["left"] = tuple(Left(**item) for item in body["left"])
            return cls(**body)
        except OSError as error:
            raise UnlearnError(
                f"the record {path} can't be read ({error.strerror}); give the file that "
                f"RemovalRecord.save wrote"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnlearnError(
                f"{path} is not the record of a removal ({error}); give the file that "
                f"RemovalRecord.save wrote"
            ) from error


_RECORDS: weakref.WeakKeyDictionary[Any, RemovalRecord] = weakref.WeakKeyDictionary()
_PIPELINES: weakref.WeakKeyDictionary[Any, Pipeline] = weakref.WeakKeyDictionary()


def record(model: Any) -> RemovalRecord:
    """Return what was done to make a model.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        A model that `approximate_unlearn` returned, or that `RemovalRecord.load` was given: the
        object itself, not a copy.

    Raises
    ------
    UnlearnError
        The model wasn't made by a removal in this process.

    Examples
    --------
    >>> record(theta_prime).removal_class  # doctest: +SKIP
    'exact-convex'
    """
    found = removal_of(model)
    if found is None:
        raise UnlearnError(
            "this model has no record of a removal; give the object that approximate_unlearn "
            "returned, or load its record with RemovalRecord.load(path, model)"
        )
    return found


def removal_of(model: Any) -> RemovalRecord | None:
    """Return the record of the removal that made a model, None for any other model."""
    return _RECORDS.get(model)


def attach(model: Any, done: RemovalRecord, pipeline: Pipeline | None = None) -> None:
    """Keep a record, and how new inputs are prepared, for as long as the model lives."""
    _RECORDS[model] = done
    if pipeline is not None:
        _PIPELINES[model] = pipeline


def preparation(model: Any) -> Pipeline:
    """Return how inputs of a model are prepared after a removal that replayed the preparation.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        A model that `approximate_unlearn` returned.

    Returns
    -------
    Pipeline
        What `tp.apply` and `tp.save_pipeline` take. Keep it beside the weights.

    Raises
    ------
    UnlearnError
        The removal kept the old preparation, or its steps aren't row-wise.

    Examples
    --------
    >>> tp.apply(preparation(theta_prime), {"age": 41, "income": 38_000.0})  # doctest: +SKIP
    """
    found = pipeline_of_model(model)
    if found is None:
        raise UnlearnError(
            f"this model has no new preparation: {record(model).preprocessing} Give the object "
            f"that approximate_unlearn returned"
        )
    return found


def pipeline_of_model(model: Any) -> Pipeline | None:
    """Return what `preparation` does, None where there is none."""
    return _PIPELINES.get(model)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Left):
        return asdict(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
