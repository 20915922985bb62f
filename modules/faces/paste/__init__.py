"""Crops on their way back into the picture, or a cover in their place."""
