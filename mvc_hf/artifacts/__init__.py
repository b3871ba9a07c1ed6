"""What runs leave on the disk: checkpoints, and synthetic data sets as shards with a manifest."""
