"""Soft labels: predictions of trained networks for training records that lack a label."""
