"""What counts as measurable, as one person and as two: every threshold of the reader, said once.

No torch here: commands and nodes read defaults without loading anything.
"""

from __future__ import annotations

from dataclasses import dataclass

# Whether results are verified; auto: unless a model that is a demonstration made them.
VERIFY = OFF, AUTO, ON = ("off", "auto", "on")
DLIB_PUBLISHED = 0.6  # dlib's own threshold; the calibrated one is the same


@dataclass(frozen=True)
class ReaderSettings:
    """Which faces can be read, and how alike two of one person are; see FaceReader and docs/measured.md.

    Args:
        min_size: of a face in its picture, in pixels (the geometric mean of its box's sides).
        max_yaw: of a head, in degrees to either side.
        max_pitch: of a head, in degrees up or down.
        min_certainty: of O-Net that there is an upright face, 0..1.
        max_unsteady: of its landmarks; see Reading. An open face is below, one whose eyes or mouth are covered above.
        dlib_same: Euclidean distance of dlib's descriptors below which two faces are one person's.
        faceres_same: cosine of FaceRes' descriptors above which two faces are one person's. Both are the widest, in
            steps of 0.05, at which a recogniser alone takes at most 1 % of strangers for one person, on people that the
            published figures are not of (tools/calibration). Wide on purpose: a stranger who is taken for the original
            costs another attempt, an original who is taken for a stranger leaves.
        at_once: faces that go through a network at once.

    Raises:
        ValueError: a setting is out of range.
    """

    min_size: float = 40.0
    max_yaw: float = 55.0
    max_pitch: float = 45.0
    min_certainty: float = 0.5
    max_unsteady: float = 0.09
    dlib_same: float = 0.6
    faceres_same: float = 0.6
    at_once: int = 16

    def __post_init__(self) -> None:
        if min(self.min_size, self.max_yaw, self.max_pitch) < 0 or not 0 <= self.min_certainty <= 1:
            raise ValueError("min_size, max_yaw and max_pitch are 0 or more, min_certainty is 0..1.")
        if self.dlib_same < 0 or not -1 <= self.faceres_same <= 1 or self.at_once < 1:
            raise ValueError("dlib_same is 0 or more, faceres_same -1..1, at_once 1 or more.")
