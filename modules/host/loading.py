"""What Load Image of this ComfyUI gives of a file, and what of it the file hides. Touches the host: runs its node.

Hosts differ: one mirrors and turns a picture as EXIF says, another turns it alone, and of some formats they do not know
the alpha. So the node is run, and what the format says beyond its mask is laid over what it gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comfy_api.latest import _io as sockets
from comfy_api.latest import io

from ..faces.placing import to_square
from ..photos.alpha import CLEAR
from ..photos.hidden import Page, UnknownAlpha, names_alpha, read_pages
from ..photos.reading import upright
from .origins import node_class

_ANOTHER = 0.15  # of mean difference, from which what the host gave is another picture than the format says
_TIE = 1 / 255  # ... up to which two directions are as good


def run_node(kind: type, inputs: Mapping[str, Any]) -> Sequence[Any]:
    """The outputs of a node, called as the host calls it.

    Args:
        kind: its class.
        inputs: by name, as in a prompt; others than its own are left out.
    """
    if issubclass(kind, io.ComfyNode):
        valid, _, more = sockets.get_finalized_class_inputs(kind.INPUT_TYPES(), dict(inputs))
        names = {*valid.get("required", {}), *valid.get("optional", {})}
        known = sockets.build_nested_inputs({name: value for name, value in inputs.items() if name in names}, more)
        return kind.PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED(**known).args
    types = kind.INPUT_TYPES()
    names = {*types.get("required", {}), *types.get("optional", {})}
    node: Any = kind()
    return getattr(node, node.FUNCTION)(**{name: value for name, value in inputs.items() if name in names})


def read_hidden(file: Path, compared: bool = False) -> list[Page]:
    """The pictures of a photo as Load Image gives them, with what the file hides; none where it has no alpha.

    Args:
        file: of whatever name.
        compared: read the colours of one without alpha, too, and all of one with.

    Raises:
        Exception: nobody can read it, or what it hides.
    """
    own, broken = None, None
    try:
        own = read_pages(file)
        if not own:  # it surely hides nothing, wherever it is turned to
            return read_pages(file, True) if compared else []
    except UnknownAlpha:
        raise
    except Exception as error:  # of a broken file Pillow raises what it comes upon
        broken = error
    if own is not None and not compared and any(page.hidden.any() for page in own):
        return own
    try:
        shown = _loaded(file)
    except Exception as error:  # of any version of the host
        if own is None:
            raise broken or error from error
        return own
    if own is None:
        if names_alpha(file):
            raise UnknownAlpha(f"it has an alpha channel that nobody here can look into: {broken}")
        return shown
    if len(own) != len(shown) and len(shown) > 1:
        own = [page._replace(hidden=_united(own, page)) for page in own[:1]] * len(shown)
    return [*(_laid_over(one, there) for one, there in zip(own, shown, strict=False)), *own[len(shown) :]]


def _loaded(file: Path) -> list[Page]:
    images, masks = run_node(node_class("LoadImage"), {"image": str(file.resolve())})[:2]
    levels = (images[..., :3].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    clear = np.zeros(levels.shape[:3], bool)
    if tuple(masks.shape) == clear.shape:  # else it knows of no alpha, and gives a small mask of nothing
        clear = (masks >= 1 - CLEAR).cpu().numpy()
    return [Page(hidden, colours) for hidden, colours in zip(clear, levels, strict=True)]


def _united(pages: Sequence[Page], like: Page) -> np.ndarray:
    return np.logical_or.reduce([page.hidden for page in pages if page.hidden.shape == like.hidden.shape])


def _laid_over(own: Page, shown: Page) -> Page:
    """What the host gave, with what the format hides there beyond the host's own mask.

    Raises:
        ValueError: it is another picture.
    """
    if own.colours is None or shown.colours is None or own.hidden.sum() <= shown.hidden.sum():
        return shown
    there, here = (to_square(torch.tensor(one.colours).float() / 255) for one in (shown, own))
    off = {
        way: float(np.abs(upright(here, way) - there).mean())
        for way in range(1, 9)
        if upright(own.hidden, way).shape == shown.hidden.shape
    }
    best = min(off.values(), default=1.0)
    if best > _ANOTHER:
        raise ValueError("ComfyUI shows another picture of it than its format says")
    ways = [upright(own.hidden, way) for way, much in off.items() if much <= best + _TIE]
    return shown._replace(hidden=np.logical_or.reduce([shown.hidden, *ways]))
