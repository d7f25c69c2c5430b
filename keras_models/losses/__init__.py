"""Losses as pure functions, with their equations."""
