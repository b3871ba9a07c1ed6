"""Labelled image sets of every kind, behind one interface."""
