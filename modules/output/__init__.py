"""Files that say nothing of where they came from."""
