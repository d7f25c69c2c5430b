"""Soft labels: what trained networks say of the training records that lack a label."""
