"""From training to `verify --store --model --replay`: the log tells what happened, all of it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import traceprop as tp
from traceprop.attribution import GradientStore, TrainingContext, compute_influence_scores
from traceprop.attribution.influence import influence_matrix
from traceprop.attribution.model_files import restore_model, save_weights
from traceprop.audit.canonical import canonical
from traceprop.audit.folder import audit_folder, key_path
from traceprop.audit.log import AuditLog
from traceprop.audit.log_check import check_log
from traceprop.audit.retention import let_go
from traceprop.audit.settings import VARIABLE
from traceprop.cli import main
from traceprop.compliance.envelope import open_envelope, sign
from traceprop.compliance.keys import SigningKey, generate_key, signing_key
from traceprop.unlearn import approximate_unlearn, export_compliance

REMOVED = [7, 11]


@dataclass
class Job:
    folder: Path
    store: Path
    certificate: Path
    weights: Path
    before: Path
    key: SigningKey

    def verify(self, *more: object, certificate: Path | None = None) -> Result:
        return _run(
            "verify", certificate or self.certificate, "--key", f"{self.key.path}.pub", *more
        )


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _train(folder: Path, seed: int, *, weight_decay: float = 0.01) -> tuple[Any, GradientStore]:
    torch.manual_seed(seed)
    table = tp.load_csv(folder / "loans.csv")
    X, y = table[:, :-1], table[:, -1]
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=weight_decay)
    store = GradientStore(k=64, path=folder / "grad", overwrite=True)
    loader = torch.utils.data.DataLoader(tp.torch.dataset(X, y), batch_size=20)
    with TrainingContext(model, store, optimizer=optimizer) as context:
        for i, (Xb, yb) in enumerate(loader):
            optimizer.zero_grad()
            context.backward(torch.nn.functional.cross_entropy(model(Xb), yb), batch_idx=i)
            optimizer.step()
    return model, store


def _job(folder: Path, seed: int = 0, **changes: Any) -> Job:
    folder.mkdir(exist_ok=True)
    if not (folder / "loans.csv").exists():
        values = np.random.default_rng(0).random((100, 2))
        with (folder / "loans.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["income", "debt", "approved"])
            writer.writerows([*row, int(row[1] > 0.5)] for row in values.tolist())
        generate_key(folder / "signing.key")
    model, store = _train(folder, seed)
    compute_influence_scores(model, store, np.array([0.3, 0.8]))
    influence_matrix(model, store, np.array([[0.3, 0.8], [0.1, 0.2]]))
    forget_set = store.samples_from_source("loans.csv", rows=REMOVED)
    new = approximate_unlearn(model, forget_set, **changes)
    key = folder / "signing.key"
    report = export_compliance(model, new, forget_set, store, "GDPR_ART17", key=key)
    save_weights(new, folder / "after.npz")
    save_weights(model, folder / "before.npz")
    report.save(folder / "certificate.json")
    return Job(
        folder,
        store.path,
        folder / "certificate.json",
        folder / "after.npz",
        folder / "before.npz",
        signing_key(key),
    )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return _job(tmp_path / "bank")


def _resigned(job: Job, change: Callable[[dict[str, Any]], None]) -> Path:
    """The certificate with changed content, signed by the same key: sound in itself."""
    statement = json.loads(open_envelope(job.certificate.read_bytes()).payload)
    change(statement["predicate"])
    statement["subject"][0]["digest"] = statement["predicate"]["models"]["after"]
    path = job.folder / "resigned.json"
    path.write_bytes(sign(canonical(statement), job.key).to_bytes())
    return path


def test_the_whole_way(job: Job):
    checked = job.verify("--store", job.store, "--model", job.weights, "--replay")
    assert checked.exit_code == 0, checked.output
    assert checked.output.count("\n") == 1
    for said in (
        "valid: removal of 2 samples", "this is that model", "the store agrees",
        "it is entry 4 of the audit log", "run again, gives that model to the bit",
    ):  # fmt: skip
        assert said in checked.output
    found = check_log(job.store)
    assert found.ok
    kinds = [entry.kind for entry in found.entries]
    assert kinds == ["begin", "query", "query", "removal", "export", "verification"]
    log = AuditLog(job.store).files.log.read_bytes()
    statement = json.loads(open_envelope(job.certificate.read_bytes()).payload)["predicate"]
    for secret in (statement["serial"], statement["models"]["after"]["sha256"], "loans.csv"):
        assert secret.encode() not in log
    assert statement["log"]["head"]["sha256"] == found.entries[3].sha256


def test_the_commands_on_the_log(job: Job):
    assert _run("log", "verify", job.store).exit_code == 0
    shown = _run("log", "show", job.store)
    assert shown.exit_code == 0
    assert [line.split()[2] for line in shown.output.splitlines()] == [
        "begin", "query", "query", "removal", "export",
    ]  # fmt: skip
    entries = json.loads(_run("log", "show", job.store, "--json").output)
    assert entries[3]["facts"]["n_samples"] == 2
    assert _run("log", "destroy-keys", job.store, "--entry", 1).exit_code == 0
    assert "its key is gone" in _run("log", "show", job.store).output
    assert _run("log", "prune", job.store).output == "0 entries were let go.\n"
    assert _run("log", "set", job.store, "--retention-days", 10).exit_code == 1
    assert "3650 days" in _run("log", "set", job.store, "--retention-days", 3650).output
    assert _run("log", "verify", job.folder / "nowhere").exit_code == 2
    path = AuditLog(job.store).files.log
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], *lines[3:]]))
    failed = _run("log", "verify", job.store)
    assert failed.exit_code == 1
    assert "NOT VALID at entry 2: it is missing" in failed.stderr
    assert _run("log", "show", job.store).exit_code == 1
    refused = job.verify("--store", job.store)
    assert refused.exit_code == 1
    assert "at entry 2" in refused.stderr
    assert "not recorded" in refused.stderr


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda p: p.update(serial="f" * 32), "is not in the store's audit log: replayed"),
        (lambda p: p["models"].update(after={"sha256": "a" * 64}), "another model after"),
        (lambda p: p["models"].update(before={"sha256": "b" * 64}), "another store, or replayed"),
        (lambda p: p["log"].update(id="0" * 32), "replayed from another store"),
        (lambda p: p["log"]["head"].update(sha256="0" * 64), "entry 3 is not the one"),
        (lambda p: p["log"]["head"].update(serial=99), "entries are missing"),
        (lambda p: p["removal"].update(unaudited=False), "another content: replayed"),
        (lambda p: p.update(lineage=None), "lineage is not the one"),
        (lambda p: p.update(sources=[]), "sources are not those"),
    ],
)
def test_what_the_log_does_not_have_is_replayed(
    job: Job, change: Callable[[dict[str, Any]], None], complaint: str
):
    path = _resigned(job, change)
    assert job.verify(certificate=path).exit_code == 0
    refused = job.verify("--store", job.store, certificate=path)
    assert refused.exit_code == 1
    assert complaint in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_certificate_of_another_time_is_refused(job: Job):
    old = job.folder / "old.json"
    shutil.copy(job.certificate, old)
    _job(job.folder, seed=1)
    assert job.verify("--store", job.store).exit_code == 0
    refused = job.verify("--store", job.store, certificate=old)
    assert refused.exit_code == 1
    assert "replayed from another time" in refused.stderr


def test_an_older_copy_of_the_log_is_noticed(job: Job, tmp_path: Path):
    audit = audit_folder(job.store)
    shutil.copytree(audit, tmp_path / "copy")
    store = GradientStore.open(job.store)
    model = restore_model(store)
    forget_set = store.samples_from_source("loans.csv", rows=[3])
    new = approximate_unlearn(model, forget_set)
    key = job.key.path
    export_compliance(model, new, forget_set, store, "GDPR_ART17", key=key).save(
        tmp_path / "later.json"
    )
    assert job.verify("--store", job.store, certificate=tmp_path / "later.json").exit_code == 0
    shutil.rmtree(audit)
    shutil.copytree(tmp_path / "copy", audit)
    refused = job.verify("--store", job.store, certificate=tmp_path / "later.json")
    assert refused.exit_code == 1
    assert "entries are missing, or it is an older copy" in refused.stderr


def test_models_are_compared(job: Job):
    refused = job.verify("--store", job.store, "--model", job.before)
    assert refused.exit_code == 1
    assert "the model before the removal" in refused.stderr
    (job.folder / "no.npz").write_text("no weights")
    for path in ("no.npz", "missing.npz"):
        assert job.verify("--model", job.folder / path).exit_code == 2


def test_a_removal_of_other_rows_is_refused_by_its_replay(job: Job):
    rows = [f"--row=loans.csv:{row}" for row in REMOVED]
    assert job.verify("--store", job.store, "--replay", *rows).exit_code == 0
    # Other rows, as many: the new model is another one, further off than the bounds allow.
    refused = job.verify(
        "--store", job.store, "--model", job.weights, "--replay", "--row=loans.csv:1",
        "--row=loans.csv:2",
    )  # fmt: skip
    assert refused.exit_code == 1
    assert "gives another model: weights" in refused.stderr
    short = job.verify("--store", job.store, "--replay", "--row=loans.csv:1")
    assert short.exit_code == 1
    assert "1 samples and 1 rows" in short.stderr
    serial = json.loads(open_envelope(job.certificate.read_bytes()).payload)["predicate"]["serial"]
    key_path(job.store, serial).unlink()
    gone = job.verify("--store", job.store, "--replay")
    assert gone.exit_code == 2
    assert "Or give the rows" in gone.stderr


def test_other_methods_are_run_again(tmp_path: Path):
    for name, changes in {
        "step": {"method": "gauss-newton"},
        "ascent": {"method": "ascent", "eta": 0.1, "steps": 3},
    }.items():
        job = _job(tmp_path / name, **changes)
        checked = job.verify("--store", job.store, "--replay")
        assert checked.exit_code == 0, checked.output
        assert "to the bit" in checked.output


def test_without_a_store_nothing_is_compared_or_run(job: Job):
    assert job.verify("--replay").exit_code == 2
    assert job.verify("--store", job.store, "--row=loans.csv:1").exit_code == 2
    missing = job.verify("--store", job.folder / "nowhere")
    assert missing.exit_code == 2
    assert "There is no store" in missing.stderr
    shutil.rmtree(AuditLog(job.store).files.folder)
    gone = job.verify("--store", job.store)
    assert gone.exit_code == 2
    assert "log.jsonl can't be read" in gone.stderr


def test_a_log_that_is_off_is_said_in_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, "off")
    job = _job(tmp_path / "bank")
    assert not AuditLog(job.store).files.folder.exists()
    checked = job.verify("--store", job.store, "--replay")
    assert checked.exit_code == 0, checked.output
    assert "no audit log was kept when it was made" in checked.output
    statement = json.loads(open_envelope(job.certificate.read_bytes()).payload)["predicate"]
    assert statement["log"]["state"] == "off"


def test_an_entry_that_was_let_go_is_not_held_against_a_certificate(job: Job):
    for _ in range(2):
        assert job.verify("--store", job.store).exit_code == 0
    assert let_go(job.store, datetime.now(UTC) + timedelta(days=200)) == 6
    checked = job.verify("--store", job.store)
    assert checked.exit_code == 0, checked.output
    assert "may have been let go after the retention" in checked.output


def test_a_certificate_younger_than_the_log_was_not_let_go(job: Job):
    """Made from an old copy of the store and its log, with the same key, after the real one's."""
    for _ in range(2):
        assert job.verify("--store", job.store).exit_code == 0
    assert let_go(job.store, datetime.now(UTC) + timedelta(days=200)) == 6
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    replayed = _resigned(job, lambda predicate: predicate["issued"].update(time=later))
    checked = job.verify("--store", job.store, certificate=replayed)
    assert checked.exit_code == 1
    assert "is not in the store's audit log" in checked.output


def test_a_file_name_cannot_write_a_verdict(job: Job):
    named = job.certificate.with_name("a\nb.json: valid: removal")
    named.write_bytes(b"{}")
    checked = job.verify(certificate=named)
    assert checked.exit_code == 1
    assert checked.output.count("\n") == 1


def test_a_file_without_an_end_is_not_read_to_it(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("traceprop.compliance.verify._LARGEST", 1 << 20)
    assert job.verify().exit_code == 0
    checked = job.verify(certificate=Path("/dev/zero"))
    assert checked.exit_code == 2
    assert "larger than 1048576 bytes" in checked.output


def test_a_log_cannot_move_the_cursor(job: Job):
    AuditLog(job.store).append("query", {"method": "a\n\x1b[2J"})
    shown = _run("log", "show", job.store)
    assert "method=a\\n\\x1b[2J" in shown.output
