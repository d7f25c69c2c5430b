"""Soft labels: what trained networks say of the training records that lack a label."""

from components.soft_labels.component import SoftLabeler
from components.soft_labels.executor import no_teacher

__all__ = ["SoftLabeler", "no_teacher"]
