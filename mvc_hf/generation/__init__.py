"""Generating (Eq. 5, 6): addresses → inputs → images → shards."""
