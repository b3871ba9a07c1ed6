"""Publishing: which files of a folder go up, and the cards that describe them."""
