"""What a removal from a model's weights leaves behind: the other copies of the rows.

One list, made with the removal and kept in its record; certificate, summary and regulations read
it and know of no copy by themselves. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["erased", "not removed", "not known to Traceprop"]


@dataclass(frozen=True, slots=True)
class Left:
    """A copy of the rows, and what became of it.

    Parameters
    ----------
    kind : str
        What rules call it, such as `gradient_store`.
    what : str
        What people call it.
    state : {"erased", "not removed", "not known to Traceprop"}
        What became of it.
    note : str
        What a reader must know.
    """

    kind: str
    what: str
    state: State
    note: str


def left_by_removal(n_samples: int) -> tuple[Left, ...]:
    """Name the copies that a removal from the weights alone does not touch.

    Parameters
    ----------
    n_samples : int
        How many samples the gradient store keeps.
    """
    return (
        Left(
            "gradient_store",
            "gradient store",
            "not removed",
            f"It keeps gradients, inputs and labels of all {n_samples} samples, the removed ones "
            "too: it was not purged.",
        ),
        Left(
            "source_files",
            "source files",
            "not removed",
            "Traceprop reads them and changes none.",
        ),
        Left(
            "model_before",
            "model before",
            "not removed",
            "The removal made a new model; the old one is as it was, with all its copies.",
        ),
        Left(
            "elsewhere",
            "backups, exports, other models and recipients of the data",
            "not known to Traceprop",
            "The deployer answers for these.",
        ),
    )
