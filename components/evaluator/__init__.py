"""Evaluation: TFMA metrics of each task, slices by attribute, the bars a model must pass, results."""
