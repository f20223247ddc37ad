"""A removal that leaves no copy: the store, and the files that were named."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import traceprop as tp
from tests.unlearning.purging.conftest import ROWS, Run
from traceprop.attribution import ForgetSet, GradientStore
from traceprop.attribution.model_files import load_weights
from traceprop.audit.log import AuditLog
from traceprop.audit.log_check import check_log
from traceprop.audit.opening import read_openings
from traceprop.errors import LegalHoldError, UnlearnError
from traceprop.unlearning import (
    RemovalRecord,
    approximate_unlearn,
    audit,
    finished_removal,
    plan_removal,
    preparation,
    purge,
    reconstruct,
    record,
)


def _facts(store: GradientStore) -> list[tuple[str, dict]]:
    """The audit log's entries, opened."""
    log = AuditLog(store.path)
    entries = check_log(store.path).entries
    opened = read_openings(log.files.openings, entries)
    return [(entry.kind, dict(opened[entry.serial].facts)) for entry in entries
            if entry.serial in opened]  # fmt: skip


def _everything(run: Run) -> list[Path]:
    return [run.folder / name for name in
            ("epoch.pt", "lineage.arrow", "prepare.arrow", "export.csv")]  # fmt: skip


def test_all_in_one_call(run: Run):
    forget_set = run.forget_set
    rows = np.array(run.store.record.inputs[forget_set.samples])
    assert reconstruct(run.store.path, rows).n_recovered == len(ROWS)
    old_pipeline = (run.folder / "prepare.arrow").read_bytes()
    new = approximate_unlearn(
        run.model, forget_set, purge=True, checkpoints=_everything(run),
        requester="Case 7", approver="Model Risk",
    )  # fmt: skip
    done = record(new)
    assert done.purge["clean"]
    assert (done.requester, done.approver) == ("Case 7", "Model Risk")
    said = {Path(each["path"]).name: each["done"] for each in done.purge["files"]}
    assert said == {
        "epoch.pt": "deleted", "lineage.arrow": "deleted", "prepare.arrow": "rewritten",
        "export.csv": "deleted",
    }  # fmt: skip
    for name, what in said.items():
        assert (run.folder / name).exists() == (what == "rewritten")
    assert (run.folder / "prepare.arrow").read_bytes() != old_pipeline
    assert "Pipeline" in repr(tp.load_pipeline(run.folder / "prepare.arrow"))
    states = {item.kind: item.state for item in done.left}
    assert states["gradient_store"] == "erased"
    assert states["model_before"] == "not removed"
    assert reconstruct(run.store.path, rows).n_recovered == 0
    for path, content in run.files().items():
        if path.name != "t.csv":
            assert not any(bytes(row) in content for row in rows.astype(np.float32)), path
    opened = GradientStore.open(run.store.path)
    assert opened.n_samples == 60 - len(ROWS)
    assert not set(forget_set.samples.tolist()) & set(opened.sample_ids.tolist())
    assert opened.verify().ok


def test_weights_and_record_are_written_before_anything_is_erased(run: Run):
    new = approximate_unlearn(run.model, run.forget_set)
    found = purge(new, run.forget_set)
    weights = load_weights(Path(found.folder) / "weights.npz")
    for name, value in new.state_dict().items():
        np.testing.assert_array_equal(value, weights[name])
    again = torch.nn.Linear(4, 2)
    again.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    done = RemovalRecord.load(Path(found.folder) / "record.json", again)
    assert done.purge == record(new).purge == found.to_dict()
    assert tp.apply(preparation(new), {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}).shape[-1] == 4
    assert sorted(p.name for p in Path(found.folder).iterdir()) == [
        "forget_set.json", "prepare.arrow", "record.json", "weights.npz",
    ]  # fmt: skip


def test_what_a_removal_made_is_read_again_after_the_purge(run: Run, tmp_path: Path):
    new = approximate_unlearn(run.model, run.forget_set)
    removed = run.forget_set
    found = purge(new, removed)
    store = GradientStore.open(run.store.path)
    model_after, forget_set = finished_removal(found.folder, run.model, store)
    assert record(model_after).to_dict() == record(new).to_dict()
    assert record(model_after).samples == record(new).samples
    assert forget_set.samples.tolist() == removed.samples.tolist()
    assert dict(forget_set.rows) == dict(removed.rows)
    for name, value in new.state_dict().items():
        torch.testing.assert_close(model_after.state_dict()[name], value, rtol=0, atol=0)
    sample = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    np.testing.assert_array_equal(
        tp.apply(preparation(model_after), sample), tp.apply(preparation(new), sample)
    )
    with pytest.raises(UnlearnError, match="hasn't got the results of a removal"):
        finished_removal(tmp_path, run.model, store)
    assert oct(Path(found.folder).stat().st_mode & 0o777) == "0o700"


def test_the_audit_comes_before_the_purge(run: Run):
    new = approximate_unlearn(run.model, run.forget_set)
    assert "forget" in audit(run.model, new, run.forget_set).parts
    assert purge(new, run.forget_set).clean


def test_the_log_has_it_and_no_entry_was_changed(run: Run):
    approximate_unlearn(run.model, run.forget_set, purge=True, requester="Case 7",
                        checkpoints=[run.folder / "epoch.pt"])  # fmt: skip
    facts = _facts(run.store)
    assert [(kind, each.get("state")) for kind, each in facts if kind != "begin"] == [
        ("removal", None), ("erasure", "begun"), ("erasure", "done"), ("erasure", "purged"),
    ]  # fmt: skip
    assert all(each["requester"] == "Case 7" for kind, each in facts
               if "requester" in each)  # fmt: skip
    assert facts[-1][1]["files"] == [[str(run.folder / "epoch.pt"), "deleted"]]
    assert check_log(run.store.path)


def test_what_is_kept_is_searched_and_said(run: Run):
    inputs = np.array(run.store.record.inputs)
    own, other = inputs[ROWS[0]], inputs[7]
    np.save(run.folder / "with.npy", own)
    np.save(run.folder / "without.npy", other)
    keep = {run.folder / "with.npy": "evidence in Smith v. Bank",
            run.folder / "without.npy": "holds others"}  # fmt: skip
    new = approximate_unlearn(run.model, run.forget_set, purge=True, keep=keep)
    done = record(new)
    assert done.purge["store_clean"]
    assert not done.purge["clean"]
    (found,) = done.purge["scan"]["found_in_files"]
    assert re.search(r"with\.npy at byte 128 \(input\)", found)
    left = {Path(item.what).name: item for item in done.left if item.kind == "named_file"}
    assert left["with.npy"].state == "not removed"
    assert "Smith v. Bank" in left["with.npy"].note
    for each in done.purge["files"]:
        assert each["sha256"] == each["sha256_after"]


def test_a_pipeline_that_the_model_still_needs_is_kept(run: Run):
    new = approximate_unlearn(run.model, run.forget_set, replay=False, purge=True,
                              checkpoints=[run.folder / "prepare.arrow"])  # fmt: skip
    (file,) = record(new).purge["files"]
    assert file["done"] == "kept"
    assert "still needs it" in file["reason"]
    assert (run.folder / "prepare.arrow").exists()


def test_a_plan_changes_no_byte_and_says_all(run: Run):
    before = run.files()
    plan = plan_removal(run.model, run.forget_set, checkpoints=_everything(run))
    assert run.files() == before
    assert (plan.n_samples, plan.n_rows) == (3, 3)
    assert plan.forgotten.n == 3
    assert plan.retained.n == 57
    assert plan.forgotten.unit == "margin"
    text = str(plan)
    for word in ("Dry run: 3 samples", "deleted", "rewritten", "dropped", "bytes would be",
                 "decided otherwise", "run-1/record/inputs.npy"):  # fmt: skip
        assert word in text
    new = approximate_unlearn(run.model, run.forget_set, purge=True, checkpoints=_everything(run))
    done = record(new).purge
    assert [each["done"] for each in done["files"]] == [each.done for each in plan.files]
    assert done["store"]["rewritten"] == list(plan.erasure.rewritten)


# ---- holds -----------------------------------------------------------------------------------


def test_with_a_hold_nothing_is_trained_or_erased_and_the_record_says_why(run: Run):
    before = {p: c for p, c in run.files().items() if ".audit" not in str(p)}
    with pytest.raises(LegalHoldError, match=r"Smith v. Bank.*nothing was trained") as refused:
        approximate_unlearn(run.model, run.forget_set, purge=True, requester="Case 7",
                            legal_hold="Smith v. Bank", checkpoints=_everything(run))  # fmt: skip
    assert {p: c for p, c in run.files().items() if ".audit" not in str(p)} == before
    held = refused.value.record
    assert (held.holds, held.n_samples, held.requester) == (("Smith v. Bank",), 3, "Case 7")
    held.save(run.folder / "held.json")
    assert json.loads((run.folder / "held.json").read_text())["holds"] == ["Smith v. Bank"]
    kind, facts = _facts(run.store)[-1]
    assert (kind, facts["state"], facts["requester"]) == ("hold", "refused", "Case 7")


def test_a_store_that_is_held_refuses_until_released(run: Run):
    run.store.hold("Smith v. Bank", by="Legal")
    run.store.hold("tax audit")
    opened = GradientStore.open(run.store.path)
    assert opened.holds == ("Smith v. Bank", "tax audit")
    assert opened.info()["holds"] == ["Smith v. Bank", "tax audit"]
    forget_set = opened.samples_from_source("t.csv", rows=ROWS)
    before = {p: c for p, c in run.files().items() if ".audit" not in str(p)}
    with pytest.raises(LegalHoldError, match="tax audit"):
        opened.erase(forget_set)
    with pytest.raises(LegalHoldError, match="tax audit"):
        approximate_unlearn(run.model, forget_set, purge=True)
    with pytest.raises(LegalHoldError, match="tax audit"):
        GradientStore(path=opened.path, overwrite=True).prepare()
    assert {p: c for p, c in run.files().items() if ".audit" not in str(p)} == before
    assert plan_removal(run.model, forget_set).holds == opened.holds
    with pytest.raises(UnlearnError, match="no hold 'other'"):
        opened.release_hold("other")
    with pytest.raises(UnlearnError, match="is held already"):
        opened.hold("tax audit")
    with pytest.raises(UnlearnError, match="needs a reason"):
        opened.hold(" ")
    opened.compact()
    opened.release_hold("tax audit")
    with pytest.raises(LegalHoldError, match="Smith"):
        opened.erase(forget_set)
    opened.release_hold("Smith v. Bank", by="Legal")
    assert opened.erase(forget_set).clean


def test_a_hold_without_a_purge_lets_a_new_model_be_made(run: Run):
    run.store.hold("Smith v. Bank")
    new = approximate_unlearn(run.model, run.forget_set)
    with pytest.raises(LegalHoldError):
        purge(new, run.forget_set)


# ---- bad input -------------------------------------------------------------------------------


def test_what_cannot_be_purged_is_refused_and_no_byte_changes(run: Run, tmp_path: Path):
    link, hard = run.folder / "link.pt", run.folder / "hard.pt"
    link.symlink_to(run.folder / "epoch.pt")
    os.link(run.folder / "export.csv", hard)
    (run.folder / "empty").mkdir()
    other = tmp_path / "other"
    before = run.files()
    inside = next((run.store.path / "shards").iterdir())
    cases = [
        ({"checkpoints": [run.folder / "missing.pt"]}, "there is no file .*missing.pt"),
        ({"checkpoints": [link]}, "link.pt is a link; name the file itself, .*epoch.pt"),
        ({"checkpoints": [run.folder / "empty"]}, "is a folder; name its files"),
        ({"checkpoints": [run.folder / "export.csv"]}, "has 2 names"),
        ({"checkpoints": [inside]}, "a part of the store"),
        ({"checkpoints": [run.store.sources[0].uri]}, "is a source"),
        ({"checkpoints": 2 * [run.folder / "epoch.pt"]}, "is named twice"),
        ({"checkpoints": str(run.folder / "epoch.pt")}, "is one path; give a list"),
        ({"keep": {run.folder / "epoch.pt": " "}}, "without a reason"),
        ({"checkpoints": [run.folder / "epoch.pt"], "purge": False}, "give purge=True"),
        ({"legal_hold": ""}, "needs a reason"),
    ]
    for changes, message in cases:
        with pytest.raises(UnlearnError, match=message):
            approximate_unlearn(run.model, run.forget_set, **{"purge": True, **changes})
        assert run.files() == before, message
    none = ForgetSet(np.array([], np.int64), {}, run.store)
    everything = ForgetSet(np.arange(60), {}, run.store)
    strange = ForgetSet(np.array([500]), {}, run.store)
    for forget_set, message in (
        (none, "empty"), (everything, "all"), (strange, "never trained on"),
    ):  # fmt: skip
        with pytest.raises(UnlearnError, match=message):
            approximate_unlearn(run.model, forget_set, purge=True)
        with pytest.raises(UnlearnError, match=message):
            plan_removal(run.model, forget_set)
        assert run.files() == before
    assert not other.exists()


def test_the_names_of_one_file_can_be_named_together(run: Run):
    hard = run.folder / "hard.csv"
    os.link(run.folder / "export.csv", hard)
    new = approximate_unlearn(run.model, run.forget_set, purge=True,
                              checkpoints=[run.folder / "export.csv", hard])  # fmt: skip
    assert record(new).purge["clean"]
    assert not hard.exists()


def test_another_removals_forget_set_is_refused(run: Run):
    new = approximate_unlearn(run.model, run.forget_set)
    before = run.files()
    other = run.store.samples_from_source("t.csv", rows=[7])
    with pytest.raises(UnlearnError, match="is not what was removed from this model"):
        purge(new, other)
    with pytest.raises(UnlearnError, match="no record of a removal"):
        purge(run.model, run.forget_set)
    assert run.files() == before
