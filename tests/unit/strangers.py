"""Other people's crops in the places of faces that do not remember each other."""

from dataclasses import replace


def forgetful(faces):
    """Faces that carry no originals: with the crops of a batch in other places, each is painted as a stranger to it.

    Faces that remember are refused each other's crops; that has tests of its own (test_originals.py).
    """
    return replace(faces, faces=tuple(replace(face, original=None) for face in faces))
