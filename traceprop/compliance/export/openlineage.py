"""OpenLineage: the removal as a finished run, with the model before and the sources as its inputs.

See https://openlineage.io/spec/2-0-2/OpenLineage.json. What OpenLineage has no facet for is in a
run facet of our own, `traceprop_removal`, whose schema ships beside the others.
"""

from __future__ import annotations

import uuid
from typing import Any

import attr
from openlineage.client import event_v2
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    job_type_job,
    processing_engine_run,
    schema_dataset,
)
from openlineage.client.generated.base import RunFacet
from openlineage.client.serde import Serde

from traceprop.compliance.export.facts import Facts, SourceFacts

PRODUCER = "https://traceprop.dev/"
_SOURCES, _MODELS = "traceprop/sources", "traceprop/models"


@attr.define
class RemovalRunFacet(RunFacet):
    """What the certificate says about the removal, and where the proof is."""

    serial: str
    certificateSha256: str
    signedWithKey: str
    issuedAsserted: str
    method: str
    removalClass: str
    bound: float | None
    unaudited: bool
    samplesRemoved: int
    rowsRemoved: int
    lineageSha256: str | None
    regulation: str
    clauses: dict[str, str]

    @staticmethod
    def _get_schema() -> str:
        return "https://traceprop.dev/schema/openlineage-removal-facet/v1"


def convert(facts: Facts) -> dict[str, Any]:
    """Return an OpenLineage run event."""
    run = event_v2.Run(
        runId=str(uuid.UUID(facts.serial)),
        facets={
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=facts.software["traceprop"], name="Traceprop", producer=PRODUCER
            ),
            "traceprop_removal": _removal(facts),
        },
    )
    job = event_v2.Job(
        namespace="traceprop",
        name="removal",
        facets={
            "jobType": job_type_job.JobTypeJobFacet(
                processingType="BATCH", integration="TRACEPROP", jobType="JOB", producer=PRODUCER
            )
        },
    )
    event = event_v2.RunEvent(
        eventType=event_v2.RunState.COMPLETE,
        eventTime=facts.issued,
        run=run,
        job=job,
        inputs=[
            event_v2.InputDataset(_MODELS, facts.model_before, facets=_version(facts.model_before)),
            *(_dataset(source) for source in facts.sources),
        ],
        outputs=[
            event_v2.OutputDataset(_MODELS, facts.model_after, facets=_version(facts.model_after))
        ],
        producer=PRODUCER,
    )
    return Serde.to_dict(event)


def _removal(facts: Facts) -> RemovalRunFacet:
    return RemovalRunFacet(
        serial=facts.serial,
        certificateSha256=facts.certificate_sha256,
        signedWithKey=facts.keyid,
        issuedAsserted=facts.issued,
        method=facts.method,
        removalClass=facts.removal_class,
        bound=facts.bound,
        unaudited=facts.unaudited,
        samplesRemoved=facts.n_samples,
        rowsRemoved=facts.n_rows,
        lineageSha256=facts.lineage,
        regulation=facts.regulation,
        clauses=facts.clauses,
        producer=PRODUCER,
    )


def _dataset(source: SourceFacts) -> event_v2.InputDataset:
    fields = [schema_dataset.SchemaDatasetFacetFields(name=name) for name in source.columns]
    return event_v2.InputDataset(
        _SOURCES,
        source.name,
        facets={
            **_version(source.sha256),
            "schema": schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER),
        },
    )


def _version(sha256: str) -> dict[str, Any]:
    return {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=f"sha256:{sha256}", producer=PRODUCER
        )
    }
