"""Looking at what came out."""
