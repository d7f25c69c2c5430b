"""Tests; helpers are imported as tests.components.…: without this file another library's `tests` may be found first."""
