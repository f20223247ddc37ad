"""W3C PROV-JSON: which entities the removal used and made, and by which software and key.

See https://www.w3.org/TR/prov-dm/ and https://www.w3.org/submissions/prov-json/. The certificate's
time is its signer's word, so it is an attribute and not a PROV time.
"""

from __future__ import annotations

import json
from typing import Any

from prov.model import ProvDocument

from traceprop.compliance.export.facts import Facts

NAMESPACE = "https://traceprop.dev/ns/prov#"


def convert(facts: Facts) -> dict[str, Any]:
    """Return a PROV-JSON document."""
    document = ProvDocument()
    ours = document.add_namespace("traceprop", NAMESPACE)
    document.add_namespace("sha256", "urn:hash::sha256:")
    before = document.entity(f"sha256:{facts.model_before}", {"prov:type": ours["Model"]})
    after = document.entity(f"sha256:{facts.model_after}", {"prov:type": ours["Model"]})
    software = document.agent(
        f"traceprop:software-{facts.software['traceprop']}",
        {
            "prov:type": document.valid_qualified_name("prov:SoftwareAgent"),
            **{f"traceprop:version-{name}": version for name, version in facts.software.items()},
        },
    )
    signer = document.agent(f"traceprop:key-{facts.keyid}", {"prov:type": ours["SigningKey"]})
    removal = document.activity(
        f"traceprop:removal-{facts.serial}", other_attributes=_removal_attributes(facts, ours)
    )
    document.wasAssociatedWith(removal, software)
    document.used(removal, before)
    for i, source in enumerate(facts.sources):
        # Two sources may be copies of one file: the number keeps them apart.
        entity = document.entity(
            f"traceprop:source-{facts.serial}-{i}",
            {
                "prov:type": ours["Source"],
                "prov:label": source.name,
                "traceprop:kind": source.kind,
                "traceprop:sha256": source.sha256,
                "traceprop:rows": source.n_rows,
                "traceprop:rowsRemoved": source.n_rows_removed,
            },
        )
        document.used(removal, entity)
    document.wasGeneratedBy(after, removal)
    document.wasDerivedFrom(after, before, removal)
    certificate = document.entity(
        f"sha256:{facts.certificate_sha256}",
        {
            "prov:type": ours["Certificate"],
            "traceprop:serial": facts.serial,
            "traceprop:predicateType": facts.predicate_type,
            "traceprop:issuedAsserted": facts.issued,
            "traceprop:regulation": facts.regulation,
        },
    )
    document.wasAttributedTo(certificate, signer)
    document.wasDerivedFrom(certificate, after)
    text = document.serialize(format="json")
    assert text is not None  # it is None only where a file was given to write to
    converted: dict[str, Any] = json.loads(text)
    return converted


def _removal_attributes(facts: Facts, ours: Any) -> dict[str, Any]:
    attributes = {
        "prov:type": ours["Removal"],
        "traceprop:method": facts.method,
        "traceprop:removalClass": facts.removal_class,
        "traceprop:samplesRemoved": facts.n_samples,
        "traceprop:rowsRemoved": facts.n_rows,
        "traceprop:unaudited": facts.unaudited,
    }
    if facts.bound is not None:
        attributes["traceprop:bound"] = facts.bound
    if facts.lineage is not None:
        attributes["traceprop:lineageSha256"] = facts.lineage
    return attributes
