"""Commands that take rows out of a model and certify it: a removal, or the whole job."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traceprop.cli.common import factory_option, open_with_model, progress
from traceprop.compliance.regulations import known_regulations
from traceprop.errors import StoreWarning, UnlearnError
from traceprop.unlearning.records.classes import METHODS

if TYPE_CHECKING:
    from traceprop.attribution import ForgetSet, GradientStore
    from traceprop.compliance.report import Report


def _reasons(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str | os.PathLike[str], str]:
    """Parse `FILE=REASON`s."""
    found: dict[str | os.PathLike[str], str] = {}
    for text in texts:
        name, equals, reason = text.partition("=")
        if not (name and equals and reason.strip()):
            raise click.BadParameter(f"{text!r} is not FILE=REASON.")
        found[Path(name)] = reason
    return found


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
@click.argument("store", type=click.Path(path_type=Path), required=False)
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
@click.option(
    "--audit", "audited", is_flag=True, help="Hold the removal against retraining, and print it."
)
@click.option(
    "--purge/--no-purge",
    "purged",
    default=True,
    show_default=True,
    help="Erase the rows from the store and the named files, too.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file of before (weights, lineage, pipeline, export) to purge; may be given again.",
)
@click.option(
    "--keep",
    "kept",
    metavar="FILE=REASON",
    multiple=True,
    callback=_reasons,
    help="A file that stays, with the reason; may be given again.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--requester", help="Who asked for the removal.")
@click.option("--approver", help="Who approved it.")
@click.option("--legal-hold", help="A duty to keep the rows: nothing is done, and the log says so.")
@click.option(
    "--hold-checked", help="What was found about duties to keep the rows, for the certificate."
)
@factory_option
def unlearn(
    store: Path | None,
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
    audited: bool,
    purged: bool,
    checkpoints: tuple[Path, ...],
    kept: dict[str | os.PathLike[str], str],
    dry_run: bool,
    requester: str | None,
    approver: str | None,
    legal_hold: str | None,
    hold_checked: str | None,
    factory: str | None,
) -> None:
    """Take source rows out of the recorded model, erase them, and certify that.

    In this order: the new weights are computed; with --audit they are held against retraining;
    weights and record are written; the rows are erased from the store and the named files, which
    are then searched for them; the certificate is signed. A crash leaves all as it was, or a purge
    that the same command goes on with, and certifies. The record names the samples and is for you
    alone.

    STORE is the gradient store's folder; left out, the one in this folder that knows the source.
    """
    from traceprop.attribution.model_files import save_weights
    from traceprop.replays import save_pipeline
    from traceprop.unlearn import approximate_unlearn, export_compliance, record
    from traceprop.unlearning import plan_removal, preparation, purge
    from traceprop.unlearning.purging.copies import check_purge
    from traceprop.unlearning.purging.held import refuse_held_removal
    from traceprop.unlearning.purging.journal import begun
    from traceprop.user_model import load_recipe

    store = store or _store_that_knows(source)
    beside, prepare = out.with_suffix(".record.json"), out.with_suffix(".prepare.arrow")
    found = out.with_suffix(".audit.json")
    certify = partial(
        export_compliance,
        regulation=regulation,
        key=key,
        draft=draft,
        legal_hold=hold_checked,
    )
    if not dry_run and begun(store):
        _check_outputs(certificate)
        _finish(store, factory, certify, certificate)
        return
    _check_outputs(out, certificate, beside, prepare, *([found] if audited else []))
    if not purged and (checkpoints or kept):
        raise UnlearnError("--checkpoint and --keep are for a purge; leave --no-purge out.")
    recipe = None if recipe_name is None else load_recipe(recipe_name)
    opened, model = open_with_model(store, factory)
    forget_set = opened.samples_from_source(source, rows=_row_numbers(rows, opened))
    if dry_run:
        plan = plan_removal(model, forget_set, checkpoints=checkpoints, keep=kept, replay=replay)
        click.echo(str(plan))
        return
    if purged:
        check_purge(forget_set, checkpoints, kept, new_pipeline=replay is not False)
        refuse_held_removal(
            forget_set, legal_hold, erases=True, requester=requester, approver=approver
        )
    unlearned = approximate_unlearn(
        model,
        forget_set,
        method=method,
        recipe=recipe,
        seed=seed,
        epsilon=epsilon,
        delta=delta,
        replay=replay,
        legal_hold=legal_hold,
        requester=requester,
        approver=approver,
    )
    if audited:
        _audit(model, unlearned, forget_set, recipe, found)
    save_weights(unlearned, out)
    record(unlearned).save(beside)
    made = (record(unlearned).replayed or {}).get("pipeline_sha256") is not None
    if made:
        save_pipeline(prepare, preparation(unlearned))
    if purged:
        with progress() as advance:
            erased = purge(
                unlearned, forget_set, checkpoints=checkpoints, keep=kept, advance=advance
            )
        click.echo(str(erased))
        record(unlearned).save(beside)
    done = record(unlearned)
    certify(model, unlearned, forget_set, opened).save(certificate)
    samples = "1 sample" if len(forget_set) == 1 else f"{len(forget_set)} samples"
    click.echo(f"{samples} removed: {done.removal_class}. {done.reason}")
    click.echo(f"New weights: {out}\nRecord: {beside}\nCertificate: {certificate}")
    click.echo(done.preprocessing)
    if made:
        click.echo(f"New preparation: {prepare}")


def _store_that_knows(source: str) -> Path:
    """Return the one store in this folder that was trained on a source."""
    from traceprop.attribution import GradientStore

    found = []
    for path in sorted(path for path in Path().iterdir() if path.is_dir()):
        if not any(path.glob("manifest-*.json")):
            continue
        with warnings.catch_warnings():
            # What a crash left is told, and finished, once the store is known.
            warnings.filterwarnings("ignore", ".*a purge was (begun|stopped)", StoreWarning)
            sources = GradientStore.open(path).sources
        if any(source in (each.uri, each.name, Path(each.uri).name) for each in sources):
            found.append(path)
    if len(found) != 1:
        stores = f"{len(found)} stores know it: {', '.join(map(str, found))}" if found else (
            "no store in this folder knows it"
        )  # fmt: skip
        raise UnlearnError(f"{source}: {stores}; name the store, as in traceprop unlearn ./grad/")
    return found[0]


def _finish(
    store: Path, factory: str | None, certify: Callable[..., Report], certificate: Path
) -> None:
    """Go on with the purge that a crash interrupted, and certify its removal."""
    from traceprop.unlearning import finish_purges, finished_removal

    click.echo(
        f"A purge of {store} was interrupted. It is finished and certified now, and nothing else "
        f"is done:"
    )
    with progress() as advance:
        (done,) = finish_purges(store, advance=advance)  # none begins while one is unfinished
    click.echo(f"{done}\nIts weights and its record: {done.folder}")
    opened, model = open_with_model(store, factory)
    unlearned, forget_set = finished_removal(done.folder, model, opened)
    certify(model, unlearned, forget_set, opened).save(certificate)
    click.echo(f"Certificate: {certificate}")


def _audit(before: Any, after: Any, forget_set: ForgetSet, recipe: Any, path: Path) -> None:
    """Hold a removal against a retraining by the recipe, where there is one, and say the result."""
    from traceprop.audit.canonical import jsonable
    from traceprop.files import PRIVATE_FILE, write_file
    from traceprop.unlearning import audit
    from traceprop.unlearning.removal import remove
    from traceprop.unlearning.request.asked import Asked

    retrained = (
        [] if recipe is None else [remove(before, forget_set, Asked("exact", recipe=recipe), None)]
    )
    result = audit(before, after, forget_set, retrained=retrained)
    click.echo(repr(result))
    content = json.dumps(jsonable(result.to_dict()), indent=1).encode() + b"\n"
    write_file(path, content, mode=PRIVATE_FILE)
    click.echo(f"Audit: {path}")


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
