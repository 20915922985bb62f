"""A video of ComfyUI saved without metadata. Touches the host: ComfyUI encodes what is not a file yet."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import av.error
import folder_paths
from comfy_api.latest import InputImpl, Types

from .containers import CannotHold, Source
from .files import WHOLE, copy_clean, rewrite


def save_video(video, path: Path, mark: bool) -> None:
    """Save a video of ComfyUI without metadata.

    The packets of a file that no node has changed are copied, where they show and tell nothing that players do not; of
    other files the pictures are encoded anew. ComfyUI copies packets too, but loses the first pictures of a Matroska
    file with B-frames.

    Args:
        video: ComfyUI's VideoInput.
        path: of the new file; its suffix names the container.
        mark: say in the file that a trained model made a part of it.

    Raises:
        ValueError: ComfyUI does not encode for this container, or not in this size.
        OSError: as files.written_whole.
    """
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / f"face_anonymizer_{uuid.uuid4().hex}"
    rewritten = name.with_suffix(".rewritten.mp4")
    # ComfyUI up to 0.33.0 encodes mp4 alone; its streams fit into mkv too
    container = path.suffix[1:] if path.suffix[1:] in Types.VideoContainer.as_input() else "mp4"
    encoded = name.with_suffix(f".{container}")
    try:
        if isinstance(video, InputImpl.VideoFromFile):
            source, window = video.get_stream_source(), video.get_active_trim_window()
            if window == WHOLE and _copied(source, path, mark):
                return
            rewrite(source, rewritten, lambda frames, _: frames, window=window, encode_sound=True)
            if _copied(os.fspath(rewritten), path, mark):
                return
            video = InputImpl.VideoFromFile(os.fspath(rewritten))
        _encode(video, encoded, Types.VideoContainer(container))
        copy_clean(os.fspath(encoded), path, mark)
    except CannotHold as error:
        raise ValueError(
            f"This ComfyUI encodes {container} alone, and {path.suffix[1:]} cannot hold that. Choose mp4 or mkv, or "
            "update ComfyUI."
        ) from error
    finally:
        rewritten.unlink(missing_ok=True)
        encoded.unlink(missing_ok=True)


def _copied(source: Source, path: Path, mark: bool) -> bool:
    try:
        copy_clean(source, path, mark)
    except CannotHold:
        return False
    return True


def _encode(video, path: Path, container: Types.VideoContainer) -> None:
    try:
        video.save_to(os.fspath(path), format=container, codec=Types.VideoCodec.AUTO, metadata=None)
    except (av.error.FFmpegError, ValueError) as error:
        width, height = video.get_dimensions()
        if width % 2 or height % 2:
            raise ValueError(
                f"The video has {width}x{height} pixels, but ComfyUI encodes {container.value} in even sizes only: "
                "crop it by a pixel."
            ) from error
        raise
