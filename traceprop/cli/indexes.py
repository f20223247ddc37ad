"""The command that makes a store's search index."""

from __future__ import annotations

from pathlib import Path

import click

from traceprop.cli.common import as_json_option, open_store, print_json, store_argument


@click.command()
@store_argument
@click.option("--threads", type=click.IntRange(min=1), help="All cores if not given.")
@as_json_option
def index(store: Path, threads: int | None, as_json: bool) -> None:
    """Make the index that finds the strongest samples of a large store.

    It takes one bit for each number of a row. Influence scores use it from then on; it is dropped
    when the store's rows change.
    """
    from traceprop.attribution.search.index import build_index

    made = build_index(open_store(store), threads)
    facts = {"rows": made.n_rows, "bytes": made.nbytes}
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{store}: an index of {facts['rows']} rows, {facts['bytes']} bytes.")
