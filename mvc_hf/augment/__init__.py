"""Real and synthetic images as one training set, and the schedules by which they take turns."""
