"""What every run leaves for a person: one self-contained HTML page. Needs neither TFX nor TensorFlow."""

from components.report.attributes import attribute_page, attribute_sections
from components.report.page import Page, Section

__all__ = ["Page", "Section", "attribute_page", "attribute_sections"]
