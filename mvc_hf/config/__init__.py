"""The settings of a run: declared once, checked when built, to a file and back."""
