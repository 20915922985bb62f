"""Fetch a recogniser for the evaluation, only when the user asks for it by name."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from ..files import replaced_whole, sha256_of
from . import face_onnx

_BLOCK = 1 << 20


def download(name: str, folder: Path) -> Path:
    """The file of this recogniser in `folder`; one that is there and right is left alone.

    Raises ValueError when another file is in its place, when the network fails, or when what came does not match the
    published sum; then nothing is left behind.
    """
    recogniser = face_onnx.RECOGNISERS[name]
    file = folder / recogniser.file
    if file.exists():
        if sha256_of(file) == recogniser.sha256:
            return file
        raise ValueError(f"{file} is another file than the published one. It is left as it is: move it away.")
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with replaced_whole(file) as part:
            with (
                urllib.request.urlopen(recogniser.url, timeout=60) as stream,
                part.open("wb") as target,
                tqdm(total=recogniser.size, unit="B", unit_scale=True, desc=recogniser.file) as bar,
            ):
                while block := stream.read(_BLOCK):
                    target.write(block)
                    digest.update(block)
                    bar.update(len(block))
            if digest.hexdigest() != recogniser.sha256:
                raise ValueError(
                    f"What {recogniser.url} sent is not the published file (sha256 {digest.hexdigest()}, wanted "
                    f"{recogniser.sha256}). It was deleted; do not use that source."
                )
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ValueError(f"{recogniser.url} cannot be fetched: {error}. Try again later.") from None
    return file
