"""Captions: where they come from, the table that holds them, and the models that write them."""
