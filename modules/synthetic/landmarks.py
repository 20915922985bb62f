"""The 68 iBUG points of a synthetic face, from the curves that it is painted with."""

from __future__ import annotations

import torch

from .features import Features
from .geometry import Head, Pose

_JAW_HEIGHTS = (0.0, -0.16, -0.33, -0.50, -0.66, -0.80, -0.91, -0.98)  # of the chin's depth, from the ear down


def place_landmarks(features: Features, head: Head, pose: Pose) -> torch.Tensor:
    """Where the 68 iBUG points of a face are in its picture, visible or not.

    Args:
        features: the curves of the face.
        head: its surface; the jaw's points are the head's edge as seen from its own front.
        pose: where the head is.

    Returns:
        Float [B, 68, 2], -1..1, x to the right before y down.
    """
    count = len(head.width)

    def row(*values: float) -> torch.Tensor:
        return torch.tensor(values, device=head.width.device, dtype=torch.float32).expand(count, 1, 1, len(values))

    def both(x: torch.Tensor, y: torch.Tensor) -> tuple[list, list]:
        """A curve of the right side as the left one (mirrored, outer end first) and the right one."""
        return [-x.flip(-1), x], [y.flip(-1), y]

    jaw_y = row(*_JAW_HEIGHTS) * head.chin
    share = (jaw_y / head.chin).square()
    jaw_x = head.width_at(jaw_y) * (1 - share * (0.35 + 0.65 * share)).clamp_min(0).sqrt() * 0.985
    xs = [-jaw_x, row(0.0), jaw_x.flip(-1)]
    ys = [jaw_y, -0.995 * head.chin, jaw_y.flip(-1)]
    brow_x, brow_y = both(*features.brow(row(-0.95, -0.5, 0.0, 0.5, 0.95)))
    root = features.identity.eye_height + 0.03
    tip = head.tip_y - 0.02
    bridge_y = torch.lerp(root, tip, row(0.0, 1 / 3, 2 / 3, 1.0))
    wing = features.identity.nose_width
    base_x = torch.cat([-0.85 * wing, -0.42 * wing, 0 * wing, 0.42 * wing, 0.85 * wing], -1)
    base_y = tip - 0.05 + row(0.03, 0.01, 0.0, 0.01, 0.03)
    xs += [*brow_x, row(0.0, 0.0, 0.0, 0.0), base_x]
    ys += [*brow_y, bridge_y, base_y]
    # each eye from its left corner over the upper lid
    upper_u, lower_u = row(-1.0, -0.36, 0.36, 1.0), row(0.36, -0.36)
    heights = torch.cat([features.lids(upper_u)[0], features.lids(lower_u)[1]], -1)
    eye_x, eye_y = features.eye_point(torch.cat([upper_u, lower_u], -1), heights)
    mirrored = [3, 2, 1, 0, 5, 4]
    xs += [-eye_x[..., mirrored], eye_x]
    ys += [eye_y[..., mirrored], eye_y]
    # outer lips clockwise from the left corner, then inner lips
    over, under = row(-1.0, -0.6, -0.25, 0.0, 0.25, 0.6, 1.0), row(0.6, 0.25, 0.0, -0.25, -0.6)
    inner_over, inner_under = row(-0.9, -0.25, 0.0, 0.25, 0.9), row(0.25, 0.0, -0.25)
    for u, curve in ((over, 0), (under, 3), (inner_over, 1), (inner_under, 2)):
        xs.append(u * features.mouth_width)
        ys.append(features.mouth(u)[curve])
    x = torch.cat([value.expand(count, 1, 1, -1) for value in xs], -1)
    y = torch.cat([value.expand(count, 1, 1, -1) for value in ys], -1)
    screen_x, screen_y = pose.project(head.on_front(x, y))
    return torch.stack([screen_x, -screen_y], -1)[:, 0, 0]


def five_points(landmarks: torch.Tensor) -> torch.Tensor:
    """The middles of the eyes (of six points each), the tip of the nose and the corners of the mouth.

    Args:
        landmarks: [B, 68, 2], iBUG's.

    Returns:
        [B, 5, 2] in the same coordinates; of eyes and corners the left one of the picture first.
    """
    left, right = landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)
    return torch.stack([left, right, landmarks[:, 30], landmarks[:, 48], landmarks[:, 54]], 1)
