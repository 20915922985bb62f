"""Published files: what there is, and its download."""
