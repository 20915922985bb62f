"""Faces painted until recognisers take each for a stranger: where the method, the reader and the faces meet."""
