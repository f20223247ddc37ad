"""Certificates of a removal with a purge: what they say, and what the store says of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.compliance.removals import REMOVED, Removal, export, make_removal
from traceprop.attribution import ForgetSet, GradientStore
from traceprop.compliance.replay import Replay, UncheckedError
from traceprop.compliance.schema_check import first_error, load_schema
from traceprop.compliance.verify import verify
from traceprop.unlearning import approximate_unlearn, record
from traceprop.unlearning.records.removal_record import attach


@pytest.fixture(scope="module")
def purged(tmp_path_factory: pytest.TempPathFactory) -> Removal:
    """The store as it was is beside, as `backup`."""
    folder = tmp_path_factory.mktemp("purged")
    made = make_removal(folder)
    shutil.copytree(folder / "grad", folder / "backup")
    torch.save(made.before.state_dict(), folder / "old.pt")
    np.save(folder / "with.npy", made.store.record.inputs[made.forget_set.samples[0]])
    made.after = approximate_unlearn(
        made.before, made.forget_set, purge=True, requester="Case 7", approver="Model Risk",
        checkpoints=[folder / "old.pt"],
    )  # fmt: skip
    return made


def _saved(purged: Removal, folder: Path) -> Path:
    return export(purged).save(folder / "certificate.json")


def test_it_has_the_proof_and_keeps_to_the_schema(purged: Removal):
    statement = export(purged).to_dict()
    predicate = statement["predicate"]
    assert first_error(statement, load_schema("statement.schema.json")) is None
    assert predicate["purge"]["proof"] == record(purged.after).purge
    assert "searched for the rows' bytes afterwards: none found" in predicate["purge"]["note"]
    assert "snapshots of the file system" in predicate["purge"]["note"]
    assert predicate["responsible"]["requester"] == "Case 7"
    assert predicate["responsible"]["approver"] == "Model Risk"
    assert not {"requester", "approver", "purge"} & set(predicate["removal"])
    states = {item["kind"]: item["state"] for item in predicate["left"]}
    assert states["gradient_store"] == states["named_file"] == "erased"
    assert states["source_files"] == "not removed"
    assert predicate["training"]["n_samples"] == purged.store.n_samples + len(purged.forget_set)


def test_samples_that_were_erased_before_make_the_number_unknown(tmp_path: Path):
    made = make_removal(tmp_path)
    stay = np.setdiff1d(made.store.sample_ids, made.forget_set.samples)
    made.store.erase(ForgetSet(stay[:2], {}, made.store))
    made.store = GradientStore.open(made.store.path)
    made.forget_set = replace(made.forget_set, store=made.store)
    made.after = approximate_unlearn(made.before, made.forget_set, purge=True)
    assert export(made).to_dict()["predicate"]["training"]["n_samples"] is None


def test_no_row_or_sample_is_in_it(purged: Removal, tmp_path: Path):
    text = export(purged).summary() + str(export(purged).to_dict()["predicate"]["purge"])
    for number in (*REMOVED, *purged.forget_set.samples.tolist()):
        assert f" {number}" not in text
    assert "gradient store: erased" in text


@pytest.mark.parametrize("regulation", ["GDPR_ART17", "CCPA_1798_105"])
def test_the_clause_on_the_store_is_evidenced_by_a_clean_proof_alone(
    purged: Removal, regulation: str
):
    def status(report) -> str:
        clauses = report.to_dict()["predicate"]["regulation"]["clauses"]
        (found,) = (each for each in clauses if "the gradient store" in each["clause"])
        return found["status"]

    assert status(export(purged, regulation=regulation)) == "evidenced"
    assert status(export(purged, regulation=regulation, draft=True)) == "not covered"
    done = record(purged.after)
    found = {**done.purge, "store_clean": False, "clean": False}
    try:
        attach(purged.after, replace(done, purge=found))
        assert status(export(purged, regulation=regulation)) == "not covered"
        attach(purged.after, replace(done, purge=None))
        assert status(export(purged, regulation=regulation)) == "not covered"
    finally:
        attach(purged.after, done)


def test_the_store_confirms_it_and_a_backup_does_not(purged: Removal, tmp_path: Path):
    path = _saved(purged, tmp_path)
    verdict = verify(path, store=purged.store.path)
    assert verdict.ok, verdict.reason
    assert "the purged rows are not in it" in verdict.reason
    folder = tmp_path / "put back"
    shutil.copytree(purged.store.path.with_name("backup"), folder / "grad")
    shutil.copytree(purged.store.path.with_name("grad.audit"), folder / "grad.audit")
    verdict = verify(path, store=folder / "grad")
    assert not verdict.ok
    assert "nothing was ever erased from this store" in verdict.reason
    backup = GradientStore.open(folder / "grad")
    other = backup.samples_from_source("loans.csv", rows=[_another(backup)])
    backup.erase(other)
    verdict = verify(path, store=folder / "grad")
    assert not verdict.ok
    assert "still has 2 samples and 2 rows" in verdict.reason


def _another(store: GradientStore) -> int:
    """A row that was trained on and isn't one of those removed."""
    (used,) = store.rows_used().values()
    return next(row for row in used.tolist() if row not in REMOVED)


def test_without_its_key_nobody_can_tell(purged: Removal, tmp_path: Path):
    report = export(purged)
    path = report.save(tmp_path / "certificate.json")
    report.key_file.unlink()
    verdict = verify(path, store=purged.store.path)
    assert verdict.ok
    assert "can't be told, since the certificate's key is not beside the store" in verdict.reason


def test_it_cannot_be_run_again_from_the_store(purged: Removal, tmp_path: Path):
    path = _saved(purged, tmp_path)
    with pytest.raises(UncheckedError, match="purged from the store, so the removal can't be run"):
        verify(path, store=purged.store.path, replay=Replay())
