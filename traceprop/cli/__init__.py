"""The command line: each step of the main job on a store that was saved earlier.

A user's mistake ends with one line and exit status 1, wrong usage with status 2. The commands read
files that the library wrote; none of them runs code out of a file.
"""

from __future__ import annotations

import warnings
from typing import Any

import click

from traceprop import __version__
from traceprop.cli import certificates, evaluation, indexes, logs, queries, removal, stores
from traceprop.cli.common import Commands


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {message}", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="traceprop")
def main() -> None:
    """Tell which rows of which files drove a decision, and take rows out again.

    \b
    traceprop demo                                   the whole job on real data
    traceprop trace grad/ --sample 12                the file, row and line of a sample
    traceprop influence grad/ --input applicant.csv  the rows that drove a decision
    traceprop unlearn grad/ --source f.csv --rows 4821,7203
    traceprop verify certificate.json                check a certificate offline
    """  # noqa: D301 (click needs the control character itself)
    warnings.showwarning = _say_warning


for _command in (
    removal.demo,
    queries.trace,
    queries.influence,
    removal.unlearn,
    certificates.verify,
    certificates.timestamp,
    certificates.export,
    certificates.keygen,
    stores.store_commands,
    logs.log_commands,
    evaluation.evaluate_commands,
):
    main.add_command(_command)
stores.store_commands.add_command(indexes.index)
