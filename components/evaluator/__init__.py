"""Evaluation: TFMA metrics for attributes and landmarks, slices by attribute, the bar a model must pass, results."""
