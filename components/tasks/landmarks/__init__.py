"""Points of a face, in the order of a mark-up (components/tasks/landmarks/markup.py)."""

from components.tasks import Kind

KIND = Kind(metrics={"nme": False, "failure_rate": False})
