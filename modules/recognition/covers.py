"""Faces that a report calls covered: which of them a picture shows all the same, be they turned, moved or negative."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from ..faces.detect.glance import of_one_picture
from ..faces.numbers import percent
from ..faces.outcomes import box_of
from ..faces.paste.coverage import LEAST
from ..faces.paste.look import STILL_FOUND, Find
from ..faces.paste.masks import FaceShapes
from ..faces.traces import MEANS, SAMPLES, Trace, by_image, means_of, open_faces, samples_of, shows_cover
from ..faces.types import Face, Faces
from .pixels import one_colour, own_originals, sights_of
from .surroundings import moved_around
from .verdict import FAILED, NOT_MEASURABLE
from .verifying import Verified

_SAYS = "it was covered, says the report"
_CLEARLY = 16.0  # levels from the cover, beyond what JPEG does to a mosaic
_NEARER = 0.5  # of the distance from the cover, within which a pixel is what it was before
_ROUNDS, _TRUSTED = 4, 0.6  # of fitting gain and offset; the share of the pixels that the next round believes
_LEAST_TRUSTED = 0.35  # ... where most of a face lies open
_OF_REST, _SHOWS = 0.5, 0.8  # ... of the rest must be nearer to the face, or so far the rest correlates with it
_TEXTURED = 1.0  # levels of deviation; a cover of less is one colour
_LEAST_MEANS = 100  # of 576, within the oval
_DOUBTS = 2.0  # standard errors of the fit that are taken off
_ALIKE = 3.0  # pixels that are alike in a picture that was halved and enlarged
_LEAST_GAIN = 0.2  # of both together: below it the picture shows something else


def uncovered(
    before: torch.Tensor,
    after: torch.Tensor,
    faces: Faces,
    covered: Collection[int],
    *,
    traces: Iterable[Trace],
    find: Find,
) -> dict[int, str]:
    """The faces that were covered and that pictures show: place -> what was seen, in words.

    A face that shows its cover, or nothing at all, needs no further look, unless more than a tenth of its oval is open
    beside the cover, or the picture shows something else around it than before. The others are looked at as Paste Faces
    looks at what was painted, and by the detector.

    Args:
        before: float [B, H, W, C], 0..1, the originals.
        after: of the same size, what became of them.
        faces: of these pictures.
        covered: places of those that a report calls covered.
        traces: of that report.
        find: looks for faces.
    """
    known = by_image(traces)
    open_ = open_faces(after, known)
    traces_of = {trace.key: trace for each in known.values() for trace in each}
    known_places = sorted(covered)
    members = replace(faces, faces=tuple(faces.faces[i] for i in known_places))
    of_one = {known_places[at] for at in one_colour(after, members, before)}
    moved = moved_around(before, after, faces, of_one)
    found = {i: f"{_SAYS}, but {why}" for i, why in moved.items()}
    asked: dict[int, set[int]] = {}
    for i in known_places:
        if i in found:
            continue
        face = faces.faces[i]
        key = face.image_index, box_of(face)
        if key in open_:
            found[i] = f"{_SAYS}, but the picture shows it as it was"
        elif (share := _open_share(after[face.image_index], face, traces_of.get(key))) > 1 - LEAST:
            found[i] = f"{_SAYS}, but {percent(share)} of its oval shows it as it was, {1 - LEAST:.0%} is the most"
        elif not shows_cover(after[face.image_index], key, traces_of.get(key)):
            asked.setdefault(face.image_index, set()).add(i)
    for index, mine in asked.items():
        alone, places = of_one_picture(faces, index)
        members = sorted(mine)
        rows = [places.index(i) for i in members]
        one = slice(index, index + 1)
        sights = sights_of(before[one], after[one], replace(alone, faces=tuple(alone.faces[row] for row in rows)))
        found.update((members[at], f"{_SAYS}, but {why}") for at, why in own_originals(sights).items())
        scores = find(after[index], alone, rows).scores
        for i, row in zip(members, rows, strict=True):
            if scores[row] >= STILL_FOUND:
                why = f"the detector's score is {scores[row]:.2f}, below {STILL_FOUND:g} was expected"
                found.setdefault(i, f"{_SAYS}, but {why}")
    return found


def open_share(image: torch.Tensor, face: Face, trace: Trace | None) -> float:
    """The share of a face's oval where a picture that shows most of its cover shows what was there before.

    Args:
        image: float [H, W, C], 0..1, also with another gain and offset than the step's.
        face: that was covered.
        trace: of the step; None: not known.

    Returns:
        0..1, of the trace's pixels; 0 where the picture shows no cover, or nothing is known.
    """
    if trace is None:
        return 0.0
    inside = (_oval_field(face, trace, SAMPLES) > 0).numpy()
    now = samples_of(image, trace.box).astype(np.float64)[inside]
    before, cover = (one.astype(np.float64)[inside] for one in (trace.before, trace.after))
    if not len(now):
        return 0.0
    for share in (_TRUSTED, _LEAST_TRUSTED):
        gain, offset, away = _fitted(now, cover, share)
        is_cover = away <= _CLEARLY
        if is_cover.mean() < share:
            continue
        # with the pixels around: single ones of a face are like their cover by chance
        from_cover, from_face = (_around(one, inside) for one in (away, np.abs(now - gain * before - offset)))
        open_ = float(((from_cover > _CLEARLY) & (from_face < _NEARER * from_cover)).mean())
        rest = ~is_cover
        if share == _TRUSTED or open_ > _OF_REST * rest.mean():
            return open_
        if _correlation(now[rest], before[rest]) > _SHOWS:
            return float(rest.mean())
    return 0.0


def _fitted(now: np.ndarray, cover: np.ndarray, share: float) -> tuple[float, float, np.ndarray]:
    """Gain and offset by which a picture shows a cover in a share of the pixels, and how far each is from that.

    The rounds begin with the pixels that differ from the cover by nearly the same, wherever these lie.
    """
    away = np.abs(now - cover - _densest(now - cover, share))
    for _ in range(_ROUNDS):
        trusted = away <= np.quantile(away, share)
        spread = cover[trusted] - cover[trusted].mean()
        gain = 1.0 if spread.std() < 1 else float((spread * now[trusted]).sum() / (spread**2).sum())
        offset = float(np.median((now - gain * cover)[trusted]))
        away = np.abs(now - gain * cover - offset)
    return gain, offset, away


def _correlation(now: np.ndarray, then: np.ndarray) -> float:
    """Of values; 0 where one is the same everywhere."""
    return float(np.corrcoef(now, then)[0, 1]) if len(now) and min(now.std(), then.std()) > 0 else 0.0


def _densest(values: np.ndarray, share: float) -> float:
    """The middle of the shortest stretch that holds a share of the values."""
    ordered, count = np.sort(values), max(1, int(share * len(values)))
    widths = ordered[count - 1 :] - ordered[: len(values) - count + 1]
    first = int(widths.argmin())
    return float((ordered[first] + ordered[first + count - 1]) / 2)


def _open_share(image: torch.Tensor, face: Face, trace: Trace | None) -> float:
    """The larger of what lies open beside a cover and of what it lets through."""
    return max(open_share(image, face, trace), through_share(image, face, trace))


def through_share(image: torch.Tensor, face: Face, trace: Trace | None) -> float:
    """The share of a face that a cover lets through everywhere, as between lines or dots: a lower bound, 0 or more.

    The means of the box's parts are fitted by those of the face and of its cover together, with an offset, and the
    cover's slopes, as a picture may be moved a little.

    Args:
        image: float [H, W, C], 0..1.
        face: that was covered.
        trace: of the step; None: not known.
    """
    if trace is None or trace.means is None:
        return 0.0
    inside = (_oval_field(face, trace, MEANS) > 0).numpy()
    now, before, cover = (one.astype(np.float64) for one in (means_of(image, trace.box), *trace.means))
    if inside.sum() < _LEAST_MEANS or (cover[inside].std() < _TEXTURED and now[inside].std() < _TEXTURED):
        return 0.0
    is_textured = cover[inside].std() >= _TEXTURED
    known = [np.ones_like(now), *([cover, *np.gradient(cover)] if is_textured else [])]
    others, own = np.stack([one[inside] for one in known], 1), before[inside]
    # what the face alone has, and what is left of the picture beside the others
    alone, left = (one - others @ np.linalg.lstsq(others, one, rcond=None)[0] for one in (own, now[inside]))
    energy = float(alone @ alone)
    if energy < inside.sum():  # a level each: the two are alike
        return 0.0
    part = float(alone @ left) / energy
    x0, y0, x1, y1 = trace.box
    together = max(1.0, _ALIKE * MEANS / min(x1 - x0, y1 - y0))  # means along a side that count as one
    doubt = together * np.std(left - part * alone) / np.sqrt(energy)
    gain = 1.0
    if is_textured:
        gain = part + float(np.linalg.lstsq(others, now[inside] - part * own, rcond=None)[0][1])
    return min(1.0, max(0.0, (part - _DOUBTS * float(doubt)) / gain)) if gain > _LEAST_GAIN else 0.0


def _oval_field(face: Face, trace: Trace, count: int) -> torch.Tensor:
    """The field of a face's oval at so many points along each side of a trace's box."""
    x0, y0, x1, y1 = trace.box
    at = torch.from_numpy((np.arange(count) + 0.5) / count).float()
    return FaceShapes(face).field("oval", (x0 + at * (x1 - x0))[None, :], (y0 + at * (y1 - y0))[:, None])


def _around(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The means of 3 x 3 values, of those that are inside."""
    placed, count = np.zeros(inside.shape), inside.astype(np.float64)
    placed[inside] = values
    sums, counts = (ndimage.uniform_filter(one, 3, mode="constant") for one in (placed, count))
    return (sums / counts.clip(1e-9))[inside]


def not_covered(verified: Verified, shown: Mapping[int, str]) -> Verified:
    """The verdicts, of which those on faces that should be covered fail where recognisers can say nothing of them.

    Args:
        verified: of all faces.
        shown: of uncovered.
    """
    said = list(verified.verifications)
    for i, why in shown.items():
        one = said[i]
        if one is not None and one.verdict in (NOT_MEASURABLE, FAILED):
            said[i] = replace(one, verdict=FAILED, reason=why)
    return replace(verified, verifications=tuple(said))
