"""The names of the methods of generating that a recipe may have. What they stand for: `methods.registry`."""

from __future__ import annotations

BUILT_IN = ("mvc", "pretrained")
METHOD_NAMES = list(BUILT_IN)  # and those that `register_method` adds
