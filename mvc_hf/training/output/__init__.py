"""What a training run keeps in its folder: whose the folder is, checkpoints to resume from, and the log."""
