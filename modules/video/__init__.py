"""Video files, a few frames in memory at a time."""
