"""Evaluation: what TFMA measures of each task, slices, the bars that a model must pass, and one table of results."""
