"""What photos hide under alpha 0, where the pictures that are saved came from them through a graph.

A graph may have flipped, turned, cropped and enlarged a picture on its way, to the same size too. So every picture is
compared with what its photo shows: untouched pixels say that it is the whole frame, else it is searched for in the
photo. Where nobody knows what became of the hidden parts, the picture is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..faces.fingerprint import correlation, take_fingerprint
from ..faces.placing import DIRECTIONS, SIDE, agreement_unmoved, find_place, oriented, to_square
from .alpha import CLEAR
from .pages import open_file, orientation_of
from .reading import upright
from .repainted import still_hidden

_ALIKE = 0.6  # correlation from which a picture of a batch may be one of a file: its faces, and more, may have changed
_ONE_COLOUR = 3  # levels: hidden parts that differ by no more tell nothing
_EDGE = 2  # levels between neighbours from which a pixel tells where it is
_UNTOUCHED, _LEAST_EDGES = 0.2, 40  # the share of such pixels that are as they were in an untouched frame; and how many
_UNTOUCHED_ELSEWHERE = 0.5  # ... of which in no other direction so many may be
_SHINES_THROUGH = 0.2  # correlation from which a photo lies unmoved in a picture that several were joined into
_CELLS_OFF, _REACH = 0.5, 3  # how exact a place is, in cells; pixels that a filter reaches
_BEYOND = 0.01  # the share of a picture that may lie beyond its photo, whatever it shows
_FLAT = 2 / 255  # deviation of what a border shows that was added
_MOST_PAGES = 8  # that are searched for one picture where one of them is found
_ROWS = 256  # that are worked out at once
_TOLD = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM")  # formats whose alpha Pillow knows
_CHANNELS = {3: 3, 4: 4, 7: 3, 9: 3}  # of PSD, by its mode of colours, without alpha; of others one
_ALPHA_PICTURES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")  # ISO/IEC 23008-12


class UnknownAlpha(ValueError):
    """A file may have alpha that nobody here can look into."""


class Page(NamedTuple):
    """A picture of a file.

    Args:
        hidden: bool [H, W], upright, what lies under alpha 0, or nearly so.
        colours: uint8 [H, W, 3], what it shows without alpha, as Load Image gives it; None where nobody asked.
    """

    hidden: np.ndarray
    colours: np.ndarray | None

    @property
    def tells(self) -> bool:
        """Whether there is anything to see in what it hides."""
        if self.colours is None or not self.hidden.any():
            return bool(self.hidden.any())
        seen = self.colours[self.hidden]
        return bool((np.ptp(seen, axis=0) > _ONE_COLOUR).any())


def read_pages(file: Path, compared: bool = False) -> list[Page]:
    """The pictures of a file, by its format; none where it surely has no alpha and is not compared.

    Args:
        file: of the photo, whatever its name.
        compared: read the colours of one without alpha, too.

    Raises:
        UnknownAlpha: another program has to say what it hides.
        Exception: it cannot be read; of a broken file Pillow raises what it comes upon.
    """
    pages: list[Page] = []
    data = file.read_bytes()
    with open_file(data, any_format=True) as image:
        if image.format == "PSD":
            _check_channels(data)
        for i in range(1 if image.format == "PSD" else getattr(image, "n_frames", 1)):  # whose others are its layers
            if i:
                image.seek(i)
            hidden = np.zeros(image.size[::-1], bool)
            if "transparency" in image.info or {"A", "a"} & set(image.getbands()):
                hidden = np.asarray(image.convert("RGBA").getchannel("A")) <= int(CLEAR * 255)
            elif i == 0 and image.format in _TOLD and not compared:
                return []
            way_up = orientation_of(image)
            colours = upright(np.array(image.convert("RGB")), way_up)
            pages.append(Page(upright(hidden, way_up), colours))
    return pages


def names_alpha(file: Path) -> bool:
    """Whether a photo in boxes (HEIC, AVIF) says that one of its pictures is the alpha of another."""
    data = file.read_bytes()
    return data[4:8] == b"ftyp" and any(name in data for name in _ALPHA_PICTURES)


def _check_channels(data: bytes) -> None:
    """Raise UnknownAlpha for a PSD with channels that Pillow leaves out: one of them may be its alpha."""
    channels, mode = struct.unpack_from(">H", data, 12)[0], struct.unpack_from(">H", data, 24)[0]
    if channels > _CHANNELS.get(mode, 1) and (mode, channels) != (3, 4):
        raise UnknownAlpha(f"it is a PSD of {channels} channels, of which nobody here can tell its alpha")


@dataclass(frozen=True)
class Photos:
    """The photos that the pictures of a batch came from.

    Args:
        files: the pages of every file.
        count: pictures of the batch.
        joined: whether pictures of several files may be in one.
        doubled: whether one file may be in a picture twice.
        keeps_frame: whether all that the graph did to the pictures keeps their frame.
        asides: the pages of files that only bear on the pictures: nothing of them is expected there.
    """

    files: Sequence[Sequence[Page]]
    count: int
    joined: bool = False
    doubled: bool = False
    keeps_frame: bool = False
    asides: Sequence[Page] = ()
    repainted: bool = False

    def hidden_in(self, number: int, image: torch.Tensor) -> list[np.ndarray]:
        """What has to be emptied in one picture of the batch.

        A batch of several files does not say which picture is whose: it is compared with all of them.

        Args:
            number: of the picture in its batch.
            image: float [H, W, C], 0..1.

        Returns:
            Masks of the picture, bool [H, W], or of a photo of whose frame the picture is the whole, bool [h, w].

        Raises:
            ValueError: a photo hides something, and nobody knows where that is in the picture.
        """
        beside = [find_hidden(page, image, alone=False) for page in self.asides if page.tells]
        return [*self._of_files(number, image), *(mask for mask in beside if mask is not None and mask.any())]

    def _of_files(self, number: int, image: torch.Tensor) -> list[np.ndarray]:
        pages = [self._still(page, image) for file in self.files for page in file]
        if not any(page.hidden.any() for page in pages):
            return []
        if self.joined:
            hiding = [page for page in pages if page.hidden.any()]
            return [mask for page in hiding for mask in self._joined_in(page, image)]
        if len(self.files) == 1 and len(pages) == self.count:
            pages = [pages[number]]
        elif len(self.files) == 1 and len(pages) > 1:  # some of an animation: which of it, nobody says
            pages = _with_all_that_is_hidden(pages)
        found = _found_in(pages, image)
        if found:
            return [mask for mask in found if mask.any()]
        return [page.hidden for page in self._alike(pages, image) if self._is_placed(page, image)]

    def _still(self, page: Page, image: torch.Tensor) -> Page:
        """A page that hides no more than what may be left of it in a picture."""
        if not (self.repainted and page.tells and page.colours is not None and _is_whole(page, image)):
            return page
        return page._replace(hidden=still_hidden(page.hidden, page.colours, image))

    def _joined_in(self, page: Page, image: torch.Tensor) -> list[np.ndarray]:
        if not page.tells:
            return []
        mask = find_hidden(page, image, alone=self.doubled)
        if mask is not None:
            return [mask]
        unmoved = agreement_unmoved(_square_of(page), to_square(image))
        shines = unmoved >= _SHINES_THROUGH and _is_whole(page, image) and not self.doubled
        return [page.hidden] if shines or self._is_placed(page, image) else []

    def _alike(self, pages: list[Page], image: torch.Tensor) -> list[Page]:
        if len(self.files) == 1:
            return pages
        cells = take_fingerprint(image[None]).cells[0]
        alike = [page for page in pages if correlation(cells, take_fingerprint(_tensor(page)[None]).cells[0]) >= _ALIKE]
        return alike or pages

    def _is_placed(self, page: Page, image: torch.Tensor) -> bool:
        """Whether what a page hides is where it is in the photo, although what it shows does not say so.

        Raises:
            ValueError: nobody knows.
        """
        if not page.hidden.any() or _has_alpha(image) or not (page.tells or self.keeps_frame):
            return False
        (height, width), (rows, columns) = image.shape[:2], page.hidden.shape
        if page.tells and not (self.keeps_frame and (height, width) == (rows, columns)):
            raise ValueError(
                f"A file hides parts of its picture under its alpha, and the node that loads it gives them all the "
                f"same. It is {columns}x{rows}, what is saved is {width}x{height}, and what the nodes between them did "
                "cannot be followed, so that nobody knows where these parts are. Save the photo without transparency "
                "first, or join its mask to it right behind the loader (Join Image with Alpha). A video goes from Load "
                "Video into Anonymize Video File or Save Video (clean), which empty what it hides."
            )
        return _is_whole(page, image)


def _with_all_that_is_hidden(pages: list[Page]) -> list[Page]:
    """Some pages of an animation, each with what any of its size hides."""
    hidden: dict[tuple[int, ...], np.ndarray] = {}
    for page in pages:
        hidden[page.hidden.shape] = hidden.get(page.hidden.shape, False) | page.hidden
    some = pages[:: math.ceil(len(pages) / _MOST_PAGES)]
    return [page._replace(hidden=hidden[page.hidden.shape]) for page in some]


def _found_in(pages: Sequence[Page], image: torch.Tensor) -> list[np.ndarray]:
    """What a picture has of the hidden parts of the pages that it shows; empty where it shows none of them."""
    untouched = [page.hidden for page in pages if page.colours is not None and _is_untouched(page.colours, image)]
    if untouched:
        return untouched
    if len(pages) > _MOST_PAGES:
        shown = [oriented(to_square(image), way) for way in range(DIRECTIONS)]

        def likeness(page: Page) -> float:
            square = _square_of(page)
            return max(agreement_unmoved(square, one) for one in shown)

        pages = sorted(pages, key=likeness, reverse=True)
    found: list[np.ndarray] = []
    for i, page in enumerate(pages):
        if found and i >= _MOST_PAGES:
            break
        if (mask := find_hidden(page, image)) is not None:
            found.append(mask)
    return found


def find_hidden(page: Page, image: torch.Tensor, alone: bool = True) -> np.ndarray | None:
    """What of a picture the photo hides that it shows, whole or in part.

    Args:
        page: of the photo, with its colours.
        image: float [H, W, C], 0..1.
        alone: there is nothing else in the picture.

    Returns:
        bool [H, W]; None where nobody can tell.
    """
    if page.colours is None:
        return None
    if _is_untouched(page.colours, image):
        return page.hidden
    place = find_place(_square_of(page), page.hidden.shape[:2], image)
    if place is None or not place.is_certain:  # the picture may be the larger one
        place = find_place(to_square(image), image.shape[:2], _tensor(page))
        if place is None or not place.is_certain:
            return None
        place = place.inverse
    return _project(page.hidden, place.matrix, image, alone)


def _is_untouched(colours: np.ndarray, image: torch.Tensor) -> bool:
    """Whether a picture is the whole frame of a photo, at its size: enough pixels that tell their place are there."""
    if colours.shape[:2] != tuple(image.shape[:2]) or image.shape[2] < 3:
        return False
    levels = colours.astype(np.int16)
    edges = np.zeros(levels.shape[:2], bool)
    edges[1:, 1:] = (np.abs(levels[1:, 1:] - levels[1:, :-1]) > _EDGE).any(-1)
    edges[1:, 1:] &= (np.abs(levels[1:, 1:] - levels[:-1, 1:]) > _EDGE).any(-1)
    if edges.sum() < _LEAST_EDGES:
        return False
    now = (torch.nan_to_num(image[..., :3].float().cpu()).clamp(0, 1) * 255).round().numpy().astype(np.int16)
    wanted = levels[edges]

    def share(picture: np.ndarray) -> float:
        return float((np.abs(picture[edges] - wanted) <= 1).all(-1).mean())

    untouched = share(now)
    if untouched < _UNTOUCHED:
        return False
    ways = range(1, DIRECTIONS) if now.shape[0] == now.shape[1] else (2, 4, 6)
    return untouched == 1 or all(share(oriented(now, way)) < _UNTOUCHED_ELSEWHERE * untouched for way in ways)


def _project(hidden: np.ndarray, to_photo: np.ndarray, image: torch.Tensor, alone: bool) -> np.ndarray | None:
    """What is hidden as a mask of the picture, with what a filter and an error of the place may have taken there."""
    (height, width), (rows, columns) = image.shape[:2], hidden.shape
    linear = np.abs(to_photo[:, :2])
    reaches = [
        math.ceil(_CELLS_OFF / SIDE * side + _REACH * max(1.0, side * (along[0] / width + along[1] / height)))
        for side, along in ((columns, linear[0]), (rows, linear[1]))
    ]
    grown = torch.from_numpy(hidden)[None, None].float()
    grown = torch.nn.functional.max_pool2d(grown, (1, 2 * reaches[0] + 1), 1, (0, reaches[0]))
    grown = torch.nn.functional.max_pool2d(grown, (2 * reaches[1] + 1, 1), 1, (reaches[1], 0))[0, 0].numpy() > 0
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    mask, beyond = np.zeros((2, height, width), bool)
    for first in range(0, height, _ROWS):
        part = slice(first, min(first + _ROWS, height))
        y = ((np.arange(part.start, part.stop, dtype=np.float32) + 0.5) / height - 0.5)[:, None]
        u, v = (to_photo[i, 0] * x + to_photo[i, 1] * y + to_photo[i, 2] + 0.5 for i in (0, 1))
        beyond[part] = (np.abs(u - 0.5) > 0.5) | (np.abs(v - 0.5) > 0.5)
        at_x = np.clip(u * columns, 0, columns - 1).astype(np.intp)
        at_y = np.clip(v * rows, 0, rows - 1).astype(np.intp)
        off = np.maximum(np.abs(u - 0.5) - 0.5, np.abs(v - 0.5) - 0.5) > 2 * _CELLS_OFF / SIDE
        mask[part] = grown[at_y, at_x] & ~off
    if alone and beyond.mean() > _BEYOND:
        added = image[torch.from_numpy(beyond).to(image.device)][:, :3].float()
        if bool((added.std(0) > _FLAT).any()):  # and may show the same parts once more
            return None
    return mask


def _is_whole(page: Page, image: torch.Tensor) -> bool:
    """Whether a picture has the proportions of a photo, up to a pixel of either side."""
    (height, width), (rows, columns) = image.shape[:2], page.hidden.shape
    return abs(height * columns - width * rows) <= max(height, width) + max(rows, columns)


def _has_alpha(image: torch.Tensor) -> bool:
    """Whether a picture hides parts of itself, as one does to which the mask of its photo was joined."""
    return image.shape[2] == 4 and bool((image[..., 3] <= CLEAR).any())


def _tensor(page: Page) -> torch.Tensor:
    return torch.tensor(page.colours).float() / 255


def _square_of(page: Page) -> np.ndarray:
    return to_square(_tensor(page))
