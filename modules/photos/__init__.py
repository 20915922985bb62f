"""Photos as files have them: which files are photos, and how one is looked at and written again."""
