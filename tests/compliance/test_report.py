"""From a real removal to a certificate on disk, and everything that does not belong together."""

from __future__ import annotations

import copy
import json
import re
import stat
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compliance.removals import N_ROWS, REMOVED, Removal, export, make_removal, train
from traceprop.compliance import check_proof, keys, prove_row
from traceprop.compliance.evidence import public_uri
from traceprop.compliance.regulations import known_regulations
from traceprop.compliance.verify import verify
from traceprop.curvature.digest import model_digest
from traceprop.errors import CertificateError
from traceprop.unlearn import RemovalRecord, approximate_unlearn, record


@pytest.fixture(scope="module")
def removal(tmp_path_factory: pytest.TempPathFactory) -> Removal:
    return make_removal(tmp_path_factory.mktemp("removal"))


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "keys"))
    return tmp_path / "keys" / "traceprop" / "signing.key"


def test_round_trip(removal: Removal, tmp_path: Path, own_key: Path):
    people = {"requester": "A. Person", "approver": "B. Officer", "legal_hold": "none found"}
    report = export(removal, **people)
    path = report.save(tmp_path / "certificate.json")
    verdict = verify(path, model=removal.after)
    assert verdict, verdict.reason
    assert verdict.statement == report.to_dict()
    predicate = report.to_dict()["predicate"]
    assert predicate["serial"] == report.serial
    assert predicate["models"]["before"] == {"sha256": model_digest(removal.before)}
    assert predicate["models"]["after"] == {"sha256": model_digest(removal.after)}
    assert predicate["removal"]["removal_class"] == record(removal.after).removal_class
    assert predicate["removal"]["removal_class"] == "exact-convex"
    assert predicate["forget_set"]["n_samples"] == predicate["forget_set"]["n_rows"] == 2
    (source,) = predicate["sources"]
    assert source["name"] == "loans.csv"
    assert (source["n_rows"], source["n_rows_removed"]) == (N_ROWS, 2)
    assert predicate["preprocessing"]["steps"] == [str(step) for step in removal.store.steps]
    assert predicate["responsible"] == people
    assert predicate["purge"]["proof"] is None
    assert predicate["lineage"]["sha256"] == removal.store.lineage_digest()
    assert predicate["software"]["packages"]["torch"] == version("torch")
    assert not verify(path, model=removal.before)


def test_the_removed_rows_can_be_shown_by_the_keys_holder(removal: Removal, own_key: Path):
    report = export(removal)
    assert report.key_file is not None
    assert stat.S_IMODE(report.key_file.stat().st_mode) == 0o600
    assert report.key_file.parent.parent == Path(f"{removal.store.path}.audit")
    for row in REMOVED:
        proof = prove_row(report.to_dict(), report.key_file, "loans.csv", row)
        assert proof is not None
        assert check_proof(report.to_dict(), proof)
    assert prove_row(report.to_dict(), report.key_file, "loans.csv", 0) is None


def strings(value: Any) -> list[str]:
    """Every text and number in a JSON value but digests, which may hold any digits by chance."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in strings(part)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    text = str(value)
    return [] if re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", text) else [text]


def test_no_row_and_no_sample_can_be_found_in_the_certificate(removal: Removal):
    report = export(removal)
    samples = [int(sample) for sample in removal.forget_set]
    said = strings(report.to_dict())
    for number in REMOVED:
        assert not [text for text in said if str(number) in text]
    for number in samples:
        assert not [text for text in said if re.search(rf"(?<![0-9.]){number}(?![0-9.])", text)]
    assert report.key_file is not None
    assert json.loads(report.key_file.read_bytes())["key"].encode() not in report.content
    # Sealed with a key of its own: the next certificate of the same rows shares no entry with it.
    trees = [r.to_dict()["predicate"]["forget_set"]["tree"] for r in (report, export(removal))]
    assert not set(trees[0]["leaves"]) & set(trees[1]["leaves"])


@pytest.mark.parametrize("regulation", known_regulations())
def test_every_regulation_makes_a_certificate(removal: Removal, regulation: str, tmp_path: Path):
    report = export(removal, regulation=regulation)
    assert report.to_dict()["predicate"]["regulation"]["id"] == regulation
    assert verify(report.save(tmp_path / "c.json"))


def test_the_summary_says_what_matters(removal: Removal):
    report = export(removal, regulation="EU_AI_ACT_ART26", requester="A. Person")
    text = report.summary()
    for said in (
        report.serial,
        model_digest(removal.after),
        "exact-convex",
        "loans.csv: 2 of 9000 rows",
        "A. Person",
        "approver",
        "not given",
        "gradient store: not removed",
        "no duty to erase",
        "Art. 26(12): evidenced",
        "Weights alone can't prove",
    ):
        assert said.lower() in text.lower()


def test_the_first_use_makes_a_key_and_says_so(
    removal: Removal, own_key: Path, capsys: pytest.CaptureFixture[str]
):
    export(removal)
    said = capsys.readouterr()
    fingerprint = keys.load_public_key(keys.public_path(own_key)).fingerprint
    assert said.out == ""
    assert str(own_key) in said.err
    assert fingerprint in said.err
    export(removal)
    assert capsys.readouterr().err == ""


def test_a_key_of_ones_own(removal: Removal, own_key: Path, tmp_path: Path):
    mine = keys.generate_key(tmp_path / "mine.key")
    path = export(removal, key=mine.path).save(tmp_path / "certificate.json")
    assert verify(path, key=keys.public_path(mine.path))
    assert not own_key.exists()


def test_a_draft_is_no_evidence(removal: Removal, own_key: Path, tmp_path: Path):
    before = sorted(tmp_path.rglob("*"))
    audit = Path(f"{removal.store.path}.audit")
    kept = sorted(audit.rglob("*"))
    report = export(removal, draft=True)
    assert report.draft
    assert report.key_file is None
    assert "draft" in report.summary().splitlines()[0].lower()
    assert report.to_dict()["predicate"]["draft"] is True
    assert report.to_dict()["predicate"]["limits"][0].startswith("This is a draft.")
    assert sorted(tmp_path.rglob("*")) == before
    assert sorted(audit.rglob("*")) == kept
    path = report.save(tmp_path / "draft.json")
    assert path.read_text().startswith('{\n  "DRAFT": "This is a draft.')
    assert json.loads(path.read_bytes())["statement"] == report.to_dict()
    public = keys.public_path(keys.generate_key(own_key).path)
    assert "draft" in verify(path, key=public).reason


def test_saving_replaces_in_one_step(removal: Removal, tmp_path: Path):
    path = tmp_path / "certificate.json"
    path.write_text("something else")
    report = export(removal)
    assert report.save(path) == path
    assert path.read_bytes() == report.content
    report.save(str(path))
    assert path.read_bytes() == report.content
    assert [p.name for p in tmp_path.iterdir() if p.name != "keys"] == ["certificate.json"]


def test_a_save_that_fails_leaves_what_was_there(
    removal: Removal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "certificate.json"
    path.write_text("something else")
    report = export(removal)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CertificateError, match=r"can't be written .*No space left"):
        report.save(path)
    assert path.read_text() == "something else"
    assert [p.name for p in tmp_path.iterdir() if p.name != "keys"] == ["certificate.json"]


@pytest.mark.parametrize("where", ["missing/certificate.json", ""])
def test_a_place_that_cannot_be_written_is_named(removal: Removal, tmp_path: Path, where: str):
    with pytest.raises(CertificateError, match="certificate can't be written to"):
        export(removal).save(tmp_path / where)


def perturbed(model: torch.nn.Module) -> torch.nn.Module:
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    return other


def test_what_does_not_belong_together_is_refused(
    removal: Removal, own_key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    audit = Path(f"{removal.store.path}.audit")
    kept = sorted(audit.rglob("*"))
    other_rows = removal.store.samples_from_source("loans.csv", rows=REMOVED[:1])
    _, other_store = train(removal.store.path.parent, f"other-{tmp_path.name}")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"model_after": removal.before}, "call approximate_unlearn first"),
        ({"model_before": perturbed(removal.before)}, "is not the model that the rows were"),
        ({"forget_set": other_rows}, r"forget set \(1 samples\) is not what was removed"),
        ({"store": other_store}, "is from the store"),
        ({"regulation": "GDPR"}, "Known are: CCPA_1798_105"),
        ({"requester": 3}, "requester=3 can't stand"),
        ({"approver": "two\nlines"}, "approver='two.*' can't stand"),
        ({"approver": "\udcff"}, "can't stand"),
        ({"key": tmp_path / "no.key"}, r"no\.key can't be read"),
    ]
    for arguments, said in wrong:
        with pytest.raises(CertificateError, match=said):
            export(removal, **arguments)
    assert not own_key.exists()
    assert sorted(audit.rglob("*")) == kept


def test_a_model_that_was_trained_on_after_the_removal_is_refused(removal: Removal):
    changed = approximate_unlearn(removal.before, removal.forget_set)
    with torch.no_grad():
        next(changed.parameters()).add_(1e-3)
    with pytest.raises(CertificateError, match="was changed after the removal"):
        export(removal, model_after=changed)


def test_another_process_certifies_with_the_saved_record(removal: Removal, tmp_path: Path):
    record(removal.after).save(tmp_path / "record.json")
    restored = copy.deepcopy(removal.after)
    with pytest.raises(CertificateError, match=r"RemovalRecord\.load"):
        export(removal, model_after=restored)
    RemovalRecord.load(tmp_path / "record.json", restored)
    assert verify(export(removal, model_after=restored).save(tmp_path / "c.json"), model=restored)


def test_joined_forget_sets_are_one_removal(removal: Removal, tmp_path: Path):
    first, second = (removal.store.samples_from_source("loans.csv", [row]) for row in REMOVED)
    after = approximate_unlearn(removal.before, first | second)
    report = export(removal, model_after=after, forget_set=first | second)
    assert model_digest(after) == model_digest(removal.after)
    assert report.to_dict()["predicate"]["forget_set"]["n_rows"] == 2
    assert verify(report.save(tmp_path / "c.json"))


def test_what_is_no_store_is_named(removal: Removal):
    with pytest.raises(CertificateError, match=r"the store a str: give .* GradientStore itself"):
        export(removal, store="grad")


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("data/loans.csv", "data/loans.csv"),
        ("C:/data/loans.csv", "C:/data/loans.csv"),
        ("s3://bucket/loans.csv", "s3://bucket/loans.csv"),
        ("postgresql://user:secret@host:5432/db", "postgresql://host:5432/db"),
        ("https://a:b@host/x.csv?sig=secret#frag", "https://host/x.csv"),
        ("loans\udcff.csv", "loans\\udcff.csv"),
    ],
)
def test_no_secret_of_a_url_gets_into_a_certificate(uri: str, public: str):
    assert public_uri(uri) == public
