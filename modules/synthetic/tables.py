"""The parameters of a synthetic face: names, natural ranges, units, meanings.

Lengths are in head units: half the side of the picture at a framing scale of 1. Half a face is about 0.65 wide. The
head's frame has its origin between the eyes of an average face on the axis of the head: x to the right of the picture,
y up, z out of the picture. "Left" and "right" are those of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One number of a face.

    Attributes:
        name: unique among identities and attributes.
        low: the natural value that is normalised to -1; in between it is linear.
        high: the natural value that is normalised to 1.
        unit: of the natural values.
        group: what of the face it belongs to.
        meaning: what it does, in words.
        absent: the share of drawn faces that have exactly `low` (no glasses, no beard); the others are uniform over the
            whole range.
    """

    name: str
    low: float
    high: float
    unit: str
    group: str
    meaning: str
    absent: float = 0.0


def _group(group: str, *rows: tuple) -> list[Parameter]:
    return [Parameter(name, low, high, unit, group, meaning, *rest) for name, low, high, unit, meaning, *rest in rows]


_LENGTH, _SHARE, _ANGLE = "head units", "share", "degrees"

IDENTITY: tuple[Parameter, ...] = (
    *_group(
        "head",
        ("head_width", 0.54, 0.70, _LENGTH, "half the width of the skull at the eyes"),
        ("head_height", 0.72, 0.90, _LENGTH, "from the eyes to the top of the skull"),
        ("face_length", 0.83, 1.05, _LENGTH, "from the eyes to the chin"),
        ("forehead_width", -0.14, 0.12, _SHARE, "added width of the forehead"),
        ("cheek_width", -0.08, 0.16, _SHARE, "added width of the cheeks"),
        ("jaw_width", -0.30, 0.12, _SHARE, "added width of the jaw"),
        ("chin_width", -0.30, 0.24, _SHARE, "added width of the chin"),
        ("cheek_fullness", -0.03, 0.13, _LENGTH, "how far the cheeks stand out"),
        ("ear_size", 0.11, 0.25, _LENGTH, "half the height of an ear"),
        ("ear_spread", 0.00, 0.12, _LENGTH, "how far the ears stand out"),
    ),
    *_group(
        "skin",
        ("skin_melanin", 0.0, 1.0, _SHARE, "from very light to very dark"),
        ("skin_redness", -1.0, 1.0, _SHARE, "pale to rosy"),
        ("skin_yellowness", -1.0, 1.0, _SHARE, "cool to golden"),
        ("blush", 0.0, 1.0, _SHARE, "red of cheeks and nose"),
        ("freckles", 0.0, 1.0, _SHARE, "strength of the freckles over nose and cheeks", 0.6),
        ("mole_size", 0.0, 0.055, _LENGTH, "radius of the mole", 0.5),
        ("mole_x", -0.42, 0.42, _LENGTH, "place of the mole"),
        ("mole_y", -0.68, -0.10, _LENGTH, "place of the mole"),
        ("wrinkles", 0.0, 1.0, _SHARE, "depth of the lines of forehead, eyes and cheeks", 0.3),
    ),
    *_group(
        "eyes",
        ("eye_size", 0.12, 0.178, _LENGTH, "half the width of an eye"),
        ("eye_roundness", 0.46, 0.82, _SHARE, "height of an open eye for its width"),
        ("eye_spacing", 0.235, 0.305, _LENGTH, "from the middle of the face to that of an eye"),
        ("eye_height", -0.06, 0.06, _LENGTH, "height of the eyes"),
        ("eye_tilt", -12.0, 16.0, _ANGLE, "outer corners raised"),
        ("iris_hue", 0.0, 1.0, _SHARE, "brown, amber, green, blue"),
        ("iris_lightness", 0.4, 2.0, _SHARE, "dark to light"),
    ),
    *_group(
        "brows",
        ("brow_thickness", 0.013, 0.058, _LENGTH, "half the thickness at the inner end"),
        ("brow_height", 0.145, 0.265, _LENGTH, "above the eyes"),
        ("brow_angle", -16.0, 19.0, _ANGLE, "outer ends raised"),
        ("brow_arch", -0.02, 0.075, _LENGTH, "height of the arch"),
        ("brow_length", 0.12, 0.21, _LENGTH, "half the length"),
        ("brow_darkness", 0.4, 1.0, _SHARE, "how much it covers the skin"),
    ),
    *_group(
        "nose",
        ("nose_width", 0.085, 0.185, _LENGTH, "half the width at the wings"),
        ("nose_length", 0.21, 0.37, _LENGTH, "from the eyes to the tip"),
        ("nose_bridge", 0.00, 0.15, _LENGTH, "height of the bridge"),
        ("nose_tip", 0.08, 0.27, _LENGTH, "height of the tip"),
    ),
    *_group(
        "mouth",
        ("mouth_width", 0.16, 0.29, _LENGTH, "half the width"),
        ("mouth_height", 0.49, 0.59, _LENGTH, "from the eyes to the mouth"),
        ("upper_lip", 0.020, 0.092, _LENGTH, "thickness"),
        ("lower_lip", 0.028, 0.115, _LENGTH, "thickness"),
        ("lip_redness", 0.0, 1.0, _SHARE, "from skin-coloured to red"),
        ("lip_lightness", 0.5, 1.25, _SHARE, "dark to light"),
    ),
    *_group(
        "hair",
        ("hair_length", -0.15, 1.15, _LENGTH, "how far below the eyes it reaches at the sides", 0.25),
        ("hair_volume", 0.03, 0.22, _LENGTH, "thickness at the sides"),
        ("hair_top", 0.03, 0.20, _LENGTH, "thickness at the top"),
        ("hairline", 0.38, 0.72, _LENGTH, "height of the hairline above the eyes"),
        ("hairline_width", 0.46, 0.66, _LENGTH, "half the width of the face that the hair leaves free"),
        ("hair_fringe", 0.0, 0.27, _LENGTH, "how far a fringe hangs down", 0.35),
        ("hair_parting", -0.35, 0.35, _LENGTH, "place of the parting"),
        ("hair_sweep", -0.5, 0.5, "slope", "the hairline rises to the right"),
        ("hair_waves", 0.0, 0.055, _LENGTH, "height of its waves"),
        ("hair_melanin", 0.0, 1.0, _SHARE, "blond to black"),
        ("hair_redness", 0.0, 1.0, _SHARE, "ash to red"),
        ("hair_grey", 0.0, 1.0, _SHARE, "share of grey", 0.75),
    ),
    *_group(
        "beard",
        ("beard_density", 0.0, 1.0, _SHARE, "of the beard, stubble to full", 0.6),
        ("beard_extent", -0.08, 0.42, _LENGTH, "from a chin beard to one up to the cheeks"),
        ("moustache", 0.0, 1.0, _SHARE, "density of the moustache", 0.6),
    ),
)

ATTRIBUTES: tuple[Parameter, ...] = (
    *_group(
        "pose",
        ("yaw", -35.0, 35.0, _ANGLE, "turned to the right"),
        ("pitch", -20.0, 20.0, _ANGLE, "raised"),
        ("roll", -15.0, 15.0, _ANGLE, "tilted clockwise"),
    ),
    *_group(
        "expression",
        ("gaze_x", -28.0, 28.0, _ANGLE, "eyes to the right, relative to the head"),
        ("gaze_y", -16.0, 16.0, _ANGLE, "eyes up, relative to the head"),
        ("eye_opening", 0.1, 1.15, _SHARE, "all but closed to wide"),
        ("mouth_opening", 0.0, 1.0, _SHARE, "closed to wide open", 0.25),
        ("smile", -0.6, 1.0, _SHARE, "corners of the mouth down or up"),
        ("brow_raise", -0.45, 1.0, _SHARE, "brows lowered or raised"),
    ),
    *_group(
        "light",
        ("light_azimuth", -65.0, 65.0, _ANGLE, "light from the right"),
        ("light_elevation", -15.0, 60.0, _ANGLE, "light from above"),
        ("light_strength", 0.45, 1.0, _SHARE, "of the directed light"),
        ("light_warmth", -1.0, 1.0, _SHARE, "blue to orange"),
        ("ambient", 0.22, 0.50, _SHARE, "light from everywhere"),
    ),
    *_group(
        "background",
        ("background_red_1", 0.05, 0.95, _SHARE, "first colour"),
        ("background_green_1", 0.05, 0.95, _SHARE, "first colour"),
        ("background_blue_1", 0.05, 0.95, _SHARE, "first colour"),
        ("background_red_2", 0.05, 0.95, _SHARE, "second colour, at the other end of the gradient"),
        ("background_green_2", 0.05, 0.95, _SHARE, "second colour"),
        ("background_blue_2", 0.05, 0.95, _SHARE, "second colour"),
        ("background_red_3", 0.05, 0.95, _SHARE, "third colour, of the shapes"),
        ("background_green_3", 0.05, 0.95, _SHARE, "third colour"),
        ("background_blue_3", 0.05, 0.95, _SHARE, "third colour"),
        ("background_angle", -90.0, 90.0, _ANGLE, "direction of the gradient and of the stripes"),
        ("background_blob_x", -1.0, 1.0, _LENGTH, "place of the round shape"),
        ("background_blob_y", -0.9, 0.9, _LENGTH, "place of the round shape"),
        ("background_blob_size", 0.15, 0.7, _LENGTH, "radius of the round shape"),
        ("background_stripes", 0.0, 0.8, _SHARE, "strength of the stripes"),
        ("background_frequency", 2.0, 9.0, "1 / head unit", "angular frequency of the stripes"),
        ("background_phase", -120.0, 120.0, _ANGLE, "place of the stripes"),
    ),
    *_group(
        "clothing",
        ("clothing_red", 0.03, 0.9, _SHARE, "colour"),
        ("clothing_green", 0.03, 0.9, _SHARE, "colour"),
        ("clothing_blue", 0.03, 0.9, _SHARE, "colour"),
        ("collar_depth", -0.05, 0.28, _LENGTH, "how low the collar is cut"),
        ("collar_shape", 0.0, 1.0, _SHARE, "round to pointed"),
    ),
    *_group(
        "glasses",
        ("glasses", 0.0, 1.0, _SHARE, "opacity of frame and glass; full from 0.55", 0.7),
        ("glasses_size", 0.17, 0.235, _LENGTH, "half the width of a glass"),
        ("glasses_roundness", 0.15, 1.0, _SHARE, "rectangular to round"),
        ("glasses_thickness", 0.012, 0.028, _LENGTH, "half the thickness of the frame"),
        ("glasses_lightness", 0.02, 0.75, _SHARE, "dark to light"),
        ("glasses_hue", -1.0, 1.0, _SHARE, "blue to red"),
    ),
    *_group(
        "framing",
        ("shift_x", -0.07, 0.07, _LENGTH, "the head moved to the right"),
        ("shift_y", -0.07, 0.07, _LENGTH, "the head moved up"),
        ("scale", 0.90, 1.06, "factor", "size of the head"),
    ),
)
