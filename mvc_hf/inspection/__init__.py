"""Before and after a run: what it will cost, a preview, and one row made again."""
