"""Captions as files that a person edits, each format by the ending of its name."""
