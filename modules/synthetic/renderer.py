"""Pictures of synthetic faces, with their exact truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .features import Features
from .geometry import Head, Pose, View, columns, dot
from .hair import Hair
from .landmarks import five_points, place_landmarks
from .parameters import Parameters
from .scene import Body, background, ears, glasses
from .shading import Light, colour, cover, smoothstep, to_picture
from .tables import ATTRIBUTES, IDENTITY

# Pixels that are rendered at once: on a CPU what its cache holds, on a GPU what keeps it busy in 1 to 2 GiB.
_CPU_PIXELS = 1 << 16
_GPU_PIXELS = 1 << 22
MAX_SIZE = 4096


@dataclass(frozen=True)
class Rendered:
    """B pictures and their exact truth. Points count from the centre of the first pixel.

    Attributes:
        images: float32 [B, S, S, 3], 0..1.
        landmarks: float32 [B, 68, 2], iBUG's points in pixels, x before y, whether visible or not.
        points: float32 [B, 5, 2], in pixels: middles of the eyes (the left one of the picture first), tip of the nose,
            corners of the mouth.
        face_mask: float32 [B, S, S], 0..1, the skin of the face, without ears and without what hair covers.
        hair_mask: float32 [B, S, S], 0..1, the hair.
        background_mask: float32 [B, S, S], 0..1, what neither person nor clothing covers.
    """

    images: torch.Tensor
    landmarks: torch.Tensor
    points: torch.Tensor
    face_mask: torch.Tensor
    hair_mask: torch.Tensor
    background_mask: torch.Tensor


@torch.no_grad()
def render(
    identity: Parameters, attributes: Parameters, size: int = 128, device: torch.device | str | None = None
) -> Rendered:
    """Render one picture a row: face i has identity i under attributes i. Any size shows the same face.

    Args:
        identity: [B] identities, or one that serves all attributes.
        attributes: [B] attributes, or one row that serves all identities.
        size: side of the pictures in pixels, 16 to 4096.
        device: where to render and leave the results; None is where the identity's values are.

    Raises:
        ValueError: parameters of other tables, numbers of rows that do not fit, values that are not finite, or another
            size.
    """
    if identity.table != IDENTITY or attributes.table != ATTRIBUTES:
        raise ValueError("render takes identities first and attributes second: see sample_identities.")
    count = max(len(identity), len(attributes)) if len(identity) and len(attributes) else 0
    if {len(identity), len(attributes)} - {1, count}:
        raise ValueError(
            f"{len(identity)} identities do not fit {len(attributes)} attributes: give equal numbers, or one of either."
        )
    if not 16 <= size <= MAX_SIZE:
        raise ValueError(f"Pictures have a side of 16 to {MAX_SIZE} pixels, not {size}.")
    device = torch.device(device) if device is not None else identity.values.device
    identity, attributes = identity.to(device), attributes.to(device)
    if not (identity.values.isfinite().all() and attributes.values.isfinite().all()):
        raise ValueError("Parameters of a face must be finite numbers: check the values that were set.")
    at_once = max(1, (_CPU_PIXELS if device.type == "cpu" else _GPU_PIXELS) // size**2)
    parts = []
    for start in range(0, count, at_once):
        rows = slice(start, min(start + at_once, count))
        of_person, of_scene = (Parameters(p.table, p.values.expand(count, -1)[rows]) for p in (identity, attributes))
        parts.append(_render(of_person, of_scene, size))
    if not parts:
        shapes = ((size, size, 3), (68, 2), (5, 2), *[(size, size)] * 3)
        return Rendered(*(torch.zeros((0, *shape), device=device) for shape in shapes))
    return Rendered(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _render(identity_values: Parameters, attribute_values: Parameters, size: int) -> tuple[torch.Tensor, ...]:
    identity, attributes = columns(identity_values), columns(attribute_values)
    pose, light = Pose(attributes), Light(attributes)
    head = Head(identity, attributes)
    features, hair = Features(identity, attributes, head), Hair(identity)
    centres = (torch.arange(size, device=identity_values.values.device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    screen_x, screen_y = centres[None, None, None, :], -centres[None, None, :, None]
    screen_x, screen_y = screen_x.expand(1, 1, size, size), screen_y.expand(1, 1, size, size)
    on_screen = torch.full_like(pose.scale, 2 / size)
    pixel = on_screen / pose.scale
    origin, ray = pose.rays(screen_x, screen_y)
    up = pose.to_head((0 * pose.scale, 0 * pose.scale + 1, 0 * pose.scale))
    view = View(origin, ray, pose.to_head(light.direction), up, pixel)

    hair_front, hair_mask, hair_behind, behind_mask = hair.front(view, light)
    point, outline = head.trace(origin, ray)
    normal = head.normal(point)
    painted = features.paint(point, normal, view)
    shadow = hair.shadow(point[0], point[1])
    frame_colour, frame, glass = glasses(identity, attributes, features.eye_z, view, (point, outline))
    # the underside of the jaw gets little light from around
    below = smoothstep(-dot(painted.normal, up), 0.1, 0.9)
    shaded = replace(painted, occlusion=painted.occlusion * shadow * (1 - 0.5 * below))
    face = light.shade(shaded, dot(painted.normal, up), view.light, ray, power=4)
    face = face * (0.55 + 0.45 * shadow) * (0.72 + 0.28 * painted.occlusion)
    head_mask = cover(outline, pixel)

    picture = background(attributes, screen_x, screen_y, on_screen)
    picture = torch.lerp(picture, hair_behind, behind_mask)
    picture, body_mask = Body(identity, attributes, head, pose).over(picture, light, screen_x, screen_y, on_screen)
    ear, ear_mask = ears(identity, head, view, light)
    picture = torch.lerp(picture, ear, ear_mask)
    picture = torch.lerp(picture, face, head_mask)
    picture = torch.lerp(picture, picture * 0.86 + 0.02, glass * 0.8)
    picture = torch.lerp(picture, frame_colour + colour(0.01, 0.01, 0.01, frame), frame)
    picture = torch.lerp(picture, hair_front, hair_mask)

    not_hair = 1 - hair_mask
    uncovered = (1 - body_mask) * (1 - ear_mask) * (1 - head_mask)
    background_mask = uncovered * (1 - behind_mask) * (1 - glass) * (1 - frame) * not_hair
    landmarks = (place_landmarks(features, head, pose) * 0.5 + 0.5) * size - 0.5
    return (
        to_picture(picture).permute(0, 2, 3, 1).contiguous(),
        landmarks,
        five_points(landmarks),
        (head_mask * not_hair)[:, 0],
        (hair_mask + not_hair * behind_mask * uncovered)[:, 0],
        background_mask[:, 0],
    )
