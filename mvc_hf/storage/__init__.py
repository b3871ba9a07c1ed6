"""What lies on the disk, whatever is in it: names, files, notes, locks, and whether they are as they were written."""
