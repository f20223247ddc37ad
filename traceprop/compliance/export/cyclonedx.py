"""CycloneDX ML-BOM 1.6: the model after the removal, what it came from, and what it does not claim.

See https://cyclonedx.org/docs/1.6/json/. The library writes all but the model card, which it has no
class for; that part is added to its JSON and checked with it in the tests.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from traceprop.compliance.export.facts import Facts, SourceFacts
from traceprop.compliance.times import parse_time


def convert(facts: Facts) -> dict[str, Any]:
    """Return a CycloneDX bill of materials."""
    before = _model("model before the removal", facts.model_before)
    after = _model("model after the removal", facts.model_after)
    after.pedigree = Pedigree(ancestors=[before])
    after.properties.update(_properties(facts))
    data = [_data(source, i) for i, source in enumerate(facts.sources)]
    libraries = [
        Component(
            name=name, version=version, type=ComponentType.LIBRARY, bom_ref=f"software-{name}"
        )
        for name, version in facts.software.items()
    ]
    bom = Bom(
        components=data,
        serial_number=uuid.UUID(facts.serial),
        metadata=BomMetaData(
            component=after,
            tools=ToolRepository(components=libraries),
            timestamp=parse_time(facts.issued),
        ),
    )
    bom.register_dependency(after, data)
    converted: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    converted["metadata"]["component"]["modelCard"] = {
        "modelParameters": {"datasets": [{"ref": component.bom_ref.value} for component in data]},
        "considerations": {"technicalLimitations": list(facts.limits)},
    }
    return converted


def _model(name: str, sha256: str) -> Component:
    return Component(
        name=name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model-{sha256}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )


def _data(source: SourceFacts, number: int) -> Component:
    return Component(
        name=source.name,
        type=ComponentType.DATA,
        # Two sources may be copies of one file: the number keeps them apart.
        bom_ref=f"source-{number}-{source.sha256}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=source.sha256)],
        properties=[
            Property(name="traceprop:kind", value=source.kind),
            Property(name="traceprop:rows", value=str(source.n_rows)),
            Property(name="traceprop:rowsRemoved", value=str(source.n_rows_removed)),
        ],
    )


def _properties(facts: Facts) -> list[Property]:
    said = {
        "serial": facts.serial,
        "certificateSha256": facts.certificate_sha256,
        "predicateType": facts.predicate_type,
        "signedWithKey": facts.keyid,
        "issuedAsserted": facts.issued,
        "method": facts.method,
        "removalClass": facts.removal_class,
        "bound": None if facts.bound is None else str(facts.bound),
        "unaudited": str(facts.unaudited).lower(),
        "samplesRemoved": str(facts.n_samples),
        "rowsRemoved": str(facts.n_rows),
        "lineageSha256": facts.lineage,
        "regulation": facts.regulation,
        **{f"clause:{clause}": status for clause, status in facts.clauses.items()},
    }
    return [
        Property(name=f"traceprop:{name}", value=value)
        for name, value in said.items()
        if value is not None
    ]
