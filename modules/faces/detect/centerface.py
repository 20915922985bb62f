"""CenterFace, the face detector that ships with the pack, as a torch module.

Source of the architecture and the weights: CenterFace (Xu et al., arXiv 1911.03599; code Star-Clouds/CenterFace,
MIT), read from the graph of the published `centerface_bnmerged.onnx`: a MobileNetV2 backbone, a feature pyramid of 24
channels, four 1x1 heads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from .in_parts import Chain, in_parts
from .weights import MODELS, load_weights

WEIGHTS = MODELS / "centerface.safetensors"
STRIDE = 4  # input pixels per output cell
SIZE_MULTIPLE = 32  # the backbone halves its input five times and the pyramid adds the levels up again

# Devices on which each pixel's channels lie side by side: the filters of one channel are several times as fast then.
_CHANNELS_LAST = ("cpu",)
# oneDNN filters and cuts off at 0, or adds to what is there, in one walk over memory; not every build of torch has it.
_FUSES = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
_PYRAMID_WIDTH = 24
# MobileNetV2 (Sandler et al. 2018, table 2): expansion, width, blocks, stride of the first block
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
TAPS = (1, 2, 4, 6)  # the last stage of strides 4, 8, 16 and 32


def channels_side_by_side(x: torch.Tensor) -> torch.Tensor:
    """A batch [B, C, H, W] with each pixel's channels side by side, where filters are faster so."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type in _CHANNELS_LAST else x


def _on_processor(x: torch.Tensor) -> bool:
    return x.device.type in _CHANNELS_LAST and not torch.is_grad_enabled() and x.dtype == torch.float32


def _is_fused(x: torch.Tensor) -> bool:
    return _FUSES and _on_processor(x)


def _filter(layer: nn.Conv2d, x: torch.Tensor, *, relu: bool = False, onto: torch.Tensor | None = None) -> torch.Tensor:
    """A convolution, and what follows it.

    Args:
        layer: its weights.
        x: float32 [B, C, H, W].
        relu: cut off below 0.
        onto: the result is added to it, in place.
    """
    if not _is_fused(x):
        y = layer(x)
        return F.relu_(y) if relu else y if onto is None else onto.add_(y)
    shape = list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups
    if onto is not None:
        add = torch.ops.mkldnn._convolution_pointwise_.binary
        return add(onto, x, layer.weight, layer.bias, *shape, "add", 1.0, None, [], None)
    apply = torch.ops.mkldnn._convolution_pointwise
    return apply(x, layer.weight, layer.bias, *shape, "relu" if relu else "none", [], "")


class _InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, project by 1x1 without activation; the input is added where it fits."""

    def __init__(self, width_in: int, width_out: int, expansion: int, stride: int):
        super().__init__()
        wide = width_in * expansion
        self.expand = nn.Conv2d(width_in, wide, 1) if expansion != 1 else None
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide)
        self.project = nn.Conv2d(wide, width_out, 1)
        self.residual = stride == 1 and width_in == width_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if _is_fused(x):
            wide, stride = self.depthwise.out_channels, self.depthwise.stride[0]
            after = 1 if stride == 1 else 0  # with a stride of 2 the last filter ends at the part's last row
            chain = Chain(self._filtered, self.project.out_channels, stride, 1, after, 4 * wide * stride**2)
            return in_parts(chain, x, residual=self.residual)
        y = self._widened(x)
        return _filter(self.project, y, onto=x if self.residual else None)

    def _widened(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else _filter(self.expand, x, relu=True)
        return _filter(self.depthwise, y, relu=True)

    def _filtered(self, x: torch.Tensor) -> torch.Tensor:
        return _filter(self.project, self._widened(x))


class _Merge(nn.Module):
    """Double the coarse pyramid level and add the finer backbone level."""

    def __init__(self, lateral_width: int):
        super().__init__()
        self.up = nn.ConvTranspose2d(_PYRAMID_WIDTH, _PYRAMID_WIDTH, 2, 2)
        self.lateral = nn.Conv2d(lateral_width, _PYRAMID_WIDTH, 1)

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        return F.relu_(self.up(coarse)).add_(_filter(self.lateral, fine, relu=True))


class CenterFace(nn.Module):
    """The network of 1.8 M parameters. Parameters are registered in the order in which the ONNX graph uses them.

    `integers` may be set to what computes all up to the heads in integers, for `rough`: centerface_int8.py.
    """

    def __init__(self):
        super().__init__()
        self.integers: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        stages, width, tap_widths = [], 32, []
        for index, (expansion, width_out, blocks, stride) in enumerate(_STAGES):
            stage = []
            for block in range(blocks):
                stage.append(_InvertedResidual(width, width_out, expansion, stride if block == 0 else 1))
                width = width_out
            stages.append(nn.Sequential(*stage))
            if index in TAPS:
                tap_widths.append(width)
        self.stages = nn.ModuleList(stages)
        self.top = nn.Conv2d(tap_widths[3], _PYRAMID_WIDTH, 1)
        self.merges = nn.ModuleList(_Merge(tap_widths[level]) for level in (2, 1, 0))
        self.smooth = nn.Conv2d(_PYRAMID_WIDTH, _PYRAMID_WIDTH, 3, 1, 1)
        self.heatmap = nn.Conv2d(_PYRAMID_WIDTH, 1, 1)
        self.scale = nn.Conv2d(_PYRAMID_WIDTH, 2, 1)
        self.offset = nn.Conv2d(_PYRAMID_WIDTH, 2, 1)
        self.landmarks = nn.Conv2d(_PYRAMID_WIDTH, 10, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Heatmap, scale, offset and landmarks of a batch of pictures.

        Args:
            x: float32 [B, 3, H, W], RGB, 0..255 (no mean, no division); H and W multiples of 32.

        Returns:
            Each at stride 4 ([B, n, H/4, W/4]): the probability of a face centre (n = 1, 0..1); log of height and width
            over 4 (n = 2); offset of the centre from the cell, y then x, in cells (n = 2); five points as y, x from the
            top left corner of the box in units of its height and width (n = 10).

        Raises:
            ValueError: H or W is no multiple of 32.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % SIZE_MULTIPLE or x.shape[3] % SIZE_MULTIPLE:
            raise ValueError(
                f"CenterFace takes [B, 3, H, W] with H and W multiples of {SIZE_MULTIPLE}, not {list(x.shape)}: "
                "resize the picture first, as detect_faces does."
            )
        return self._heads(self._pyramid(x))

    @property
    def is_rough_faster(self) -> bool:
        """Whether `rough` counts in integers here."""
        return (
            self.integers is not None and self.stem.weight.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        )

    def rough(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """As forward, in a third of the time on a processor that counts in integers: for what is looked at again.

        Args:
            x: as for forward, or uint8.
        """
        counts = self.is_rough_faster and not torch.is_grad_enabled() and x.dtype in (torch.uint8, torch.float32)
        if self.integers is None or not counts:
            return self(x if x.is_floating_point() else x.float())
        return self._heads(self.integers(x))

    def _heads(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        heads = (_filter(head, y) for head in (self.heatmap, self.scale, self.offset, self.landmarks))
        heatmap, scale, offset, landmarks = heads
        return torch.sigmoid(heatmap), scale, offset, landmarks

    def _pyramid(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads get, [B, 24, H/4, W/4]."""
        y = self._first_stage(channels_side_by_side(x))
        taps = []
        for index, stage in enumerate(self.stages):
            y = stage(y) if index else y
            if index in TAPS:
                taps.append(y)
        y = _filter(self.top, taps.pop(), relu=True)
        for merge in self.merges:
            y = merge(y, taps.pop())
        return _filter(self.smooth, y, relu=True)

    def _first_stage(self, x: torch.Tensor) -> torch.Tensor:
        """The stem and the one block that follows it, which has no residual."""
        block = cast(_InvertedResidual, cast(nn.Sequential, self.stages[0])[0])

        def apply(part: torch.Tensor) -> torch.Tensor:
            return block(_filter(self.stem, part, relu=True))

        if not _is_fused(x):
            return apply(x)
        width = self.stem.out_channels
        return in_parts(Chain(apply, block.project.out_channels, 2, 2, 1, 4 * width), x)


def load_centerface(path: str | Path = WEIGHTS) -> CenterFace:
    """CenterFace with its weights, in float32, in eval mode, on the CPU, without gradients.

    Args:
        path: a safetensors file made by tools/convert/centerface.py; by default the one that ships with the pack.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or holds other tensors.
    """
    return load_weights(CenterFace, path, "The face detector's weights", "CenterFace")
