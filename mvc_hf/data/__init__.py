"""Labelled image sets as people have them, seen as one interface."""
