"""Follow faces through a clip."""
