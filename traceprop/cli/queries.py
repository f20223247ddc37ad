"""Commands that ask: where a sample is from, and which rows drove a decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceprop.cli.common import (
    as_json_option,
    factory_option,
    open_store,
    open_with_model,
    parse_row,
    print_json,
    read_inputs,
    store_argument,
    trace_facts,
)
from traceprop.errors import RowError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from traceprop.attribution import GradientStore


@click.command()
@store_argument
@click.option("--sample", "samples", type=int, multiple=True, help="A sample's number.")
@click.option("--row", "rows", metavar="FILE:ROW", multiple=True, help="A row of a source file.")
@as_json_option
def trace(store: Path, samples: tuple[int, ...], rows: tuple[str, ...], as_json: bool) -> None:
    """Tell a sample's file, row, line and steps, or the samples of a file's row.

    \b
    traceprop trace grad/ --sample 12
    traceprop trace grad/ --row credit_scores.csv:4821
    """  # noqa: D301 (click needs the control character itself)
    if not samples and not rows:
        raise click.UsageError("Name a sample (--sample 12) or a row (--row scores.csv:4821).")
    opened = open_store(store)
    found = list(samples)
    for row in rows:
        name, number = parse_row(row)
        found += [int(sample) for sample in opened.samples_from_source(name, rows=[number])]
    traces = [(sample, opened.get_provenance(sample)) for sample in found]
    if as_json:
        print_json([{"sample": sample, **trace_facts(trace)} for sample, trace in traces])
    else:
        for sample, trace in traces:
            click.echo(f"sample {sample}: {trace}")


@click.command()
@store_argument
@click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV with a header: one model input a row, prepared as the training inputs were, its "
    "columns by the same names.",
)
@click.option("--row", default=0, show_default=True, help="Which row of the CSV to ask about.")
@click.option("--top", default=5, show_default=True, help="How many rows to name.")
@click.option("--target", type=int, help="A class to explain instead of the decided one.")
@click.option(
    "--order",
    type=click.Choice(["largest", "abs", "against"]),
    default="largest",
    show_default=True,
    help="The strongest push towards the decision, either way, or against it.",
)
@factory_option
@as_json_option
def influence(
    store: Path,
    input_path: Path,
    row: int,
    top: int,
    target: int | None,
    order: str,
    factory: str | None,
    as_json: bool,
) -> None:
    """Name the source rows that pushed a decision most, with their scores."""
    from traceprop.attribution import compute_influence_scores

    opened, model = open_with_model(store, factory)
    test_input = _input_row(input_path, row, opened)
    scores = compute_influence_scores(
        model, opened, test_input, top_k=top, target=target, order=order
    )
    found = [(sample, score, opened.get_provenance(sample)) for sample, score in scores]
    quality = scores.quality
    known = scores.standard_errors
    errors = [None] * len(found) if known is None else known.tolist()
    if as_json:
        print_json(
            {
                "target": scores.target,
                "margin": scores.margin,
                "unit": quality.unit,
                "damping": quality.damping,
                "notes": list(quality.notes),
                "agreement": scores.agreement,
                "scores": [
                    {"sample": s, "score": score, "standard_error": error, **trace_facts(t)}
                    for (s, score, t), error in zip(found, errors, strict=True)
                ],
            }
        )
        return
    for (sample, score, provenance), error in zip(found, errors, strict=True):
        bar = f" ± {error:.6f}" if error else ""
        click.echo(f"{score:+.6f}{bar}  sample {sample}: {provenance}")
    click.echo(f"Unit: {' '.join([f'{quality.unit}.', *quality.notes])}", err=True)


def _input_row(path: Path, row: int, store: GradientStore) -> NDArray[np.float64]:
    """Read one row of a CSV of inputs."""
    table = read_inputs(path, store)
    if not 0 <= row < len(table):
        raise RowError(f"{path} has no row {row}: it has {len(table)} rows, numbered from 0.")
    chosen: NDArray[np.float64] = table[row]
    return chosen
