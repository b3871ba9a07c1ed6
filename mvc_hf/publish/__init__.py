"""Cards, and what of a folder is published."""
