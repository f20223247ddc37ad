"""The command line: each step of the main job on a store that was saved earlier.

A user's mistake ends with one line and exit status 1, wrong usage with status 2. The commands read
files that the library wrote; none of them runs code out of a file.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traceprop import __version__
from traceprop.compliance.regulations import known_regulations
from traceprop.errors import CertificateError, DataError, TracepropError, UnlearnError
from traceprop.unlearning.classes import METHODS
from traceprop.user_model import load_factory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from traceprop.attribution import GradientStore
    from traceprop.lineage import Trace


class _Commands(click.Group):
    """A group whose commands turn our own errors into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TracepropError as error:
            raise click.ClickException(str(error)) from error


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {message}", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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


def _row_spans(context: click.Context, option: click.Parameter, text: str) -> list[range]:
    """Parse `4821,7203` and `10-19` into spans of row numbers."""
    spans = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise click.BadParameter(f"{text!r} is not a list of rows, as in 4821,7203 or 10-19.")
        start, end = int(first), int(last or first)
        if end < start:
            raise click.BadParameter(f"{part.strip()} runs backwards; write {end}-{start}.")
        spans.append(range(start, end + 1))
    return spans


StorePath = click.Path(path_type=Path)
_store = click.argument("store", type=StorePath)
_factory = click.option(
    "--model",
    "factory",
    metavar="MODULE:FUNCTION",
    help="Your function that returns an untrained model; needed only for models that are not "
    "made of torch's own layers in sequence.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@main.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("traceprop-demo"),
    show_default=True,
    help="Folder for the table, the store and the certificate.",
)
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path),
    help="A numeric CSV of your own, with a header, the label in the last column.",
)
def demo(out: Path, csv_path: Path | None) -> None:
    """Train on real data, ask which rows drove a decision, remove them, sign the certificate."""
    from traceprop.demo import run_demo

    run_demo(out, csv_path, click.echo)


@main.command()
@_store
@click.option("--sample", "samples", type=int, multiple=True, help="A sample's number.")
@click.option("--row", "rows", metavar="FILE:ROW", multiple=True, help="A row of a source file.")
@_as_json
def trace(store: Path, samples: tuple[int, ...], rows: tuple[str, ...], as_json: bool) -> None:
    """Tell a sample's file, row, line and steps, or the samples of a file's row.

    \b
    traceprop trace grad/ --sample 12
    traceprop trace grad/ --row credit_scores.csv:4821
    """  # noqa: D301 (click needs the control character itself)
    if not samples and not rows:
        raise click.UsageError("Name a sample (--sample 12) or a row (--row scores.csv:4821).")
    opened = _open(store)
    found = list(samples)
    for row in rows:
        name, _, number = row.rpartition(":")
        if not name or not number.isdecimal():
            raise click.BadParameter(f"{row!r} is not FILE:ROW, as in credit_scores.csv:4821.")
        found += [int(sample) for sample in opened.samples_from_source(name, rows=[int(number)])]
    traces = [(sample, opened.get_provenance(sample)) for sample in found]
    if as_json:
        _print_json([{"sample": sample, **_facts(trace)} for sample, trace in traces])
    else:
        for sample, trace in traces:
            click.echo(f"sample {sample}: {trace}")


@main.command()
@_store
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
@_factory
@_as_json
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

    opened, model = _open_with_model(store, factory)
    test_input = _input_row(input_path, row, opened)
    scores = compute_influence_scores(
        model, opened, test_input, top_k=top, target=target, order=order
    )
    found = [(sample, score, opened.get_provenance(sample)) for sample, score in scores]
    quality = scores.quality
    if as_json:
        _print_json(
            {
                "target": scores.target,
                "margin": scores.margin,
                "unit": quality.unit,
                "damping": quality.damping,
                "notes": list(quality.notes),
                "scores": [{"sample": s, "score": score, **_facts(t)} for s, score, t in found],
            }
        )
        return
    for sample, score, provenance in found:
        click.echo(f"{score:+.6f}  sample {sample}: {provenance}")
    click.echo(f"Unit: {' '.join([f'{quality.unit}.', *quality.notes])}", err=True)


@main.command()
@_store
@click.option("--source", required=True, help="The source file, as it was loaded, or its name.")
@click.option(
    "--rows",
    required=True,
    metavar="N,N-N,…",
    callback=_row_spans,
    help="Data rows to take out, from 0.",
)
@click.option(
    "--method",
    # Ascent, the baseline for comparison, needs a step size and a number of steps.
    type=click.Choice([name for name in METHODS if name != "ascent"]),
    default="auto",
    show_default=True,
    help="How; `auto` chooses, and says why.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("unlearned.npz"),
    show_default=True,
    help="The new weights, one array a parameter.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("certificate.json"),
    show_default=True,
)
@click.option(
    "--regulation",
    type=click.Choice(known_regulations()),
    default="GDPR_ART17",
    show_default=True,
    help="Whose clauses the certificate holds the evidence against.",
)
@click.option("--key", type=click.Path(path_type=Path), help="Private signing key (PEM).")
@click.option("--draft", is_flag=True, help="Write an unsigned draft, marked as such.")
@click.option("--requester", help="Who asked for the removal.")
@click.option("--approver", help="Who approved it.")
@_factory
def unlearn(
    store: Path,
    source: str,
    rows: list[range],
    method: str,
    out: Path,
    certificate: Path,
    regulation: str,
    key: Path | None,
    draft: bool,
    requester: str | None,
    approver: str | None,
    factory: str | None,
) -> None:
    """Take source rows out of the recorded model; write the new weights and a certificate.

    Beside the weights goes the record of the removal, for you alone: it names the samples.
    """
    from traceprop.attribution.model_files import save_weights
    from traceprop.unlearn import approximate_unlearn, export_compliance, record

    beside = out.with_suffix(".record.json")
    _check_outputs(out, certificate, beside)
    opened, model = _open_with_model(store, factory)
    forget_set = opened.samples_from_source(source, rows=_row_numbers(rows, opened))
    unlearned = approximate_unlearn(model, forget_set, method=method)
    report = export_compliance(
        model_before=model,
        model_after=unlearned,
        forget_set=forget_set,
        store=opened,
        regulation=regulation,
        key=key,
        draft=draft,
        requester=requester,
        approver=approver,
    )
    done = record(unlearned)
    save_weights(unlearned, out)
    done.save(beside)
    report.save(certificate)
    samples = "1 sample" if len(forget_set) == 1 else f"{len(forget_set)} samples"
    click.echo(f"{samples} removed: {done.removal_class}. {done.reason}")
    click.echo(f"New weights: {out}\nRecord: {beside}\nCertificate: {certificate}")


@main.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="The signer's public key (PEM).")
def verify(certificate: Path, key: Path | None) -> None:
    """Check a certificate offline: signature, form and schema.

    Exit status 0: it holds. 1: it doesn't. 2: it couldn't be checked, for want of a file or key.
    """
    from traceprop.compliance.verify import verify as check

    try:
        verdict = check(certificate, key=key)
    except CertificateError as unasked:
        click.echo(f"Error: {unasked}", err=True)
        sys.exit(2)
    click.echo(verdict.reason, err=not verdict.ok)
    if not verdict.ok:
        sys.exit(1)


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path), help="The private key; the public one is put beside."
)
def keygen(out: Path | None) -> None:
    """Make a signing key (mode 0600) and print its fingerprint."""
    from traceprop.compliance.keys import default_key_path, generate_key

    path = out or default_key_path()
    key = generate_key(path)
    click.echo(f"Private key: {path}\nPublic key: {path}.pub\nFingerprint: {key.fingerprint}")


@main.group(name="store", cls=_Commands)
def store_commands() -> None:
    """Look into a gradient store."""


@store_commands.command()
@_store
@_as_json
def info(store: Path, as_json: bool) -> None:
    """Tell what a store holds."""
    facts = _open(store).info()
    if as_json:
        _print_json(facts)
    else:
        for name, value in facts.items():
            click.echo(f"{name}: {value}")


@store_commands.command(name="verify")
@_store
def verify_store(store: Path) -> None:
    """Read every byte of a store and hold it against its checksums."""
    report = _open(store).verify()
    click.echo(str(report), err=not report.ok)
    if not report.ok:
        sys.exit(1)


def _open(path: Path) -> GradientStore:
    from traceprop.attribution import GradientStore

    return GradientStore.open(path)


def _open_with_model(path: Path, factory: str | None) -> tuple[GradientStore, nn.Module]:
    from traceprop.attribution.model_files import restore_model

    opened = _open(path)
    return opened, restore_model(opened, load_factory(factory) if factory else None)


def _check_outputs(*paths: Path) -> None:
    """Refuse what can't be written before anything is computed, made or signed."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise UnlearnError(f"{paths[0]} can't hold both results; give each a name of its own.")
    for path in paths:
        if path.exists():
            raise UnlearnError(f"{path} is already there; move it away or give another name.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UnlearnError(
                f"{path} can't be written: name a file in a folder that is there and writable."
            )


def _input_row(path: Path, row: int, store: GradientStore) -> NDArray[np.float64]:
    """Read one row of a CSV, its columns by the training inputs' names where these are known.

    By position, a table whose columns come in another order would be answered, and wrongly.
    """
    from traceprop.lineage import values
    from traceprop.sources import load_csv

    known = store.record.input_columns if store.record else None
    by_name = known is not None and len(set(known)) == len(known)
    table = load_csv(path, columns=known if by_name else None)
    for source in table.sources():
        source.check_rows([row])
        if store.steps and any(source.sha256 == trained.sha256 for trained in store.sources):
            raise DataError(
                f"{path} is the training file itself, whose rows are not prepared as the model "
                f"takes them ({' → '.join(map(str, store.steps))}): give a CSV of prepared inputs."
            )
    inputs: NDArray[np.float64] = values(table)[row]
    return inputs


def _row_numbers(spans: list[range], store: GradientStore) -> list[int]:
    """List the rows of some spans; of those beyond every source, one each, which is refused."""
    n_rows = max((source.n_rows for source in store.sources), default=0)
    return [
        row
        for span in spans
        for row in range(span.start, max(span.start + 1, min(span.stop, n_rows + 1)))
    ]


def _facts(trace: Trace) -> dict[str, Any]:
    return {
        "rows": {source.uri: list(rows) for source, rows in trace.rows.items()},
        "steps": list(trace.steps),
    }


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
