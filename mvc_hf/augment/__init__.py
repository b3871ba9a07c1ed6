"""Real and synthetic images in one training set."""
