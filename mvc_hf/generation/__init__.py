"""Generating (Eq. 5, 6): from a request to the rows and shards of a synthetic data set."""
