"""Commands that hold scores against retraining: what an estimator is worth on a store's data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traceprop.cli.common import (
    as_json_option,
    factory_option,
    open_with_model,
    print_json,
    read_inputs,
    store_argument,
)
from traceprop.user_model import load_recipe

if TYPE_CHECKING:
    from traceprop.attribution.evaluate import Agreement

_METHODS = ("influence", "ggn", "trak", "tracin", "dot", "loo")

_inputs = click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV with a header: one model input a row, prepared as the training inputs were. Use "
    "inputs that were not trained on.",
)
_method = click.option(
    "--method",
    type=click.Choice([*_METHODS, "predict_without"]),
    default="influence",
    show_default=True,
    help="The estimator to judge.",
)
_target = click.option("--target", type=int, help="A class instead of the decided one.")
_recipe = click.option(
    "--recipe",
    metavar="MODULE:FUNCTION",
    help="Your function of (inputs, targets, seed) that trains a new model and returns it. Not "
    "needed for a linear model with a penalty.",
)
_seeds = click.option("--seeds", default=1, show_default=True, help="Trainings a subset.")
_cache = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder where trainings are kept; run again with it to go on after an interruption.",
)
_workers = click.option("--workers", default=1, show_default=True, help="Processes that train.")
_RETRAINING = (
    store_argument,
    _inputs,
    _method,
    _target,
    _seeds,
    _recipe,
    _cache,
    _workers,
    factory_option,
    as_json_option,
)


def _retrains(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an evaluation that retrains; `_retrain` takes them."""
    for option in reversed(_RETRAINING):
        command = option(command)
    return command


@click.group("evaluate")
def evaluate_commands() -> None:
    """Hold influence scores against retraining.

    \b
    traceprop evaluate lds grad/ --input test.csv --subsets 200 --cache trainings/
    traceprop evaluate loo grad/ --input test.csv
    traceprop evaluate mislabel grad/ --flipped flipped.txt
    traceprop evaluate tail-patch grad/ --input test.csv
    """  # noqa: D301 (click needs the control character itself)


@evaluate_commands.command()
@click.option("--subsets", default=100, show_default=True, help="Random subsets to train on.")
@click.option("--share", default=0.5, show_default=True, help="Share of the samples in each.")
@_retrains
def lds(subsets: int, share: float, **settings: Any) -> None:
    """Print the linear datamodeling score: 1 predicts every retraining's order, 0 none."""
    from traceprop.attribution import evaluate

    _retrain(evaluate.lds, "LDS", n_subsets=subsets, share=share, **settings)


@evaluate_commands.command()
@_retrains
def loo(**settings: Any) -> None:
    """Print the rank correlation of scores with leaving single samples out."""
    from traceprop.attribution import evaluate

    _retrain(evaluate.leave_one_out, "leave-one-out correlation", **settings)


@evaluate_commands.command()
@store_argument
@click.option(
    "--flipped",
    type=click.File("r"),
    required=True,
    help="The samples whose labels were flipped before the training, a number a line.",
)
@click.option(
    "--method",
    type=click.Choice(["left_out_margin", *_METHODS]),
    default="left_out_margin",
    show_default=True,
    help="What to rank samples by: the margin of their label without them, or an estimator's "
    "self-influence.",
)
@factory_option
@as_json_option
def mislabel(store: Path, flipped: Any, method: str, factory: str | None, as_json: bool) -> None:
    """Print how well flipped labels are found, as an area under the ROC curve.

    1 ranks every flipped sample before every other, 0.5 is chance. To test a data set, flip some
    labels on purpose, train inside a TrainingContext, and name the samples you flipped. To look for
    real ones, tp.attribution.evaluate.left_out_margins(model, store) gives each sample's figure.
    """
    from traceprop.attribution import evaluate

    lines = [line.strip() for line in flipped if line.strip()]
    wrong = [line for line in lines if not line.isdecimal()]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is no sample's number.", param_hint="--flipped")
    opened, model = open_with_model(store, factory)
    auc = evaluate.mislabel_auc(model, opened, map(int, lines), method=method)
    if as_json:
        print_json({"auc": auc, "method": method})
    else:
        click.echo(f"AUC {auc:.4f} ({method})")


@evaluate_commands.command("tail-patch")
@store_argument
@_inputs
@click.option(
    "--method",
    type=click.Choice(_METHODS),
    default="influence",
    show_default=True,
    help="The estimator to judge.",
)
@_target
@click.option("--top", default=10, show_default=True, help="How many samples to step on.")
@click.option("--rate", type=float, help="Length of the step instead of the recorded lr.")
@factory_option
@as_json_option
def tail_patch(
    store: Path,
    input_path: Path,
    method: str,
    target: int | None,
    top: int,
    rate: float | None,
    factory: str | None,
    as_json: bool,
) -> None:
    """Take one more step on the samples named for a decision, and print what it does to it."""
    from traceprop.attribution import evaluate

    opened, model = open_with_model(store, factory)
    found = evaluate.tail_patch(
        model,
        opened,
        read_inputs(input_path, opened),
        method=method,
        target=target,
        top_k=top,
        rate=rate,
    )
    if as_json:
        print_json(
            {
                "by_score": float(found.by_score.mean()),
                "by_chance": float(found.by_chance.mean()),
                "rate": found.rate,
                "inputs": len(found.by_score),
            }
        )
    else:
        click.echo(repr(found))


def _retrain(
    judge: Callable[..., Agreement],
    what: str,
    *,
    store: Path,
    input_path: Path,
    recipe: str | None,
    factory: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Run an evaluation that retrains, and print what it found."""
    opened, model = open_with_model(store, factory)
    inputs = read_inputs(input_path, opened)
    train = load_recipe(recipe) if recipe else None
    _print(judge(model, opened, inputs, recipe=train, **settings), what, as_json)


def _print(found: Agreement, what: str, as_json: bool) -> None:
    if not as_json:
        click.echo(f"{what} {found!r}")
        return
    print_json(
        {
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "inputs": len(found.per_input),
            "trainings": found.n_trainings,
            "how": found.how,
        }
    )
