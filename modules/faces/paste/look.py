"""Look at the result: before the paste at each crop, after it at each face of the finished picture.

A face counts as anonymized because somebody looked, not because a sampler ran. Judges say what they see, in the order
in which they stand here; further ones, such as recognisers, come by Look.judges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch

from ..boxes import iou
from ..detect.glance import Glance
from ..numbers import percent
from ..originals import read_square
from ..outcomes import ANONYMIZED
from ..types import ADAPTED, Face, Faces
from .broken import why_broken
from .coverage import LEAST, covered_share, replaced_shares
from .detail import LEAST_SIDE, compare_detail
from .edge import Edge
from .likeness import compare
from .masks import FaceShapes
from .miniature import WORTH, find_miniature
from .painted import why_refused
from .placement import Placement
from .verdicts import (
    BROKEN,
    FACE_LEFT,
    NO_FACE,
    NOT_FINITE,
    PARTLY,
    STILL_ORIGINAL,
    TOO_SMALL,
    UNCHANGED,
    Judge,
    Sight,
    Verdict,
)

# Looks for faces in one finished picture [H, W, C]: the faces of it alone, and which of them were painted.
Find = Callable[[torch.Tensor, Faces, Collection[int]], Glance]


LEAST_DEGREE = 0.5  # of the identity, (1 - degree) is kept (equations 1 and 2 of the paper)
LEAST_AT_PLACE = 0.4  # intersection over union; of a face that stands half its width aside it is 0.33
LEAST_OF_SEEN = 0.75  # of the oval of what our detector sees where another one found a face: boxes differ
MOST_BLENDED = 0.1  # of the original's colours in the whole crop: as of the oval's area
STILL_FOUND = 0.5  # of a detector's score, from which a face that was covered still counts as one
MOST_KEPT_DENOISE = 0.5  # of a latent of the original: at it the person is still plainly there


@dataclass(frozen=True)
class Look:
    """What is known of a step whose result is looked at, and who looks beside what always does.

    Args:
        action: what the report calls a face that passes.
        seed: of the run, for the report.
        degree: of anonymization, where it is known and each face is its own source: reasons name it.
        denoise: of the sampler, where it is known.
        find: looks for faces in a finished picture; None looks for none.
        every: it looks at every so many pictures, and at those in which a face was refused.
        first: number of the batch's first picture in its clip, from which `every` counts.
        judges: are asked after those that are always asked.
        swap: somebody else's face is meant to be painted, be it one of the same pictures.
        blended: the class of a node that blended the original with what was painted, and the original's share, 0..1.
    """

    action: str = ANONYMIZED
    seed: int | None = None
    degree: float | None = None
    denoise: float | None = None
    find: Find | None = None
    every: int = 1
    first: int = 0
    judges: tuple[Judge, ...] = ()
    swap: bool = False
    blended: tuple[str, float] | None = None

    def looks_at(self, index: int) -> bool:
        """Whether the detector looks at this picture of the batch in any case."""
        return (self.first + index) % self.every == 0


def look_at_crop(placement: Placement, min_size: float) -> Verdict:
    """What a crop itself says, before it is pasted: broken in any way, or too small a face for a model.

    Args:
        placement: of the crop.
        min_size: pixels of face size.
    """
    if not (finite := torch.isfinite(placement.crop)).all():
        blank = Verdict(NOT_FINITE, _why_not_finite(float((~finite).float().mean())))
        return replace(why_refused(placement.face) or blank, pasteable=False)
    if placement.shapes.size < min_size:
        return Verdict(TOO_SMALL, f"{placement.shapes.size:.0f} pixels, {min_size:g} is the least", pasteable=False)
    if why := why_broken(placement.crop, placement.cut):
        return Verdict(BROKEN, why, pasteable=False)
    return Verdict()


def _why_not_finite(share: float) -> str:
    """A crop of which nothing is a number was given up on purpose, so that the face is covered."""
    if share == 1:
        return "no value of the crop is a number, as where painting was given up because no attempt passed"
    return f"{max(share, 0.0001):.2%} of the crop's values are no numbers"


def look_at_faces(
    placements: Sequence[Placement], after: torch.Tensor, mask: torch.Tensor, edge: Edge, look: Look
) -> list[Verdict]:
    """What the finished picture says of each face that was pasted into it.

    Args:
        placements: of the faces.
        after: float [H, W, C], 0..1, the picture with them.
        mask: float32 [H, W], 0..1, what was replaced.
        edge: of the paste.
        look: degree and further judges.

    Returns:
        One verdict a face: of the judges that refuse the first.
    """
    shares = replaced_shares(mask, placements, edge)
    sights = [Sight(placement, after, _degree_of(placement, look), mask) for placement in placements]
    verdicts = [judge_coverage(share) for share in shares]

    def judge_degrees(sights: Sequence[Sight]) -> list[Verdict]:
        # of a second pass over a stranger's face
        known = [replace(look, degree=sight.degree) for sight in sights]
        return [
            Verdict() if sight.placement.repaints else judge_settings(one)
            for sight, one in zip(sights, known, strict=True)
        ]

    for judge in (judge_likeness, judge_degrees, *look.judges):
        open_ = [i for i, verdict in enumerate(verdicts) if not verdict.refused]
        said = judge([sights[i] for i in open_]) if open_ else ()
        for i, verdict in zip(open_, said, strict=True):
            if verdict is not None and verdict.refused:
                verdicts[i] = replace(verdict, covered=shares[i])
            elif verdict is not None and verdict.verification is not None:
                verdicts[i] = replace(verdicts[i], verification=verdict.verification)
    return verdicts


def _degree_of(placement: Placement, look: Look) -> float | None:
    """The degree that a face was painted with: its own, where the node that painted it chose one."""
    painted = placement.face.painted
    return look.degree if look.degree is None or painted is None else painted.degree


def judge_settings(look: Look) -> Verdict:
    """Refuses what was painted so that it keeps the person, however badly a model may have drawn it."""
    if look.degree is not None and look.degree < LEAST_DEGREE:
        word = STILL_ORIGINAL if look.degree else UNCHANGED
        return Verdict(word, f"degree {look.degree:g} keeps the identity, {LEAST_DEGREE:g} is the least")
    if look.denoise is not None and look.denoise <= MOST_KEPT_DENOISE:
        why = f"denoise {look.denoise:g} keeps the picture, more than {MOST_KEPT_DENOISE:g} is needed"
        return Verdict(STILL_ORIGINAL, why)
    if look.blended is not None and look.blended[1] > MOST_BLENDED:
        node, share = look.blended
        return Verdict(STILL_ORIGINAL, f"{node} gives {share:.0%} of the original back, {MOST_BLENDED:.0%} is the most")
    return Verdict()


def judge_seen(seen: Face, mask: torch.Tensor, listed: Face | None = None) -> Verdict:
    """Refuses a face of which our detector sees more than was replaced, or that lies elsewhere than where it was found.

    Args:
        seen: what ours sees at its place in the picture as it came.
        mask: float32 [H, W], 0..1, what was replaced.
        listed: the face as it was found in a picture that showed something else there; None where it did not.
    """
    if listed is not None and (overlap := float(iou(seen.box[None], listed.box[None])[0, 0])) < LEAST_AT_PLACE:
        why = f"it overlaps by {overlap:.2f} with where it was found, {LEAST_AT_PLACE:g} is the least: another picture"
        return Verdict(PARTLY, why)
    share = covered_share(mask, FaceShapes(seen))
    if share >= LEAST_OF_SEEN or (listed is not None and listed.source not in ADAPTED):
        return Verdict()
    why = f"{percent(share)} of the face that the detector sees there was replaced, {LEAST_OF_SEEN:.0%} is the least"
    return Verdict(PARTLY, f"{why}: its box is too small", share)


def faces_seen(
    find: Find, image: torch.Tensor, faces: Faces, places: Sequence[int], moved: Collection[int] = ()
) -> dict[int, Face]:
    """What our detector sees of the faces of one picture that other nodes found, or in a picture that showed something
    else: place in the batch -> a face.

    Args:
        find: looks for faces.
        image: float [H, W, C], 0..1, as it came.
        faces: of this picture alone.
        places: of each in the batch.
        moved: places of those that were found in another picture.
    """
    asked = [face.source in ADAPTED or place in moved for place, face in zip(places, faces, strict=True)]
    if not any(asked):
        return {}
    seen = zip(places, asked, find(image, faces, ()).seen, strict=True)
    return {place: ours for place, wanted, ours in seen if ours is not None and wanted}


def judge_coverage(share: float) -> Verdict:
    """Refuses a face of whose oval too little was replaced.

    Args:
        share: 0..1, of the oval.
    """
    if share >= LEAST:
        return Verdict(covered=share)
    return Verdict(PARTLY, f"{percent(share)} of the face's oval was replaced, {LEAST:.0%} is the least", share)


def judge_likeness(sights: Sequence[Sight]) -> list[Verdict | None]:
    """Refuses faces that show the original: as a whole (likeness.py), in parts (detail.py), small (miniature.py)."""
    return [_likeness(sight) or _detail(sight) or _miniature(sight) for sight in sights]


def _likeness(sight: Sight) -> Verdict | None:
    found = (compare(original, sight.result, sight.visible) for original in sight.originals)
    likeness = next((likeness for likeness in found if likeness.is_original), None)
    if likeness is None:
        return None
    value, limit = likeness.decisive
    word = UNCHANGED if sight.degree == 0 or likeness.is_unchanged else STILL_ORIGINAL
    return Verdict(word, f"its structure agrees by {value:.3f}, {limit:g} is the most{_at_degree(sight)}")


def _detail(sight: Sight) -> Verdict | None:
    if sight.placement.side < LEAST_SIDE:
        return None
    for original in sight.originals:
        figures = compare_detail(original, sight.result, sight.replaced)
        worst = max(figures, key=lambda figure: figure.nearness, default=None)
        if worst is not None and worst.is_original:
            return Verdict(STILL_ORIGINAL, f"{worst}{_at_degree(sight)}")
    kept = sight.placement.kept_pixels
    return Verdict(STILL_ORIGINAL, f"{kept}{_at_degree(sight)}") if kept is not None and kept.is_original else None


def _miniature(sight: Sight) -> Verdict | None:
    placement = sight.placement
    for original in sight.originals:
        place = find_miniature(original, sight.result)
        if place.agreement < WORTH:
            continue
        matrix = place.matrix(placement.to_picture, placement.crop_size)
        likeness = compare(original, *read_square(sight.after, matrix, placement.crop_size))
        if likeness.is_original:
            value, limit = likeness.decisive
            why = f"a copy of it, {place.size:.2f} of its size, agrees by {value:.3f}, {limit:g} is the most"
            return Verdict(STILL_ORIGINAL, f"{why}{_at_degree(sight)}")
    return None


def _at_degree(sight: Sight) -> str:
    return "" if sight.degree is None else f", at degree {sight.degree:g}"


def judge_glance(score: float, least: float, painted: bool) -> Verdict:
    """Refuses a painted face that no detector takes for one, and a covered one that a detector still finds.

    Args:
        score: the best of what was found at the face's place, 0..1.
        least: from which something counts as a face.
        painted: whether a face is expected.
    """
    if painted and score < least:
        why = f"the detector's score is {score:.2f}, {least:g} is the least"
        return Verdict(NO_FACE, why, covers=False)  # it hides the person: a picture spoilt is no leak
    if not painted and score >= least:
        return Verdict(FACE_LEFT, f"the detector's score is {score:.2f}, below {least:g} was expected")
    return Verdict()
