"""Comparing classifiers: the arms, the images they see, differences with their intervals, tables and plots."""
