"""What runs leave on the disk: checkpoints, shards, their manifest."""
