"""Find faces: boxes, scores and five points."""
