"""A row's hash is reversed by guessing the row, so no document that is handed out has one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

import traceprop as tp
from tests.compliance.removals import REMOVED, export, make_removal
from traceprop.compliance import prove_row


def spellings(word: int) -> list[bytes]:
    """How a document may write 64 bits: raw, in hexadecimal, base64 or decimal."""
    raws = [word.to_bytes(8, order) for order in ("little", "big")]
    texts = [raw.hex() for raw in raws] + [raw.hex().upper() for raw in raws]
    numbers = [str(word), str(word - 2**64)]
    coded = [base64.b64encode(raw).rstrip(b"=") for raw in raws]
    return [*raws, *coded, *(text.encode() for text in texts + numbers)]


def holds_one(document: bytes, hashes: np.ndarray) -> bool:
    """Whether any of the hashes is in a document, in any spelling."""
    return any(text in document for word in hashes.tolist() for text in spellings(word))


def test_no_document_of_a_removal_has_a_row_hash(tmp_path: Path) -> None:
    removal = make_removal(tmp_path)
    (source,) = tp.load_csv(tmp_path / "loans.csv").sources()
    assert source.row_hashes is not None
    hashes = source.row_hashes[REMOVED]
    report = export(removal)
    report.save(tmp_path / "certificate.json")
    envelope = json.loads((tmp_path / "certificate.json").read_bytes())
    statement = base64.b64decode(envelope["payload"])
    assert json.loads(statement)["predicate"]["sources"][0]["n_rows_removed"] == len(REMOVED)
    assert report.key_file is not None
    proof = prove_row(report.to_dict(), report.key_file, "loans.csv", REMOVED[0])
    exports = [report.to_prov(), report.to_openlineage(), report.to_cyclonedx()]
    documents = [
        statement,
        (tmp_path / "certificate.json").read_bytes(),
        *(json.dumps(document).encode() for document in exports),
        repr(proof).encode(),
    ]
    assert not any(holds_one(document, hashes) for document in documents)
    for text in spellings(int(hashes[1])):
        assert holds_one(statement + text, hashes)
