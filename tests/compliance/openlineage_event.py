"""An OpenLineage event put together again by the client's own classes, which check what they get.

The client ships no copy of the JSON Schemas; its classes are generated from them: a field that a
schema doesn't know, or one that is missing, is a TypeError, and times and run ids are parsed.
"""

from __future__ import annotations

from typing import Any

from openlineage.client import event_v2
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    job_type_job,
    processing_engine_run,
    schema_dataset,
)

from traceprop.compliance.export.openlineage import RemovalRunFacet

FACETS = {
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "traceprop_removal": RemovalRunFacet,
}


def rebuilt(event: dict[str, Any]) -> event_v2.RunEvent:
    """Make the event's objects from its JSON.

    Raises
    ------
    TypeError, ValueError
        It is no event of the schemas that it names.
    """
    made = event_v2.RunEvent(
        eventTime=event["eventTime"],
        eventType=event_v2.RunState(event["eventType"]),
        run=event_v2.Run(event["run"]["runId"], facets=_facets(event["run"])),
        job=event_v2.Job(**{**event["job"], "facets": _facets(event["job"])}),
        inputs=[event_v2.InputDataset(**{**d, "facets": _facets(d)}) for d in event["inputs"]],
        outputs=[event_v2.OutputDataset(**{**d, "facets": _facets(d)}) for d in event["outputs"]],
        producer=event["producer"],
    )
    if made.schemaURL != event["schemaURL"]:
        raise ValueError(f"the event names the schema {event['schemaURL']}, not {made.schemaURL}")
    return made


def _facets(holder: dict[str, Any]) -> dict[str, Any]:
    return {name: _facet(name, dict(facet)) for name, facet in holder["facets"].items()}


def _facet(name: str, fields: dict[str, Any]) -> Any:
    producer, schema = fields.pop("_producer"), fields.pop("_schemaURL")
    if name == "schema":
        nested = schema_dataset.SchemaDatasetFacetFields
        fields["fields"] = [nested(**field) for field in fields["fields"]]
    if name == "traceprop_removal":
        fields = {"bound": None, "lineageSha256": None, **fields}
    made = FACETS[name](**fields, producer=producer)
    if made._schemaURL != schema:
        raise ValueError(f"the facet {name} names the schema {schema}, not {made._schemaURL}")
    return made
