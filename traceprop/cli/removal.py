"""Commands that take rows out of a model and certify it: a removal, or the whole job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceprop.cli.common import factory_option, open_with_model, store_argument
from traceprop.compliance.regulations import known_regulations
from traceprop.errors import UnlearnError
from traceprop.unlearning.records.classes import METHODS

if TYPE_CHECKING:
    from traceprop.attribution import GradientStore


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


@click.command()
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


@click.command()
@store_argument
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
    "--recipe",
    "recipe_name",
    metavar="MODULE:FUNCTION",
    help="The run's recipe, which trains again without the rows.",
)
@click.option("--seed", type=int, help="To train with; by default the recorded one.")
@click.option("--epsilon", type=float, help="Of a certified removal.")
@click.option("--delta", type=float, help="Of a certified removal.")
@click.option(
    "--replay/--keep-preparation",
    default=None,
    help="Prepare the data again without the rows, or not; by default where that can be done.",
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
@click.option("--legal-hold", help="What was found about duties to keep the rows.")
@factory_option
def unlearn(
    store: Path,
    source: str,
    rows: list[range],
    method: str,
    recipe_name: str | None,
    seed: int | None,
    epsilon: float | None,
    delta: float | None,
    replay: bool | None,
    out: Path,
    certificate: Path,
    regulation: str,
    key: Path | None,
    draft: bool,
    requester: str | None,
    approver: str | None,
    legal_hold: str | None,
    factory: str | None,
) -> None:
    """Take source rows out of the recorded model; write the new weights and a certificate.

    Beside the weights goes the record of the removal, for you alone: it names the samples. So does
    the new preparation of inputs, where the removal made one.
    """
    from traceprop.attribution.model_files import save_weights
    from traceprop.replays import save_pipeline
    from traceprop.unlearn import approximate_unlearn, export_compliance, record
    from traceprop.unlearning import preparation
    from traceprop.user_model import load_recipe

    beside, prepare = out.with_suffix(".record.json"), out.with_suffix(".prepare.arrow")
    _check_outputs(out, certificate, beside, prepare)
    recipe = None if recipe_name is None else load_recipe(recipe_name)
    opened, model = open_with_model(store, factory)
    forget_set = opened.samples_from_source(source, rows=_row_numbers(rows, opened))
    unlearned = approximate_unlearn(
        model,
        forget_set,
        method=method,
        recipe=recipe,
        seed=seed,
        epsilon=epsilon,
        delta=delta,
        replay=replay,
    )
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
        legal_hold=legal_hold,
    )
    done = record(unlearned)
    save_weights(unlearned, out)
    done.save(beside)
    report.save(certificate)
    samples = "1 sample" if len(forget_set) == 1 else f"{len(forget_set)} samples"
    click.echo(f"{samples} removed: {done.removal_class}. {done.reason}")
    click.echo(f"New weights: {out}\nRecord: {beside}\nCertificate: {certificate}")
    click.echo(done.preprocessing)
    if (done.replayed or {}).get("pipeline_sha256") is not None:
        save_pipeline(prepare, preparation(unlearned))
        click.echo(f"New preparation: {prepare}")


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


def _row_numbers(spans: list[range], store: GradientStore) -> list[int]:
    """List the rows of some spans; of those beyond every source, one each, which is refused."""
    n_rows = max((source.n_rows for source in store.sources), default=0)
    return [
        row
        for span in spans
        for row in range(span.start, max(span.start + 1, min(span.stop, n_rows + 1)))
    ]
