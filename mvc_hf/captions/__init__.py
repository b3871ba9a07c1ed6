"""Captions: where they come from, the table that holds them, the models that write them."""
