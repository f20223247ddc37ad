"""Commands that look into a gradient store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from traceprop.cli.common import (
    Commands,
    as_json_option,
    open_store,
    print_json,
    store_argument,
)


@click.group(name="store", cls=Commands)
def store_commands() -> None:
    """Look into a gradient store."""


@store_commands.command()
@store_argument
@as_json_option
def info(store: Path, as_json: bool) -> None:
    """Tell what a store holds."""
    facts = open_store(store).info()
    if as_json:
        print_json(facts)
    else:
        for name, value in facts.items():
            click.echo(f"{name}: {value}")


@store_commands.command(name="verify")
@store_argument
def verify_store(store: Path) -> None:
    """Read every byte of a store and hold it against its checksums."""
    report = open_store(store).verify()
    click.echo(str(report), err=not report.ok)
    if not report.ok:
        sys.exit(1)
