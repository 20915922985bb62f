"""A group picture and a portrait of synthetic people: what the demo model is shown, tested and timed on."""

from __future__ import annotations

import torch
from PIL import Image

from face_anonymizer.modules.synthetic import geometry, parameters, renderer, scene, shading, tables

SEED = 3  # the demo's training has others, so that it has seen none of these people
WIDTH, HEIGHT = 900, 600
SIDE = 360  # of the square that a person is rendered in
# Light and room are shared. Values are normalised; heads are smaller than any that are drawn, so that hair is whole.
_SHARED = {"light_azimuth": -0.4, "light_elevation": 0.2, "light_strength": 0.3, "ambient": 0.5, "scale": -4.2}
_ROOM = {
    **{"background_red_1": -0.2, "background_green_1": 0.05, "background_blue_1": 0.2, "background_angle": 0.8},
    **{"background_red_2": -0.55, "background_green_2": -0.4, "background_blue_2": -0.25, "background_stripes": -1.0},
    **{"background_red_3": 0.3, "background_green_3": 0.25, "background_blue_3": 0.1, "background_blob_size": -1.0},
}
# Number of the identity, left upper corner of its square, and what is its own; those behind come first.
_PEOPLE = (
    (10, (58, 10), {"yaw": 0.3, "smile": 0.6, "gaze_x": -0.2, "clothing_red": 0.4, "clothing_blue": -0.6}),
    (11, (270, 0), {"yaw": -0.05, "smile": 0.3, "glasses": -1, "clothing_blue": 0.3, "clothing_red": -0.7}),
    (23, (478, 14), {"yaw": -0.35, "smile": 0.8, "roll": 0.2, "clothing_green": 0.2, "clothing_red": -0.5}),
    (19, (155, 222), {"yaw": 0.2, "smile": 0.2, "mouth_opening": 0.1, "clothing_red": 0.7, "clothing_green": 0.2}),
    (22, (400, 226), {"yaw": -0.2, "smile": 0.9, "glasses": 1, "glasses_lightness": -0.8, "clothing_green": 0.6}),
)
_PORTRAIT = 15


def make_group() -> Image.Image:
    """Five people before one wall, 900x600; always the same picture."""
    picture = _wall()
    for number, (left, top), own in _PEOPLE:
        rendered = renderer.render(parameters.sample_identities([number], SEED), _attributes(own), SIDE)
        cover = 1 - rendered.background_mask[0, ..., None]
        # The square cuts them off at the chest: its last row goes on to the lower edge of the picture.
        rows = torch.arange(HEIGHT - top).clamp_max(SIDE - 1)
        part = picture[top:, left : left + SIDE]
        part.copy_(torch.lerp(part, rendered.images[0, rows], cover[rows]))
    return to_image(picture)


def make_portrait(side: int = 256) -> Image.Image:
    """Another person, framed as the crops of faces are."""
    attributes = _attributes({"yaw": 0.15, "smile": 0.5, "scale": 0.0, "clothing_blue": 0.5})
    return to_image(renderer.render(parameters.sample_identities([_PORTRAIT], SEED), attributes, side).images[0])


def to_image(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray((picture * 255).round().byte().numpy())


def _attributes(own: dict[str, float]) -> parameters.Parameters:
    plain = parameters.Parameters.average(tables.ATTRIBUTES).replace(eye_opening=0.6, mouth_opening=-1, **_ROOM)
    return plain.replace(**(_SHARED | own))


def _wall() -> torch.Tensor:
    x, y = torch.meshgrid(torch.linspace(-1, 1, WIDTH), torch.linspace(1, -1, HEIGHT), indexing="xy")
    attributes = geometry.columns(_attributes({}))
    linear = scene.background(attributes, x[None, None], y[None, None], torch.tensor(2 / WIDTH))
    return shading.to_picture(linear)[0].permute(1, 2, 0).contiguous()
