"""Looking before and after: cost, previews, one row again."""
