"""Files: written whole, locked while somebody works on them, and checked against what was recorded of them."""
