"""Before and after in one picture, for the eye."""

from __future__ import annotations

import torch

BESIDE, ABOVE = "side by side", "one above the other"
LAYOUTS = AUTO, *_ = ("auto", BESIDE, ABOVE)
_GAP = 100  # the line between the two is so many times narrower than the longer side


def before_and_after(before: torch.Tensor, after: torch.Tensor, layout: str = AUTO) -> torch.Tensor:
    """Each picture of a batch and what became of it, with a white line between.

    Args:
        before: float [B, H, W, C], 0..1, C = 3 or 4.
        after: of the same size.
        layout: one of LAYOUTS; AUTO puts wide pictures one above the other.

    Returns:
        float32 [B, H', W', 3], 0..1.

    Raises:
        ValueError: pictures of different sizes.
    """
    if before.shape[:3] != after.shape[:3]:
        sizes = [f"{len(images)} of {images.shape[2]}x{images.shape[1]}" for images in (before, after)]
        raise ValueError(f"before has {sizes[0]} pixels, after {sizes[1]}: connect a picture and what became of it.")
    if layout not in LAYOUTS:
        raise ValueError(f"layout is one of {', '.join(LAYOUTS)}; got {layout!r}.")
    height, width = before.shape[1:3]
    along = 1 if layout == ABOVE or (layout == AUTO and width > height) else 2
    shape = [len(before), height, width, 3]
    shape[along] = max(2, max(height, width) // _GAP)
    first, second = (images[..., :3].float().to(after.device) for images in (before, after))
    return torch.cat([first, first.new_ones(shape), second], dim=along)
