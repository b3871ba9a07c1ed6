"""Exporting: synthetic and real images as files that other trainers read: class folders, or shards of WebDataset."""
