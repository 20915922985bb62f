"""How faces are found, chosen, followed, pasted and covered: every setting, its default and its range, said once.

No torch here: commands and nodes read defaults without loading anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

POSITIONS = ("any", "left", "right", "top", "bottom", "centre")
MASK_MODES = INSIDE, OUTSIDE = ("inside", "outside")
REGIONS = ("crop", "oval", "box")
# The widest feather at which what is pasted covers nine tenths of the face's oval (docs/measured.md, "Coverage").
MOST_FEATHER: dict[str, float] = dict(zip(REGIONS, (0.25, 0.12, 0.05), strict=True))
PARTS = ("eyes", "nose", "mouth")
MODES = ("solid", "mosaic", "blur")
KEEP = "keep"  # the fallback that leaves a face as it is
FALLBACKS = (*MODES, KEEP)
# same noise: every frame is painted by itself, from the person's one start noise. same face: the person's best frame is
# painted once, and that face is swapped onto every frame.
SAME_NOISE, SAME_FACE = IDENTITIES = ("same noise", "same face")
SHAPES = ("ellipse", "box", "oval", "crop")  # the best for redaction first
DETAIL_RANGE = (2, 32)
MAX_SMOOTHING = 30.0  # frames; beyond it the smoother's equations lose their precision


@dataclass(frozen=True)
class DetectSettings:
    """What counts as a face; see detect_faces.

    Args:
        min_score: the least confidence, 0..1.
        max_faces: so many of the best in each picture; 0: all.
        thorough: search in overlapping tiles too, for small and turned faces.
        points: of a clip's faces, place the five points exactly, as crops for painting need them; without, they are
            the detector's own, which is enough for covering, and faster.

    Raises:
        ValueError: a setting is out of range.
    """

    min_score: float = 0.3
    max_faces: int = 0
    thorough: bool = False
    points: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1 or self.max_faces < 0:
            raise ValueError(f"min_score is 0..1, max_faces 0 or more; got {self.min_score}, {self.max_faces}.")


@dataclass(frozen=True)
class SelectSettings:
    """Which faces are chosen; each condition is off at its default. See select_faces.

    Args:
        indices: numbers as the preview shows them, such as "1,3-5"; "": all.
        largest: so many of the largest in each picture; 0: all.
        min_size: of a face, in pixels (the geometric mean of its box's sides), included; 0: any.
        max_size: the same, upwards.
        min_score: of the detector, 0..1.
        position: one of POSITIONS: the one face of each picture that is nearest to that side, or to the centre.
        mask_mode: "inside" or "outside": which side of a mask is chosen, where there is a mask.
        invert: choose all others instead.

    Raises:
        ValueError: a setting is out of range.
    """

    indices: str = ""
    largest: int = 0
    min_size: float = 0
    max_size: float = 0
    min_score: float = 0.0
    position: str = POSITIONS[0]
    mask_mode: str = INSIDE
    invert: bool = False

    def __post_init__(self) -> None:
        if self.largest < 0 or self.min_size < 0 or self.max_size < 0 or not 0 <= self.min_score <= 1:
            raise ValueError(
                f"largest, min_size and max_size are 0 (off) or more, min_score is 0..1; "
                f"got {self.largest}, {self.min_size}, {self.max_size}, {self.min_score}."
            )
        if self.max_size and self.min_size > self.max_size:
            raise ValueError(f"No face is at least {self.min_size} and at most {self.max_size} pixels: lower min_size.")
        if self.position not in POSITIONS or self.mask_mode not in MASK_MODES:
            raise ValueError(
                f"position is one of {', '.join(POSITIONS)}, mask_mode one of {', '.join(MASK_MODES)}; "
                f"got {self.position!r}, {self.mask_mode!r}."
            )


@dataclass(frozen=True)
class TrackSettings:
    """How faces are followed through a clip; see track_faces.

    Args:
        max_gap: missed frames after which a track ends; shorter gaps are filled.
        lead: frames that are added before the first and after the last detection of a track.
        smoothing: in frames, 0..30: a swing of 2 pi * smoothing frames keeps half its height, slower ones stay, faster
            ones go; 0 smooths nothing.
        min_length: detections that make a track; what is shorter is left out.

    Raises:
        ValueError: a setting is out of range.
    """

    max_gap: int = 10
    lead: int = 3
    smoothing: float = 2.5
    min_length: int = 1

    def __post_init__(self) -> None:
        if self.max_gap < 0 or self.lead < 0 or self.min_length < 1 or not 0 <= self.smoothing <= MAX_SMOOTHING:
            raise ValueError(
                f"max_gap and lead are 0 or more frames, min_length 1 or more, smoothing 0..{MAX_SMOOTHING:.0f} "
                f"frames; got {self.max_gap}, {self.lead}, {self.min_length}, {self.smoothing}."
            )


@dataclass(frozen=True)
class PasteSettings:
    """How crops are pasted, and what becomes of those that must not be; see paste_faces and replace_faces.

    Args:
        feather: 0..0.5, the share of the region's narrowest width over which the paste fades out towards the region's
            border, all of it inside; 0 is a hard edge.
        region: one of REGIONS: "crop" is all of the crop, "oval" the face, "box" the detector's box.
        colour_match: 0..1, how far a crop takes on the picture's colours.
        keep: some of PARTS: there the original stays.
        fallback: what becomes of faces that cannot be pasted: a mode of redaction, or KEEP.
        min_size: pixels of face size; smaller faces are not pasted.
        keep_faces: numbers as the preview shows them, such as "1,3-5": these stay as they came, whatever is seen on
            them.

    Raises:
        ValueError: a setting is out of range.
    """

    feather: float = 0.1
    region: str = REGIONS[0]
    colour_match: float = 0.0
    keep: tuple[str, ...] = ()
    fallback: str = MODES[0]
    min_size: float = 16
    keep_faces: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 0.5:
            raise ValueError(f"feather is 0..0.5 of the region's width, got {self.feather}.")
        if self.region not in REGIONS:
            raise ValueError(f"Unknown region {self.region!r} of a face: use one of {', '.join(REGIONS)}.")
        if not 0 <= self.colour_match <= 1:
            raise ValueError(f"colour_match is 0..1, got {self.colour_match}.")
        unknown = [part for part in self.keep if part not in PARTS]
        if unknown:
            raise ValueError(f"Unknown parts to keep {unknown}: use some of {', '.join(PARTS)}.")
        if self.fallback not in FALLBACKS:
            raise ValueError(f"The fallback {self.fallback!r} is not known: choose one of {', '.join(FALLBACKS)}.")


@dataclass(frozen=True)
class RedactSettings:
    """How faces are covered; see redact_faces.

    Args:
        mode: one of MODES. "solid" is black and leaves nothing.
        shape: one of SHAPES, what is covered (masks.py).
        detail: 2..32, the independent samples that a mosaic or blur leaves at most across a face.
        margin: 0 or more, how far the shape is grown outward, as a share of the face's size, so that chin, ears and
            hairline are covered.
        keep_faces: numbers as the preview shows them, such as "1,3-5": these are covered by the shape alone, even where
            it leaves more of the face open than it may.

    Raises:
        ValueError: a setting is out of range.
    """

    mode: str = MODES[0]
    shape: str = SHAPES[0]
    detail: float = 6.0
    margin: float = 0.15
    keep_faces: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES or self.shape not in SHAPES:
            raise ValueError(
                f"mode is one of {', '.join(MODES)}, shape one of {', '.join(SHAPES)}; "
                f"got {self.mode!r}, {self.shape!r}."
            )
        if not DETAIL_RANGE[0] <= self.detail <= DETAIL_RANGE[1] or not 0 <= self.margin < math.inf:
            raise ValueError(
                f"detail is {DETAIL_RANGE[0]:g}..{DETAIL_RANGE[1]:g} samples across the face, margin 0 or more of its "
                f"size; got {self.detail}, {self.margin}."
            )
