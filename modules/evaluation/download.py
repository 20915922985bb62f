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
    """Fetch the weights of a recogniser, unless they are in the folder already.

    Args:
        name: of face_onnx.RECOGNISERS.
        folder: where the file goes; made if need be.

    Returns:
        The file.

    Raises:
        ValueError: another file is in its place (it stays), the network fails, or what came does not match the
            published sum; no part of a download is left behind.
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
