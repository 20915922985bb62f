"""Send a source to a server, and give its result back what the server does not get: depth and alpha."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..output.encoding import encode_picture
from ..output.formats import EXTENSIONS
from ..output.generated import file_says_so, says_so
from ..photos.reading import Photo, read_photo
from .client import Client
from .jobs import PHOTO, VIDEO_SUFFIXES, Job
from .prompts import marked, photo_settings, saving_as


class Sent(NamedTuple):
    """A source as a server got it.

    Args:
        name: there, as Client.upload gives it.
        sha256: of the source.
        prompt: the graph that makes its result, but for the source.
        photo: to finish the result with; None where the server's file is the result.
        notes: what of the source the result does not keep.
        is_generated: the source says that a trained model made a part of it, and so shall the result.
    """

    name: str
    sha256: str
    prompt: dict
    photo: Photo | None = None
    notes: tuple[str, ...] = ()
    is_generated: bool = False

    @property
    def suffix(self) -> str:
        """Of the file that the server makes, where that is not the result yet; else ""."""
        return "" if self.photo is None else EXTENSIONS["png"]


def send(client: Client, job: Job, prompt: dict) -> Sent:
    """Send a source under a name that tells nothing, to the folder that the server empties.

    Of a photo the pixels are sent that are looked at, upright, with their profile and nothing else of the file: the
    server neither gets to know nor keeps where and with which camera it was taken, nor what its alpha hides.
    Of what it says of a trained model one mark is left, by which the server marks the result.

    Args:
        client: of the server.
        job: whose source is sent.
        prompt: the graph with its settings, but for the source.

    Raises:
        UnreadablePhoto: it is not one whole picture.
        PromptFailed, OSError: as Client.upload.
    """
    name, path = uuid.uuid4().hex, job.source.path
    if job.source.kind != PHOTO:
        digest = hashlib.sha256()
        suffix = path.suffix.lower() if path.suffix.lower() in VIDEO_SUFFIXES else ".mp4"  # FFmpeg looks at the content
        is_generated = file_says_so(path)
        there = client.upload(path, name + suffix, "temp", digest)
        prompt = marked(prompt) if is_generated else prompt
        return Sent(there, digest.hexdigest(), prompt, is_generated=is_generated)
    data = path.read_bytes()
    photo, is_generated = read_photo(data), says_so(data)
    format = photo_settings(prompt)["format"]
    there = client.upload(photo.as_png(is_generated), f"{name}.png", "temp")
    prompt = marked(prompt) if is_generated else prompt
    digest = hashlib.sha256(data).hexdigest()
    sent = Sent(there, digest, prompt, notes=photo.said(format), is_generated=is_generated)
    if photo.is_finished_by_nodes(format):
        return sent
    return sent._replace(photo=photo, prompt=saving_as(prompt, "png"))


def finish(sent: Sent, result: Path, settings: Mapping) -> None:
    """Write a photo's own depth and alpha into its result, where it has them.

    Args:
        sent: of the photo.
        result: what the server made, which is written anew.
        settings: format, quality and mark_as_ai, of the node that saves.

    Raises:
        ValueError: the server's picture has another size.
    """
    if sent.photo is None:
        return
    with Image.open(result) as made:
        changed = np.asarray(made.convert("RGB"))
    colour = sent.photo.colour
    result.write_bytes(
        encode_picture(
            sent.photo.finish(changed),
            settings["format"],
            settings["quality"],
            profile=colour.profile,
            mark=settings["mark_as_ai"] or sent.is_generated,
            cicp=colour.cicp,
        )
    )
