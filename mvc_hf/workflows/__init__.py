"""Whole runs: a recipe from end to end, and the demo."""
