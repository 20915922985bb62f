"""Where in a picture the hidden parts of its files are, by its graph, run once more. Touches the host: runs its nodes.

What alpha hides is made black for one run and white for another: where these differ, something hidden is seen, be it
mirrored, cropped, resized or laid over something. So it is exact, where a graph has nothing but nodes of ComfyUI that
are cheap and whose values are known. Where a node is known to leave all at its place but not what it makes of it
(noise, edges, fewer colours), a picture stands in that is white where something hidden was. Of others nobody says what
they did; but a node that gets nothing hidden gives nothing hidden, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..faces.sheet import AUTO, before_and_after
from ..output.provenance import EMPTYING, Host, Link, Prompt, file_of, files_of, linked, links_of, pastes_others
from ..photos.alpha import CLEAR
from ..photos.hidden import Page
from .loading import run_node
from .origins import node_class

_NAMES = """
AdjustBrightness AdjustContrast BatchImagesMasksLatentsNode BatchImagesNode BatchMasksNode CenterCropImages
ComfyAndNode ComfyMathExpression ComfyNotNode ComfyOrNode CropMask EmptyImage FeatherMask FluxKontextImageScale
GetImageSize GrowMask ImageBatch ImageBlend ImageBlur ImageCompositeMasked ImageCrop ImageCropV2 ImageFlip
ImageFromBatch ImageInvert ImagePadForOutpaint ImageRotate ImageScale ImageScaleBy ImageScaleToMaxDimension
ImageScaleToTotalPixels ImageSharpen ImageStitch ImageToMask InvertBooleanNode InvertMask JoinImageWithAlpha
MaskComposite MaskToImage PorterDuffImageComposite PrimitiveBoolean PrimitiveBoundingBox PrimitiveFloat
PrimitiveInt PrimitiveString RepeatImageBatch ResizeAndPadImage ResizeImageMaskNode ResizeImagesByLongerEdge
ResizeImagesByShorterEdge SolidMask SplitImageToTileList SplitImageWithAlpha ThresholdMask
"""
_REPLAYED = frozenset(_NAMES.split())
# nodes that give what they get: of ours those that leave all but faces at its place
_PASSED = {
    ("FaceAnonPasteFaces", 0): "image",
    ("FaceAnonRedactFaces", 0): "image",
    ("FaceAnonAnonymizePhoto", 0): "image",
    ("FaceAnonSaveImage", 0): "images",
    ("FaceAnonSaveVideo", 0): "video",
    ("PreviewImage", 0): "images",
    ("SaveImage", 0): "images",
    ("CreateVideo", 0): "images",
    ("GetVideoComponents", 0): "video",
    ("Video Slice", 0): "video",
}
# nodes that leave what they get at its place, and change it in a way that is not linear
_IN_PLACE = {
    ("Canny", 0): "image",
    ("ImageAddNoise", 0): "image",
    ("ImageQuantize", 0): "image",
    ("ImageRGBToYUV", 0): "image",
    ("ImageRGBToYUV", 1): "image",
    ("ImageRGBToYUV", 2): "image",
    ("ImageUpscaleWithModel", 0): "image",  # and enlarge it by as much as the model does
    ("Morphology", 0): "image",
    ("FaceAnonDetectFaces", 2): "image",
    ("FaceAnonVerifyFaces", 0): "after",
}
_ENLARGING = ("ImageUpscaleWithModel",)
_PIXELS = "kernel_size"  # the input that says how far such a node reaches
_REACH = 3  # pixels, of those that have none
# of _REPLAYED those that do the same to a picture whatever it shows
_NAMES = """
BatchImagesNode CenterCropImages GetImageSize ImageBatch ImageCompositeMasked ImageCrop ImageCropV2 ImageFlip
ImageFromBatch ImagePadForOutpaint ImageRotate ImageScale ImageScaleBy ImageScaleToMaxDimension
ImageScaleToTotalPixels ImageStitch RepeatImageBatch ResizeAndPadImage ResizeImagesByLongerEdge
ResizeImagesByShorterEdge SplitImageToTileList
"""
_FRAMES = frozenset(_NAMES.split())
_ANY_SIZE = ("ImageFlip", "ImageScale", "ImageScaleBy", "ImageScaleToMaxDimension", "ImageScaleToTotalPixels")
_LOADERS = ("LoadImage", "LoadImageMask", "LoadImageOutput")
_SWITCH = "ComfySwitchNode"
# A share of what is hidden below this is no more than an edge, where it is not wider than so many pixels.
_SHINES, _WIDTH = 0.3, 5
_FAINT, _FAINT_WIDTH = 0.5 / 255, 15  # a share that no file holds; and pixels from which more is no edge of a filter
_RINGS = 2  # pixels around, in which a filter leaves traces
# What is hidden is filled with 0 in all, and with 1; the last fills alone what has no alpha at all: the little that is
# seen of what has some is no more than its file shows.
_DARK, _LIGHT, _WHOLLY = range(3)
_FILLS = 3


class CannotReplay(Exception):
    """Of some node before the picture nobody knows what it did to it."""


class Many(list):
    """What a node gives one after the other, to nodes that run once for each."""


class Seen(NamedTuple):
    """What a graph leaves of hidden parts in the pictures at an input.

    Args:
        masks: bool [B, H, W]; None where nothing can be left.
        any_size: the pictures may be larger or smaller as a whole than the masks.
    """

    masks: np.ndarray | None
    any_size: bool = False


class _Value(NamedTuple):
    """What a link carries in the runs.

    Args:
        fills: a value for each run; none where nobody knows more than that nothing hidden is in it.
        stands: its pictures are not those of the graph, but white where something hidden may be, and black elsewhere.
        any_size: ... and of another size than those.
    """

    fills: tuple[Any, ...] = ()
    stands: bool = False
    any_size: bool = False


_CLEAN = _Value()


class Replay:
    """A graph that is run once more without its models.

    Args:
        prompt: as for provenance.source_image.
        host: that knows the nodes.
        pages_of: the pictures of a file, with their colours and all that they hide.
    """

    def __init__(self, prompt: Prompt, host: Host, pages_of: Callable[[Path], Sequence[Page]]):
        self._prompt, self._host, self._pages_of = prompt, host, pages_of
        self._done: dict[tuple[str, int], _Value | None] = {}

    def hidden(self, node_id: str, input_name: str, index: int | None = None) -> Seen:
        """What of the pictures at a node's input shows something that a file hides.

        Args:
            node_id, input_name: of the node that gets the pictures.
            index: of the run of that node, where it runs once for each of many.

        Raises:
            CannotReplay: the graph has a node that cannot be run once more, and that gets something hidden.
        """
        link = linked(self._prompt.get(node_id), input_name)
        if link is None:
            raise CannotReplay(node_id)
        try:
            with torch.no_grad():
                value = self._value(link)
                if _is_clean(value):
                    return Seen(None)
                if any(isinstance(one, Many) for one in value.fills):
                    if index is None:
                        raise CannotReplay(link.node)
                    value = value._replace(fills=tuple(one[min(index, len(one) - 1)] for one in value.fills))
                if value.fills[_DARK].ndim != 4:
                    raise CannotReplay(link.node)
                return Seen(_seen_of(value).numpy(), value.any_size)
        except CannotReplay:
            raise
        except Exception as error:  # of nodes of any version, called with what a graph says
            raise CannotReplay(link.node) from error

    def _value(self, link: Link) -> _Value:
        if link not in self._done:
            self._done[link] = None
            for slot, value in self._outputs(link.node, link.slot).items():
                self._done[link.node, slot] = value
        value = self._done[link]
        if value is None:  # a loop
            raise CannotReplay(link.node)
        return value

    def _outputs(self, number: str, slot: int) -> Mapping[int, _Value]:
        node = self._prompt[number]
        kind = str(node.get("class_type", ""))
        if name := _PASSED.get((kind, slot)):
            if pastes_others(self._prompt, number, self._host):
                return self._unknown(number, slot)
            return {slot: self._value(self._link(node, name))}
        if kind in EMPTYING:
            return {slot: _CLEAN}
        if kind == _SWITCH:
            chosen = self._input(node, "switch").fills[_DARK]
            return {slot: self._value(self._link(node, "on_true" if chosen else "on_false"))}
        if name := _IN_PLACE.get((kind, slot)):
            return {slot: self._in_place(number, name)}
        if kind in _LOADERS:
            return dict(enumerate(self._loaded(number, kind)))
        if kind == "LoadVideo":
            return {0: self._film(number)}
        if kind == "FaceAnonBeforeAfter":
            before, after = (self._input(node, name) for name in ("before", "after"))
            layout = node["inputs"].get("layout", AUTO)
            return {0: _run(lambda one, other: [before_and_after(one, other, layout)], [before, after])[0]}
        if kind in _REPLAYED:
            return self._run_node(number, kind, slot)
        return self._unknown(number, slot)

    def _run_node(self, number: str, kind: str, slot: int) -> Mapping[int, _Value]:
        node = self._prompt[number]
        names = list(node["inputs"])
        values = [self._input(node, name) for name in names]
        in_frames = kind in _FRAMES and all(kind in _ANY_SIZE for value in values if value.any_size)
        if not all(value.fills for value in values) or (any(value.stands for value in values) and not in_frames):
            return self._unknown(number, slot)
        try:
            made = _run(lambda *given: run_node(node_class(kind), dict(zip(names, given, strict=True))), values, kind)
        except Exception:  # of a node of any version, called with what a graph says
            return self._unknown(number, slot)
        return dict(enumerate(made))

    def _unknown(self, number: str, slot: int) -> Mapping[int, _Value]:
        """Of a node of which nobody knows what it does: nothing hidden comes out where nothing hidden comes in."""
        kind = str(self._prompt[number].get("class_type", ""))
        for _, link, _ in links_of(self._prompt[number], self._prompt, self._host):
            if link.node not in self._prompt or not _is_clean(self._value(link)):
                raise CannotReplay(kind)
        for file in files_of(self._prompt, number, self._host):
            if any(page.hidden.any() for page in self._pages_of(file)):
                raise CannotReplay(kind)
        return {slot: _CLEAN}

    def _in_place(self, number: str, name: str) -> _Value:
        node = self._prompt[number]
        kind, into = str(node.get("class_type", "")), self._link(node, name)
        for _, link, _ in links_of(node, self._prompt, self._host):
            if link != into and not _is_clean(self._value(link)):
                raise CannotReplay(kind)
        value = self._value(into)
        if not value.fills:
            return value
        pixels = node["inputs"].get(_PIXELS)
        width = 2 * _REACH + 1 + (2 * pixels if isinstance(pixels, int) else 0)

        def stand(*images: torch.Tensor) -> list[torch.Tensor]:
            mask = _grown(_seen_of(value._replace(fills=images)), width)
            return [(mask & (i != _DARK)).float()[..., None].repeat(1, 1, 1, 3) for i in range(_FILLS)]

        if isinstance(value.fills[_DARK], Many):
            several = zip(*(stand(*images) for images in zip(*value.fills, strict=True)), strict=True)
            fills = tuple(Many(one) for one in several)
        else:
            fills = tuple(stand(*value.fills))
        return _Value(fills, True, value.any_size or kind in _ENLARGING)

    def _link(self, node: Mapping, name: str) -> Link:
        link = linked(node, name)
        if link is None or link.node not in self._prompt:
            raise CannotReplay(name)
        return link

    def _input(self, node: Mapping, name: str) -> _Value:
        return self._value(self._link(node, name)) if linked(node, name) else _same(node["inputs"].get(name))

    def _loaded(self, number: str, kind: str) -> Sequence[_Value]:
        """What a loader gives, but for what the file hides."""
        inputs = self._prompt[number]["inputs"]
        if not all(isinstance(value, str) for value in inputs.values()):
            raise CannotReplay(kind)
        outputs = [one.cpu() for one in run_node(node_class(kind), inputs)]
        pages = self._pages_of(file_of(self._prompt, number, self._host))
        is_alpha = kind == "LoadImageMask" and inputs.get("channel") == "alpha"
        if is_alpha or (pages and not any(page.hidden.any() for page in pages)):
            return [_same(one) for one in outputs]
        shown = outputs[0]
        hidden = [page.hidden for page in pages][: len(shown)]
        if any(one.shape != tuple(shown.shape[1:3]) for one in hidden) or not hidden:
            raise CannotReplay(kind)
        if len(hidden) != len(shown):
            hidden = [np.logical_or.reduce(hidden)] * len(shown)
        where = torch.from_numpy(np.stack(hidden))
        has_mask = len(outputs) > 1 and outputs[1].shape == where.shape
        return [_filled(shown, where, where & (outputs[1] >= 1) if has_mask else where), *map(_same, outputs[1:])]

    def _film(self, number: str) -> _Value:
        """One picture for all of a film, that hides what any of them does."""
        pages = self._pages_of(file_of(self._prompt, number, self._host))
        if not pages or pages[0].colours is None:
            raise CannotReplay(number)
        where = torch.from_numpy(np.logical_or.reduce([page.hidden for page in pages]))[None]
        return _filled(torch.tensor(pages[0].colours).float()[None] / 255, where, where)


def _same(value: Any) -> _Value:
    return _Value((value,) * _FILLS)


def _filled(picture: torch.Tensor, hidden: torch.Tensor, wholly: torch.Tensor) -> _Value:
    if not hidden.any():
        return _same(picture)
    dark, light, some = (picture.clone() for _ in range(_FILLS))
    dark[hidden] = some[hidden] = 0.0
    light[hidden] = some[wholly] = 1.0
    return _Value((dark, light, light if torch.equal(hidden, wholly) else some))


def _run(node: Callable[..., Sequence[Any]], values: Sequence[_Value], kind: str = "") -> list[_Value]:
    """The outputs of a node in all runs, each made once for what is the same in several."""
    made: dict[tuple[int, ...], Sequence[Any]] = {}
    keys = []
    for i in range(_FILLS):
        given = [value.fills[i] for value in values]
        key = tuple(map(id, given))
        keys.append(key)
        if key not in made:
            made[key] = _each(node, given, getattr(node_class(kind), "OUTPUT_IS_LIST", ()) if kind else ())
    stands, any_size = any(value.stands for value in values), any(value.any_size for value in values)
    several = zip(*(made[key] for key in keys), strict=True)
    return [_Value(tuple(fills), stands, any_size) for fills in several]


def _each(node: Callable[..., Sequence[Any]], given: Sequence[Any], are_lists: Sequence[bool]) -> Sequence[Any]:
    """As the host does it: once for each of many, the last of fewer again and again."""
    count = max((len(one) for one in given if isinstance(one, Many)), default=0)
    if not count:
        return [Many(one) if is_list else one for one, is_list in _with_kinds(node(*given), are_lists)]
    runs = [node(*(one[min(i, len(one) - 1)] if isinstance(one, Many) else one for one in given)) for i in range(count)]
    several = [Many(outputs) for outputs in zip(*runs, strict=True)]
    return [Many(chain.from_iterable(one)) if is_list else one for one, is_list in _with_kinds(several, are_lists)]


def _with_kinds(outputs: Sequence[Any], are_lists: Sequence[bool]) -> list[tuple[Any, bool]]:
    kinds = [*are_lists, *[False] * len(outputs)]
    return [(one, kinds[i] and isinstance(one, list)) for i, one in enumerate(outputs)]


def _is_clean(value: _Value) -> bool:
    """Whether nothing hidden can be seen in what a link carries."""
    if not value.fills or all(one is value.fills[0] for one in value.fills):
        return True
    first = value.fills[_DARK]
    if isinstance(first, Many):
        return all(_is_clean(value._replace(fills=one)) for one in zip(*value.fills, strict=True))
    if isinstance(first, torch.Tensor):
        return not bool(_seen_of(value).any())
    return all(bool(one == first) for one in value.fills)


def _seen_of(value: _Value) -> torch.Tensor:
    """Where something hidden is seen in a picture or a mask: bool [B, H, W].

    Raises:
        CannotReplay: what is hidden changes its size.
    """
    dark, light, wholly = (one.float().cpu() for one in value.fills)
    if not dark.shape == light.shape == wholly.shape or dark.ndim not in (3, 4):
        raise CannotReplay
    shares = [(one - dark).abs() for one in (light, wholly)]
    share, faint = (one[..., :3].amax(-1) if one.ndim == 4 else one for one in shares)
    seen = _seen(share)
    width = _FAINT_WIDTH if bool((faint > CLEAR).any()) else _WIDTH
    inside = ~_grown(faint <= _FAINT, width)
    return seen | (_grown(inside, width) & (faint > _FAINT))


def _seen(share: torch.Tensor) -> torch.Tensor:
    """Where so much of something hidden is in a picture that it can be seen: bool [B, H, W].

    Args:
        share: float [B, H, W], 0..1.
    """
    strong = share > _SHINES
    weak = (share > CLEAR) & (share < 1 - CLEAR)
    if not weak.any():
        return strong
    strong = _grown(strong, 2 * _RINGS + 1)
    inside = ~_grown(share <= CLEAR, _WIDTH)
    return strong | (_grown(inside, _WIDTH) & (share > CLEAR))


def _grown(mask: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(mask[:, None].float(), width, 1, width // 2)[:, 0] > 0
