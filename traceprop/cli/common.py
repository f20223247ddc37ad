"""What the commands share: options, opening a store, printing.

Promise: a command that is wrong by its user's mistake ends with one line and exit status 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traceprop.errors import DataError, TracepropError
from traceprop.user_model import load_factory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from traceprop.attribution import GradientStore
    from traceprop.lineage import Trace


class Commands(click.Group):
    """A group whose commands turn our own errors into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except TracepropError as error:
            raise click.ClickException(str(error)) from error


store_argument = click.argument("store", type=click.Path(path_type=Path))
factory_option = click.option(
    "--model",
    "factory",
    metavar="MODULE:FUNCTION",
    help="Your function that returns an untrained model; needed only for models that are not "
    "made of torch's own layers in sequence.",
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def open_store(path: Path) -> GradientStore:
    """Open the gradient store at a path."""
    from traceprop.attribution import GradientStore

    return GradientStore.open(path)


def open_with_model(path: Path, factory: str | None) -> tuple[GradientStore, nn.Module]:
    """Open a store and the model that was trained with it."""
    from traceprop.attribution.model_files import restore_model

    opened = open_store(path)
    return opened, restore_model(opened, load_factory(factory) if factory else None)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show bars for work that is told as (what, done, of how much), on standard error."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def advance(what: str, done: int, of: int) -> None:
        if what not in bars:
            bars[what] = tqdm(total=of, desc=what, disable=None, leave=False)
        bars[what].update(done - bars[what].n)

    try:
        yield advance
    finally:
        for bar in bars.values():
            bar.close()


def parse_row(text: str) -> tuple[str, int]:
    """Parse `FILE:ROW`, as in `credit_scores.csv:4821`."""
    name, _, number = text.rpartition(":")
    if not name or not number.isdecimal():
        raise click.BadParameter(f"{text!r} is not FILE:ROW, as in credit_scores.csv:4821.")
    return name, int(number)


def read_inputs(path: Path, store: GradientStore) -> NDArray[np.float64]:
    """Read a CSV of model inputs, its columns by the training inputs' names where these are known.

    By position, a table whose columns come in another order would be answered, and wrongly.
    """
    from traceprop.lineage import values
    from traceprop.sources import load_csv

    known = store.record.input_columns if store.record else None
    by_name = known is not None and len(set(known)) == len(known)
    table = load_csv(path, columns=known if by_name else None)
    for source in table.sources():
        if store.steps and any(source.sha256 == trained.sha256 for trained in store.sources):
            raise DataError(
                f"{path} is the training file itself, whose rows are not prepared as the model "
                f"takes them ({' → '.join(map(str, store.steps))}): give a CSV of prepared inputs."
            )
    inputs: NDArray[np.float64] = values(table)
    return inputs


def trace_facts(trace: Trace) -> dict[str, Any]:
    """Return a trace as JSON values."""
    return {
        "rows": {source.uri: list(rows) for source, rows in trace.rows.items()},
        "steps": list(trace.steps),
    }


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
