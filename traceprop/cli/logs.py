"""Commands about a store's audit log: show it, check it, set it, let old entries and keys go."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from traceprop.audit.log_check import LogCheck
from traceprop.cli.common import Commands, as_json_option, print_json, store_argument
from traceprop.errors import AuditError
from traceprop.printable import one_line


@click.group(name="log", cls=Commands)
def log_commands() -> None:
    """Show, check and set the audit log beside a store."""


@log_commands.command()
@store_argument
@as_json_option
def show(store: Path, as_json: bool) -> None:
    """List the entries with their facts, where their keys were not destroyed.

    Exit status as `log verify`; of a log that fails, the entries before the first bad one.
    """
    found = _check(store)
    for entry in () if as_json else found.entries:
        opening = found.openings.get(entry.serial)
        facts = {**entry.plain, **(opening.facts if opening else {})}
        said = ", ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
        sealed = "its key is gone" if entry.commitments and not opening else said
        click.echo(f"{entry.serial:>6}  {entry.time}  {entry.kind:<12}  {one_line(sealed)}")
    if as_json:
        print_json(
            [
                {
                    "serial": entry.serial,
                    "time": entry.time,
                    "kind": entry.kind,
                    "sha256": entry.sha256,
                    "plain": dict(entry.plain),
                    "facts": dict(opening.facts) if opening else None,
                }
                for entry in found.entries
                for opening in (found.openings.get(entry.serial),)
            ]
        )
    _finish(found, quiet=True)


@log_commands.command()
@store_argument
def verify(store: Path) -> None:
    """Check that no entry was changed, dropped, put in or moved.

    Exit status 0: none was. 1: the line names the first entry that was. 2: there is no log to read.
    """
    _finish(_check(store), quiet=False)


@log_commands.command(name="set")
@store_argument
@click.option("--on/--off", "is_on", default=None, help="Write the log, or stop: certificates say.")
@click.option("--retention-days", type=int, help="How long an entry is kept at least; 184 or more.")
def set_(store: Path, is_on: bool | None, retention_days: int | None) -> None:
    """Set whether the log is written and how long entries are kept; the log says so itself."""
    from dataclasses import replace

    from traceprop.audit.log import AuditLog
    from traceprop.audit.settings import settings_of

    opened = _store(store)
    settings = settings_of(opened)
    if is_on is not None:
        settings = replace(settings, on=is_on)
    if retention_days is not None:
        settings = replace(settings, retention_days=retention_days)
    AuditLog(opened).set(settings)
    state = "on" if settings.on else "off"
    click.echo(f"The log is {state}; entries are kept for {settings.retention_days} days at least.")


@log_commands.command()
@store_argument
def prune(store: Path) -> None:
    """Let entries go that are older than the retention; a checkpoint keeps the rest verifiable."""
    from traceprop.audit.retention import let_go

    click.echo(f"{let_go(store)} entries were let go.")


@log_commands.command(name="destroy-keys")
@store_argument
@click.option("--entry", "entries", type=int, multiple=True, required=True, help="Its number.")
def destroy_keys(store: Path, entries: tuple[int, ...]) -> None:
    """Destroy the keys and facts of entries, for good: they then say nothing but time and kind."""
    from traceprop.audit import retention

    click.echo(f"{retention.destroy_keys(store, entries)} keys were destroyed.")


def _store(path: Path) -> Path:
    if not path.is_dir():
        raise AuditError(f"There is no store at {path}: give the folder of one.")
    return path


def _check(store: Path) -> LogCheck:
    """Check a log; exit with status 2 where that can't be done."""
    from traceprop.audit.log_check import check_log

    try:
        return check_log(store)
    except AuditError as unreadable:
        click.echo(f"Error: {unreadable}", err=True)
        sys.exit(2)


def _finish(found: LogCheck, *, quiet: bool) -> None:
    if not (found.ok and quiet):
        click.echo(found.reason, err=not found.ok)
    if not found.ok:
        sys.exit(1)
