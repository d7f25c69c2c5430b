"""The schema of a run's records: what every record has, and the labels that the data sets keep."""

from components.schema_gen.component import RecordSchemaGen

__all__ = ["RecordSchemaGen"]
