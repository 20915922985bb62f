"""A video of ComfyUI saved without metadata. Touches the host: ComfyUI encodes what is not a file yet."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import av.error
import comfy.model_management
import folder_paths
from comfy_api.latest import InputImpl, Types

from .files import copy_clean
from .own_files import remember
from .priority import ordinary_priority


def save_video(video, path: Path, mark: bool) -> None:
    """Save a video of ComfyUI without metadata.

    The packets of a file that one of our nodes wrote are copied, and those of frames that ComfyUI encodes here; all
    other files are decoded and encoded anew.

    Args:
        video: ComfyUI's VideoInput.
        path: of the new file; its suffix names the container.
        mark: say in the file that a trained model made a part of it.

    Raises:
        ValueError: ComfyUI does not encode in this size, or as files.rewrite.
        OSError: as files.written_whole.
    """
    check = comfy.model_management.throw_exception_if_processing_interrupted
    if isinstance(video, InputImpl.VideoFromFile):
        copy_clean(video.get_stream_source(), path, mark, window=video.get_active_trim_window(), check=check)
        return
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    # ComfyUI up to 0.33.0 encodes mp4 alone; its streams fit into mkv too
    container = path.suffix[1:] if path.suffix[1:] in Types.VideoContainer.as_input() else "mp4"
    encoded = folder / f"face_anonymizer_{uuid.uuid4().hex}.{container}"
    try:
        _encode(video, encoded, Types.VideoContainer(container))
        if type(video) is InputImpl.VideoFromComponents:  # others may copy packets of a file
            remember(encoded)
        copy_clean(os.fspath(encoded), path, mark, check=check)
    finally:
        encoded.unlink(missing_ok=True)


def _encode(video, path: Path, container: Types.VideoContainer) -> None:
    try:
        with ordinary_priority():
            video.save_to(os.fspath(path), format=container, codec=Types.VideoCodec.AUTO, metadata=None)
    except (av.error.FFmpegError, ValueError) as error:
        width, height = video.get_dimensions()
        if width % 2 or height % 2:
            raise ValueError(
                f"The video has {width}x{height} pixels, but ComfyUI encodes {container.value} in even sizes only: "
                "crop it by a pixel."
            ) from error
        raise
