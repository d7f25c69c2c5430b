"""Ingestion: a data set's images and labels to face records; what can't be read goes to quarantine."""

from components.example_gen.component import FacesExampleGen

__all__ = ["FacesExampleGen"]
