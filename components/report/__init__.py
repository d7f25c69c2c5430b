"""What every run leaves for a person: one self-contained HTML page. Needs neither TFX nor TensorFlow."""

from components.report.attributes import attribute_part
from components.report.page import Page, Section
from components.report.parsing import parsing_part
from components.report.run_page import Part, run_page

__all__ = ["Page", "Part", "Section", "attribute_part", "parsing_part", "run_page"]
