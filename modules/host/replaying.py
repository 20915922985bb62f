"""Where in a picture the hidden parts of its files are, by its graph, run once more. Touches the host: runs its nodes.

What alpha hides is made black for one run and white for another: where these differ, something hidden is seen, be it
mirrored, cropped, resized or laid over something. So it is exact, where a graph has nothing but nodes of ComfyUI that
are cheap and whose values are known. Of others nobody says what they did to a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..output.provenance import Host, Prompt, file_of, linked, pastes_others
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
ResizeImagesByShorterEdge SolidMask SplitImageWithAlpha ThresholdMask
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
_LOADERS = ("LoadImage", "LoadImageMask", "LoadImageOutput")
_SWITCH = "ComfySwitchNode"
# A share of what is hidden below this is no more than an edge, where it is not wider than so many pixels.
_SHINES, _WIDTH = 0.3, 5
_RINGS = 2  # pixels around, in which a filter leaves traces


class CannotReplay(Exception):
    """Of some node before the picture nobody knows what it did to it."""


class Replay:
    """A graph that is run once more without its models.

    Args:
        prompt: as for provenance.source_image.
        host: that knows the nodes.
        pages_of: the pictures of a file, with their colours and all that they hide.
    """

    def __init__(self, prompt: Prompt, host: Host, pages_of: Callable[[Path], Sequence[Page]]):
        self._prompt, self._host, self._pages_of = prompt, host, pages_of
        self._done: dict[tuple[str, int, int], Any] = {}

    def hidden(self, node_id: str, input_name: str) -> np.ndarray:
        """What of the pictures at a node's input shows something that a file hides: bool [B, H, W].

        Raises:
            CannotReplay: the graph has a node that cannot be run once more.
        """
        link = linked(self._prompt.get(node_id), input_name)
        if link is None:
            raise CannotReplay(node_id)
        try:
            with torch.no_grad():
                dark, light = (self._value(link, fill)[..., :3].float().cpu() for fill in (0, 1))
                if dark.shape != light.shape or dark.ndim != 4:
                    raise CannotReplay(link.node)
                return _seen((light - dark).abs().amax(-1))
        except CannotReplay:
            raise
        except Exception as error:  # of nodes of any version, called with what a graph says
            raise CannotReplay(link.node) from error

    def _value(self, link, fill: int) -> Any:
        key = (link.node, link.slot, fill)
        if key not in self._done:
            self._done[key] = None  # a loop finds no picture
            outputs = self._outputs(link.node, link.slot, fill)
            for slot, value in outputs.items():
                self._done[link.node, slot, fill] = value
        return self._done[key]

    def _outputs(self, number: str, slot: int, fill: int) -> Mapping[int, Any]:
        node = self._prompt[number]
        kind = str(node.get("class_type", ""))
        if name := _PASSED.get((kind, slot)):
            if pastes_others(self._prompt, number, self._host):
                raise CannotReplay(kind)
            return {slot: self._value(self._link(node, name), fill)}
        if kind == _SWITCH:
            chosen = self._input(node, "switch", fill)
            return {slot: self._value(self._link(node, "on_true" if chosen else "on_false"), fill)}
        if kind in _LOADERS:
            return dict(enumerate(self._loaded(number, kind, fill)))
        if kind == "LoadVideo":
            return {0: self._film(number, fill)}
        if kind not in _REPLAYED:
            raise CannotReplay(kind)
        inputs = {name: self._input(node, name, fill) for name in node["inputs"]}
        return dict(enumerate(run_node(node_class(kind), inputs)))

    def _link(self, node: Mapping, name: str):
        link = linked(node, name)
        if link is None or link.node not in self._prompt:
            raise CannotReplay(name)
        return link

    def _input(self, node: Mapping, name: str, fill: int) -> Any:
        value = node["inputs"].get(name)
        return self._value(self._link(node, name), fill) if linked(node, name) else value

    def _loaded(self, number: str, kind: str, fill: int) -> Sequence[torch.Tensor]:
        """What a loader gives, but for what the file hides."""
        inputs = self._prompt[number]["inputs"]
        if not all(isinstance(value, str) for value in inputs.values()):
            raise CannotReplay(kind)
        outputs = [one.clone() for one in run_node(node_class(kind), inputs)]
        pages = self._pages_of(file_of(self._prompt, number, self._host))
        if kind != "LoadImageMask" or inputs.get("channel") != "alpha":
            shown = outputs[0]
            hidden = [page.hidden for page in pages]
            if any(one.shape != tuple(shown.shape[1:3]) for one in hidden) or not hidden:
                raise CannotReplay(kind)
            if len(hidden) != len(shown):
                hidden = [np.logical_or.reduce(hidden)] * len(shown)
            shown[torch.from_numpy(np.stack(hidden)).to(shown.device)] = float(fill)
        return outputs

    def _film(self, number: str, fill: int) -> torch.Tensor:
        """One picture for all of a film, that hides what any of them does."""
        pages = self._pages_of(file_of(self._prompt, number, self._host))
        if not pages or pages[0].colours is None:
            raise CannotReplay(number)
        picture = torch.tensor(pages[0].colours).float()[None] / 255
        picture[0, torch.from_numpy(np.logical_or.reduce([page.hidden for page in pages]))] = float(fill)
        return picture


def _seen(share: torch.Tensor) -> np.ndarray:
    """Where so much of something hidden is in a picture that it can be seen: bool [B, H, W].

    Args:
        share: float [B, H, W], 0..1.
    """
    strong = share > _SHINES
    weak = (share > CLEAR) & (share < 1 - CLEAR)
    if not weak.any():
        return strong.numpy()
    strong = _grown(strong, 2 * _RINGS + 1)
    inside = ~_grown(share <= CLEAR, _WIDTH)
    return (strong | (_grown(inside, _WIDTH) & (share > CLEAR))).numpy()


def _grown(mask: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(mask[:, None].float(), width, 1, width // 2)[:, 0] > 0
