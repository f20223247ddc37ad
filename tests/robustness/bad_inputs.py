"""The main job's bad inputs, for the tests and for the table of its goals.

Each case is a command line that must end with exit status 1, one clear line that names the thing
and the way out, and every file as it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from tests.e2e.main_job import Job
from traceprop.cli import main

HEADER = "a,b,label\n"
ROWS = "".join(f"{i},{i % 7},{i % 2}\n" for i in range(30))


@dataclass(frozen=True)
class BadInput:
    """A mistake that users make.

    Attributes
    ----------
    what : str
        The mistake.
    arguments : callable
        From the job and an empty folder to the command line that makes it.
    names : tuple of str
        What the error must say: the thing that is wrong, and the way out.
    """

    what: str
    arguments: Callable[[Job, Path], list[str]]
    names: tuple[str, ...]


def _demo_on(text: str) -> Callable[[Job, Path], list[str]]:
    def arguments(job: Job, folder: Path) -> list[str]:
        (folder / "bad.csv").write_text(text)
        return ["demo", "--csv", f"{folder}/bad.csv", "--out", f"{folder}/out"]

    return arguments


def _missing_file(job: Job, folder: Path) -> list[str]:
    return ["demo", "--csv", f"{folder}/nowhere.csv", "--out", f"{folder}/out"]


def _unlearn(row: int) -> Callable[[Job, Path], list[str]]:
    def arguments(job: Job, folder: Path) -> list[str]:
        outputs = ["--out", f"{folder}/new.npz", "--certificate", f"{folder}/new.json"]
        wanted = ["--source", "credit_scores.csv", "--rows", str(row)]
        return ["unlearn", str(job.store.path), "--no-purge", *wanted, *outputs]

    return arguments


def _other_model(job: Job, folder: Path) -> list[str]:
    """A factory whose weights don't fit the recorded ones."""
    factory = "tests.robustness.bad_inputs:wider_model"
    (folder / "input.csv").write_text(HEADER + "1,2,0\n")
    return ["influence", str(job.store.path), "--input", f"{folder}/input.csv", "--model", factory]


def wider_model():
    """A model that no store of the main job was recorded from."""
    import torch

    return torch.nn.Linear(7, 2)


def _not_a_store(job: Job, folder: Path) -> list[str]:
    (folder / "holiday").mkdir()
    (folder / "holiday" / "photo.txt").write_text("not a store")
    return ["trace", f"{folder}/holiday", "--sample", "0"]


def _edited_certificate(job: Job, folder: Path) -> list[str]:
    outputs = ["--out", f"{folder}/new.npz", "--certificate", f"{folder}/edited.json"]
    row = str(next(iter(next(iter(job.store.get_provenance(0).rows.values())))))
    wanted = ["--source", "credit_scores.csv", "--rows", row]
    made = CliRunner().invoke(
        main, ["unlearn", str(job.store.path), "--no-purge", *wanted, *outputs]
    )
    assert made.exit_code == 0, made.output
    certificate = json.loads((folder / "edited.json").read_text())
    payload = certificate["payload"]
    certificate["payload"] = payload[:100] + ("A" if payload[100] != "A" else "B") + payload[101:]
    (folder / "edited.json").write_text(json.dumps(certificate, separators=(",", ":")))
    return ["verify", f"{folder}/edited.json"]


BAD_INPUTS = (
    BadInput("a missing file", _missing_file, ("nowhere.csv",)),
    BadInput("a ragged CSV", _demo_on(HEADER + ROWS + "1,2\n"), ("bad.csv", "line 32")),
    BadInput("an empty CSV", _demo_on(""), ("bad.csv", "empty")),
    BadInput(
        "a text column",
        _demo_on("a,job,label\n" + "1,clerk,0\n" * 30),
        ("bad.csv", "job", "columns=", "read_csv"),
    ),
    BadInput("a NaN in the training data", _demo_on(HEADER + "3,,1\n" + ROWS), ("bad.csv", "b")),
    BadInput("a row that the file doesn't have", _unlearn(99_999), ("credit_scores.csv", "99999")),
    BadInput("a row filtered out before training", _unlearn(568), ("568", "row_filter")),
    BadInput("a store of another model", _other_model, ("don't fit",)),
    BadInput("a folder that is no store", _not_a_store, ("holiday", "store")),
    BadInput("an edited certificate", _edited_certificate, ("edited.json",)),
)


def fingerprint(*folders: Path) -> dict[str, str]:
    """SHA-256 of every file below some folders."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def complaint(case: BadInput, job: Job, folder: Path) -> str | None:
    """Make the mistake; what is wrong with the answer, or None where all is as it must be."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    arguments = case.arguments(job, folder)
    before = fingerprint(folder, job.store.path)
    result = CliRunner().invoke(main, arguments)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Warning:")]
    if result.exit_code != 1:
        return f"exit status {result.exit_code}: {result.output} {result.exception!r}"
    if len(lines) != 1:
        return f"not one line of error: {result.stderr}"
    missing = [name for name in case.names if name not in lines[0]]
    if missing:
        return f"doesn't name {missing}: {lines[0]}"
    if fingerprint(folder, job.store.path) != before:
        return "files were changed"
    return None
