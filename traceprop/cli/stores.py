"""Commands that look into a gradient store, and tidy it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from traceprop.cli.common import (
    Commands,
    as_json_option,
    open_store,
    print_json,
    store_argument,
)
from traceprop.errors import StoreError
from traceprop.sources.inputs.progress import wait_with_bar

T = TypeVar("T")


@click.group(name="store", cls=Commands)
def store_commands() -> None:
    """Look into a gradient store, check it, tidy it.

    A store is the folder that was given as GradientStore(path=...): one row of projected gradients
    for each training sample, the source rows that the sample came from, and the run's record.
    """


@store_commands.command()
@store_argument
@as_json_option
def info(store: Path, as_json: bool) -> None:
    """Tell what a store holds.

    Samples, numbers kept for each (width), row format, sources and their digests, preprocessing,
    the loss, and one entry a recorded run under "parts". Reads no row.
    """
    facts = open_store(store).info()
    if as_json:
        print_json(facts)
    else:
        for name, value in facts.items():
            click.echo(f"{name}: {value}")


@store_commands.command(name="verify")
@store_argument
def verify_store(store: Path) -> None:
    """Read every byte of a store and hold it against its checksums.

    Opening a store checks that its files are there and long enough, not what is in them: run this
    after copying a store, or when a disk is in doubt. Damage is named by file and rows. Exit
    status 1 where there is any; nothing is changed.
    """
    from traceprop.attribution.store.folder.check import verify_store as verify
    from traceprop.attribution.store.folder.files import StoreFolder, reporting_os_errors

    # Not opened as a store: that would finish an erasure which a crash interrupted.
    folder = StoreFolder(store)
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    with reporting_os_errors(store, "Reading"):
        report = _with_bar(partial(verify, folder), size, store.name, doing="verifying", unit="B")
    if report.ok and not report.files:
        raise StoreError(f"{store} holds no run: there is nothing to verify.")
    click.echo(str(report), err=not report.ok)
    if not report.ok:
        sys.exit(1)


@store_commands.command()
@store_argument
def compact(store: Path) -> None:
    """Write the shards of each run as one file.

    A run of several ranks leaves a shard for each. One shard is read faster, as one memory map;
    rows that several ranks have of one sample are added up. Needs room for a copy while it runs.
    Every byte is held against its checksum first, and a crash leaves the store as it was.
    """
    opened = open_store(store)
    shards, rows = len(opened.shards()), int(opened.info()["rows"])
    _with_bar(opened.compact, rows, store.name, doing="compacting", unit=" rows")
    now = len(opened.shards())
    click.echo(f"{store}: {shards} shards" + (f", now {now}." if now != shards else ", as before."))


@store_commands.command()
@store_argument
@click.option("--reason", required=True, help="The hold, in one line: it is released by that.")
@click.option("--by", help="Who places it, for the audit log.")
def hold(store: Path, reason: str, by: str | None) -> None:
    """Place a legal hold: nothing is erased or written over until it is released."""
    open_store(store).hold(reason, by=by)
    click.echo(f"{store} is held: {reason}")


@store_commands.command()
@store_argument
@click.option("--reason", required=True, help="The hold, as it was placed.")
@click.option("--by", help="Who releases it, for the audit log.")
def release(store: Path, reason: str, by: str | None) -> None:
    """Release a legal hold; others stay."""
    opened = open_store(store)
    opened.release_hold(reason, by=by)
    left = "; ".join(opened.holds)
    click.echo(f"{store}: released. " + (f"Still held: {left}" if left else "No hold is left."))


def _with_bar(
    work: Callable[[Callable[[int], None]], T], total: int, name: str, *, doing: str, unit: str
) -> T:
    """Do work that tells how far it is, with a bar where it takes over a second."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more

    with ThreadPoolExecutor(1) as pool:
        return wait_with_bar(
            pool.submit(work, advance), lambda: done, total, name, doing=doing, unit=unit
        )
