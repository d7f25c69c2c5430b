"""What every run leaves for a person: one self-contained HTML page. Needs neither TFX nor TensorFlow."""

from components.report.attributes import attribute_part
from components.report.classes import class_part
from components.report.landmarks import landmark_part
from components.report.page import Page, Section
from components.report.parsing import parsing_part
from components.report.run_page import Part, run_page
from components.report.tasks import tasks_part

__all__ = [
    "Page",
    "Part",
    "Section",
    "attribute_part",
    "class_part",
    "landmark_part",
    "parsing_part",
    "run_page",
    "tasks_part",
]
