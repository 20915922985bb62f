"""What files hide under their alpha, kept out of what is saved: by the graph that ran, else by comparing."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import InputImpl, io

from ..modules.faces.placing import DIRECTIONS, agreement_unmoved, oriented, to_square
from ..modules.host.loading import read_hidden
from ..modules.host.origins import ComfyHost
from ..modules.host.replaying import CannotReplay, Replay, Seen
from ..modules.output.pictures import emptied
from ..modules.output.provenance import Origin, is_drawn, keeps_frame, source_image, source_images
from ..modules.output.starts import is_painted_in_place, noise_at_start
from ..modules.photos.hidden import Page, Photos
from ..modules.photos.kinds import NO_PICTURES, VIDEO, kind_of
from ..modules.runs.jobs import VIDEO_SUFFIXES
from ..modules.video.hidden import read_film
from .graph import graph_of

_log = logging.getLogger("face_anonymizer")
_HOST = ComfyHost()
_NEXT = (
    "Save it without transparency first, such as a JPEG, and load that with Load Image. A video goes from Load Video "
    "into Anonymize Video File or Save Video (clean), which empty what it hides."
)
_PAINTED_ANEW = 0.8  # the share of noise at which a sampler starts, from which it may leave nothing of a picture
_MOST_FILES = 8  # that a picture is compared with closely
Empty = Callable[[int, torch.Tensor], torch.Tensor]


def photo_of(node: type[io.ComfyNode]) -> Path | None:
    """The file of the photo that a node's pictures came from; None where the prompt does not lead to one."""
    return source_image(*graph_of(node), "images", _HOST)


def emptier(node: type[io.ComfyNode], count: int, input_name: str = "images") -> Empty | None:
    """What empties a node's pictures where a file hid something.

    Args:
        node: that saves.
        count: of its pictures.
        input_name: of its input for them.

    Returns:
        Called with a picture's number and the picture; None where nothing is hidden.

    Raises:
        ValueError: now, or when it is called: nobody knows what is hidden, or where it is in a picture.
    """
    prompt, place = graph_of(node)
    if not prompt:
        return None
    origin = source_images(prompt, place, input_name, _HOST)
    if origin.unseen:
        return _refuse(origin.unseen)
    files = _Files(origin)
    hiding = [file for file in origin.files if files.hides(file)]
    asides = [file for file in origin.asides if files.hides(file)]
    if not hiding and not asides:
        return None
    try:
        seen = Replay(prompt, _HOST, files.pages).hidden(place, input_name, _index_of_run())
        return None if seen.masks is None else _told(_by_masks(seen, count))
    except CannotReplay:
        pass
    beside = [page for file in asides for page in files.pages(file)]
    keeps = keeps_frame(prompt, place, input_name)
    noise = max(noise_at_start(prompt, place, input_name), default=0.0)
    repainted = noise >= _PAINTED_ANEW and is_painted_in_place(prompt, place, input_name)
    compared = hiding if origin.joined else origin.files

    def empty(number: int, image: torch.Tensor) -> torch.Tensor:
        some = files.likest(compared, image) if not origin.joined else compared
        pages = [files.pages(file) for file in some] if hiding else []
        photos = Photos(pages, count, origin.joined, origin.doubled, keeps, beside, repainted)
        for mask in photos.hidden_in(number, image):
            image = emptied(image, mask)
        return image

    return _told(empty)


def _told(empty: Empty) -> Empty:
    """... and says in the log how much of the first picture that is."""

    def tell(number: int, image: torch.Tensor) -> torch.Tensor:
        shown = empty(number, image)
        if number == 0 and shown is not image and (share := float((shown != image).any(-1).float().mean())) > 0:
            _log.info(
                "%.1f %% of the picture is saved white: its file hides something there under its alpha, which Load "
                "Image gives all the same.",
                100 * share,
            )
        return shown

    return tell


def without_hidden(node: type[io.ComfyNode], video):
    """A video for a node that saves it, empty where frames show what a file hid.

    A file that is saved as it was loaded is emptied by whoever writes it anew.

    Args:
        node: that saves, with the input `video`.
        video: ComfyUI's VideoInput.

    Raises:
        ValueError: nobody knows what is hidden, or where it is.
    """
    prompt, place = graph_of(node)
    if not prompt:
        return video
    if isinstance(video, InputImpl.VideoFromFile):
        origin = source_images(prompt, place, "video", _HOST)
        if not origin.files and not origin.unseen:
            return video
        written = video.get_stream_source()
        if isinstance(written, str) and Path(written).resolve() in [file.resolve() for file in origin.files]:
            return video
    if emptier(node, 0, "video") is None:
        return video
    components = video.get_components()
    images = components.images
    empty = emptier(node, len(images), "video")
    assert empty is not None
    shown = torch.stack([empty(i, image) for i, image in enumerate(images)]) if len(images) else images
    return InputImpl.VideoFromComponents(replace(components, images=shown), **_depth_of(video))


def _depth_of(video) -> dict:
    return {"bit_depth": video.get_bit_depth()} if hasattr(video, "get_bit_depth") else {}


def _by_masks(seen: Seen, count: int) -> Empty:
    """A mask for each picture; where there are more or fewer, all that any of them hides."""
    masks = seen.masks
    assert masks is not None
    if len(masks) != count:
        masks = np.logical_or.reduce(masks)[None]

    def empty(number: int, image: torch.Tensor) -> torch.Tensor:
        mask = masks[number if len(masks) == count else 0]
        if mask.shape != tuple(image.shape[:2]) and not seen.any_size:
            raise ValueError(f"The pictures are not those of their graph: {image.shape[1]}x{image.shape[0]}. {_NEXT}")
        return emptied(image, mask)

    return empty


def _index_of_run() -> int | None:
    """Which run of a node this is, of one that runs once for each of many; None where the host does not say."""
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:
        return None
    context = get_executing_context()
    return None if context is None else context.list_index


def _refuse(kind: str) -> Empty:
    def refuse(number: int, image: torch.Tensor) -> torch.Tensor:
        raise ValueError(
            f"The pictures come from {kind}, which reads what Save Image (clean) and Save Video (clean) cannot look "
            f"into. Whether it hides parts under its alpha, nobody knows. {_NEXT}"
        )

    return refuse


class _Files:
    """The files that pictures came from, read once for one node that saves.

    Args:
        origin: of the pictures.
    """

    def __init__(self, origin: Origin):
        self._origin = origin
        self._read: dict[Path, list[Page]] = {}

    def hides(self, file: Path) -> bool:
        """Whether a file hides anything. What is no picture, or bears on one alone and cannot be read, hides nothing.

        Raises:
            ValueError: it cannot be read, and may have alpha.
        """
        if is_drawn(file):
            return False
        try:
            return _hides(file, _state(file))
        except Exception as error:  # of a broken file Pillow raises what it comes upon
            shows = kind_of(file, VIDEO_SUFFIXES).picture or file in self._origin.pictures
            if file in self._origin.files and shows and not _is_jpeg(file):
                raise ValueError(
                    f"{file.name} cannot be read ({error}), so that nobody knows what it hides under its alpha. {_NEXT}"
                ) from error
            return False

    def pages(self, file: Path) -> list[Page]:
        """The pictures of a file, with their colours; none where these cannot be read."""
        if file not in self._read:
            hides = self.hides(file)
            try:
                pages = _read_pages(file, True)
            except Exception:  # as in hides, which says so where it matters
                pages = []
            self._read[file] = pages if hides else [page._replace(hidden=page.hidden & False) for page in pages]
        return self._read[file]

    def likest(self, files: Sequence[Path], image: torch.Tensor) -> Sequence[Path]:
        """Of many files those that a picture may show: it is not compared with a whole folder pixel by pixel."""
        if len(files) <= _MOST_FILES:
            return files
        shown = [oriented(to_square(image), way) for way in range(DIRECTIONS)]

        def likeness(file: Path) -> float:
            squares = _squares(file, _state(file))
            return max((agreement_unmoved(square, one) for square in squares for one in shown), default=0.0)

        likest = sorted(files, key=likeness, reverse=True)[:_MOST_FILES]
        self._read = {file: pages for file, pages in self._read.items() if file in likest}
        return likest


def _is_jpeg(file: Path) -> bool:
    """Whether a file is of the one format that has no alpha, whatever its name is."""
    try:
        with file.open("rb") as opened:
            return opened.read(3) == b"\xff\xd8\xff"
    except OSError:
        return False


def _state(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=4096)
def _hides(file: Path, state: tuple[int, int]) -> bool:
    return any(page.hidden.any() for page in _read_pages(file, False))


@lru_cache(maxsize=4096)
def _squares(file: Path, state: tuple[int, int]) -> tuple[np.ndarray, ...]:
    try:
        pages = _read_pages(file, True)
    except Exception:
        return ()
    return tuple(
        to_square(torch.tensor(page.colours).float() / 255) for page in pages[:_MOST_FILES] if page.colours is not None
    )


def _read_pages(file: Path, compared: bool) -> list[Page]:
    """The pictures of a photo or video as Load Image or Load Video gives them.

    Raises:
        Exception: it cannot be read, or is neither.
    """
    if file.suffix.lower() in NO_PICTURES:
        return []
    kind = kind_of(file, VIDEO_SUFFIXES)
    if kind.kind == VIDEO:
        return read_film(str(file), compared)
    return read_hidden(file, compared)
