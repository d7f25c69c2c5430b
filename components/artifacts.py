"""The artifact types of facetfx beside TFX's own."""

from tfx.types import artifact


class Ingestion(artifact.Artifact):
    """What FacesExampleGen read: counts.json and quarantine-*.jsonl."""

    TYPE_NAME = "FacesIngestion"


class Report(artifact.Artifact):
    """The page (index.html) and the figures behind it (results.json) of one run."""

    TYPE_NAME = "FacesReport"
