"""The settings of a run, a class for each stage: declared once, checked when built, kept in files."""
