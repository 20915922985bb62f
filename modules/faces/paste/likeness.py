"""Whether a face still shows the original, whatever was done to its colours, its place and its sharpness.

The colours of the result are fitted to the original's luma, the result is laid over the original by a small affine map
(mirrored, turned, or not), and what is left is compared in three bands of detail inside the inner face:
eyes, brows, nose and mouth, where a stranger differs. One band is enough: blur and small sizes leave the coarse one,
noise and shading another. What comes near enough is compared with what filters make of the original (filtered.py), and
bent into its place: bulges, swirls and waves (bending.py). How strangers, and what was done to originals, differ stands
in docs/measured.md ("Still the original").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import minimum_filter

from ..originals import CELLS
from .bending import Grid, bend, field_of, move_by
from .cells import halved, luma_of
from .filtered import compare_filtered
from .registration import (
    STILL,
    centres,
    compose,
    correlation,
    correlations,
    find_shift,
    move,
    register,
    smooth,
    turn,
    turn_all,
)

# deviations of the two Gaussians whose difference is a band, in cells of 1/80 of the crop's side, fine first; and the
# correlation in it from which a face is the original's
BANDS = ((1.0, 2.0), (2.0, 4.0), (4.0, 8.0))
# ... and, last, from which its places by themselves agree with it
LIMITS = (0.93, 0.976, 0.991, 0.905)
# Another's face under the same light on the same head may agree as far in all but the finest band (docs/measured.md):
# where a result has detail of its own, more is asked of the others.
OWN_LIMITS = (0.93, 0.980, 0.9975, 0.905)
_OWN = 0.6, 1.25  # deviations of the finest band, of the original's, between which detail is the result's own ...
_MOST_OTHER = 0.55  # correlation of the finest band below which it is a pattern over the face, such as blocks
_MOST_OF_IT = 0.8  # of the inner face, from which those limits hold
_NOISY = 2.2  # ... unless there is so many times more of what is finer still: that is noise
# the inner face in the crop: middle, half axes, and the share of them over which it fades out
_MIDDLE, _AXES, _FADE = (0.496, 0.50), (0.27, 0.30), 0.25
_SIDE = CELLS // 2  # cells along the crop's side that are compared here
_LEAST_VISIBLE = 0.25  # of the inner face; with less in the picture there is nothing to compare
_BORDER = 3  # cells along the border of the picture that are mixed with what goes on beyond it
_AROUND = 6.0  # deviation of what stands for cells beyond it
_FLAT = 0.5 / 255  # deviation of luma in a band, below which a picture shows nothing there
_RIDGE = 1e-4
_LEAST_FINE = 0.02  # of the contrast: what an original has of the finest detail at the least
# mirrored or not, it is always laid over the original; of the turned ones that which agrees most, if it does so far
_TURNS, _WORTH_A_TRY = np.deg2rad(np.arange(20, 360, 20)), 0.4
_SAME = 0.08  # of the contrast; what a crop loses on its way there and back
_COARSE, _FINE = (2.0, 8.0), (1.5, 6.0)  # bands in which the two are laid over each other, in cells of each size
_FOUND = 0.9  # correlation of the coarse band at which no other start is tried
_PLACE, _FLOOR = 5.0, 0.05  # cells around a place that count; energy, of the mean, below which a place shows nothing
_COARSE_STEPS, _FINE_STEPS = 6, 3  # more change no verdict of docs/measured.md
# a start that agrees nearly as far as the best, from where so much may be an original, is tried finely, too; and what
# moved so far in the last steps, as a share of the side, goes on
_NEARLY, _FAR_ENOUGH, _ON_ITS_WAY = 0.03, 0.85, 0.03
_WORTH_BENDING = 0.68  # correlation of the middle band; of most strangers less
_WORTH_FILTERING = 0.9  # of nearly all strangers, too
_BENDING = Grid(4, 4, 0.3), Grid(8, 3, 0.15)  # in the coarse band, and in ...
_BENT = (1.0, 4.0)  # ... this one, in cells of 1/80
_BENT_LIMITS = 0.953, 0.987  # of the finest and of the middle band, both, once it is bent; and, of what differed in
_BENT_LEFT = 0.48  # the finest before, what is left: a stranger's own detail is no matter of places


@dataclass(frozen=True)
class Likeness:
    """How much of the original's structure a face has.

    Args:
        bands: correlations in BANDS and, last, of the places of the finest band, -1..1; None where the original shows
            nothing.
        difference: mean difference of the colours as they are, as a share of the original's contrast.
        limits: of `bands`.
    """

    bands: tuple[float | None, ...]
    difference: float = 1.0
    limits: tuple[float, ...] = LIMITS

    @property
    def decisive(self) -> tuple[float, float]:
        """The correlation of the band that is nearest to its limit or furthest beyond, and that limit."""
        judged = [(band, limit) for band, limit in zip(self.bands, self.limits, strict=True) if band is not None]
        if not judged:
            return 0.0, self.limits[0]
        return max(judged, key=lambda pair: (pair[0] - pair[1]) / (1 - pair[1]))

    @property
    def is_original(self) -> bool:
        """Whether one band is beyond its limit."""
        value, limit = self.decisive
        return value > limit

    @property
    def is_unchanged(self) -> bool:
        """Whether it is the original as it was, up to rounding and the paste."""
        return self.is_original and self.difference < _SAME


NOTHING_SEEN = Likeness((None,) * len(LIMITS))


def compare(before: np.ndarray, after: np.ndarray, visible: np.ndarray) -> Likeness:
    """How much of the original's structure a face has.

    Args:
        before: float32 [3, 160, 160], 0..1: the crop's square in the original.
        after: float32 [3, 160, 160], the same square of the result.
        visible: bool [160, 160], what lies in the picture.
    """
    finest = luma_of(before), luma_of(after)
    before, after, visible = halved(before), halved(after), visible[::2, ::2]
    inner = inner_face()
    weights = inner * visible
    if weights.sum() < _LEAST_VISIBLE * inner.sum():
        return NOTHING_SEEN
    if not visible.all():
        visible = _far_inside(visible, inner)
        weights = inner * visible
        before, after = (_filled(colours, visible) for colours in (before, after))
    luma = luma_of(before)
    small_luma, small_weights = halved(luma), halved(weights)
    coarse = _band(small_luma, _COARSE)
    laid: list[tuple[float, np.ndarray, _Shown]] = []
    for shown in _orientations(_Shown.of(after, visible), coarse, small_weights):
        small = shown.halved
        start, moving = STILL, _band(_fit(small_luma, small.colours, small_weights), _COARSE)
        agreement, place = register(coarse, moving, small_weights, _COARSE_STEPS, small.seen)
        if max(agreement, *(other[0] for other in laid), 0.0) < _FOUND:
            # far off, where colours that were fitted in the wrong place tell nothing: by the luma alone first
            shift = find_shift(coarse, _band(luma_of(small.colours), _COARSE), small_weights, small.seen)
            there = small.moved(shift)
            moving = _band(_fit(small_luma, there.colours, there.weights(small_weights)), _COARSE)
            again, further = register(coarse, moving, small_weights, _COARSE_STEPS, there.seen)
            if again > agreement:
                agreement, start, place = again, shift, further
        laid.append((agreement, compose(start, place), shown))
    best = max(laid, key=lambda one: one[0])
    agreement, place, shown = _laid_finely(luma, *best[1:], weights)
    if best is not laid[0] and laid[0][0] > max(best[0] - _NEARLY, _FAR_ENOUGH):
        # of a face from the front the mirrored one is coarsely as good
        again = _laid_finely(luma, *laid[0][1:], weights)
        if again[0] > agreement:
            _, place, shown = again
    there = shown.moved(place)
    whole, weights = weights, there.weights(weights)
    fitted = _fit(luma, there.colours, weights)
    bands = tuple(_agreement(luma, fitted, weights, band) for band in BANDS)
    likeness = Likeness((*bands, _local_agreement(luma, fitted, weights)), _difference(before, after, weights))
    if likeness.is_original and (bands[0] or 0) > _MOST_OTHER and _has_own_detail(luma, fitted, weights):
        likeness = (
            likeness if _is_noisy(*finest) else replace(likeness, limits=_own_limits(weights.sum() / inner.sum()))
        )
    if likeness.is_original or (bands[1] or 0) < _WORTH_BENDING:
        return likeness
    if (bands[1] or 0) > _WORTH_FILTERING and (filtered := compare_filtered(luma, fitted, weights)).is_original:
        return replace(likeness, bands=(filtered.value, None, None, None), limits=(filtered.limit, *LIMITS[1:]))
    finest_band = _bent(luma, shown, whole, place)
    if finest_band < _BENT_LIMITS[0] or 1 - finest_band > _BENT_LEFT * (1 - (bands[0] or 0)):
        return likeness
    return replace(likeness, bands=(finest_band, None, None, None), limits=(_BENT_LIMITS[0], *LIMITS[1:]))


def _far_inside(visible: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Which cells lie so far inside the picture that what is beyond its border was mixed into none of them.

    A crop is white there, and a blur of the crop, or a model, carries that into the picture. All cells where hardly any
    would be left.

    Args:
        visible: bool [80, 80].
        inner: of inner_face.
    """
    far = minimum_filter(visible, 2 * _BORDER + 1, mode="constant", cval=True)
    return far if (far * inner).sum() > _LEAST_VISIBLE * inner.sum() else visible


def _filled(colours: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Colours [3, S, S]; cells that are not seen are made of those around them: no band has an edge there."""
    seen = visible.astype(np.float32)
    around = smooth(colours * seen, _AROUND) / np.maximum(smooth(seen, _AROUND), 1e-4)
    return np.where(visible, colours, around).astype(np.float32)


@dataclass(frozen=True)
class _Shown:
    """A result in one orientation.

    Args:
        colours: [3, S, S].
        seen: [S, S], 0..1, which cells lie in the picture; None: all of them.
    """

    colours: np.ndarray
    seen: np.ndarray | None

    @classmethod
    def of(cls, colours: np.ndarray, visible: np.ndarray) -> _Shown:
        """Of colours, and which cells lie in the picture, bool [S, S]."""
        return cls(colours, None if visible.all() else visible.astype(np.float32))

    @property
    def halved(self) -> _Shown:
        """At half the resolution."""
        return _Shown(halved(self.colours), None if self.seen is None else halved(self.seen))

    @property
    def mirrored(self) -> _Shown:
        """Left and right exchanged."""
        seen = None if self.seen is None else np.ascontiguousarray(self.seen[..., ::-1])
        return _Shown(np.ascontiguousarray(self.colours[..., ::-1]), seen)

    def moved(self, parameters: np.ndarray) -> _Shown:
        """Moved as by registration.move."""
        seen = None if self.seen is None else move(self.seen[None], parameters)[0]
        return _Shown(move(self.colours, parameters), seen)

    def bent(self, field: np.ndarray) -> _Shown:
        """Moved as by bending.move_by."""
        seen = None if self.seen is None else move_by(self.seen[None], field)[0]
        return _Shown(move_by(self.colours, field), seen)

    def weights(self, weights: np.ndarray) -> np.ndarray:
        """How much each cell counts, [S, S], less what is not seen; as it is where hardly anything would be left."""
        left = weights if self.seen is None else weights * self.seen
        return left if left.sum() > _LEAST_VISIBLE * weights.sum() else weights


def _laid_finely(
    luma: np.ndarray, place: np.ndarray, shown: _Shown, weights: np.ndarray
) -> tuple[float, np.ndarray, _Shown]:
    """How far a result agrees once it is laid over the original by finer detail, its place then, and the result."""
    agreement = 0.0
    for _ in range(2):
        there = shown.moved(place)
        fitted = _fit(luma, there.colours, there.weights(weights))
        agreement, rest = register(_band(luma, _FINE), _band(fitted, _FINE), weights, _FINE_STEPS, there.seen)
        place = compose(place, rest)
        if agreement < _FAR_ENOUGH or np.abs(rest).max() < _ON_ITS_WAY:
            break
    return agreement, place, shown


def _bent(luma: np.ndarray, shown: _Shown, weights: np.ndarray, place: np.ndarray) -> float:
    """The correlation of the finest band once a result is bent into the original's place; 0 where the middle one, which
    is bent more easily, agrees too little for an original.

    Args:
        luma: [80, 80], of the original.
        shown: the result.
        weights: [80, 80], of the original alone.
        place: the map of `move` that lays it over the original.
    """
    small, there = (halved(luma), shown.halved, halved(weights)), field_of(place, _SIDE // 2)
    colours, left = small[1].colours, small[1].bent(there).weights(small[2])
    coarse = _band(_fit(small[0], colours, left, there), _COARSE)
    shifts = bend(_band(small[0], _COARSE), coarse, left, there, _BENDING[0]) - there
    field = field_of(place, _SIDE) + smooth(np.kron(shifts, np.ones((2, 2), np.float32)), 1.0)
    left = shown.bent(field).weights(weights)
    fine = _band(_fit(luma, shown.colours, left, field), _BENT)
    field = bend(_band(luma, _BENT), fine, left, field, _BENDING[1])
    there = shown.bent(field)
    left = there.weights(weights)
    fitted = _fit(luma, there.colours, left)
    finest, middle = (_agreement(luma, fitted, left, band) or 0.0 for band in BANDS[:2])
    return finest if middle >= _BENT_LIMITS[1] else 0.0


def _local_agreement(luma: np.ndarray, fitted: np.ndarray, weights: np.ndarray) -> float | None:
    """As _agreement in the finest band, but each place by itself, and counted by how much of the face is there.

    A picture that lost contrast and shading everywhere keeps it; one in which the eyes are another's does not.
    """
    wanted, found = _band(luma, BANDS[0]), _band(fitted, BANDS[0])
    energy = float((weights * wanted * wanted).sum())
    if np.sqrt(energy / weights.sum()) < _FLAT:
        return None
    ours, theirs, both = (smooth(product, _PLACE) for product in (wanted * wanted, found * found, wanted * found))
    floor = _FLOOR * energy / weights.sum()
    agreement = both / np.sqrt((ours + floor) * (theirs + floor))
    return float((weights * ours * agreement).sum() / (weights * ours * ours / (ours + floor)).sum())


def _has_own_detail(luma: np.ndarray, fitted: np.ndarray, weights: np.ndarray) -> bool:
    """Whether a result has about as much fine detail as the original, so that it could be another's."""
    wanted, found = (_deviation(_band(cells, BANDS[0]), weights) for cells in (luma, fitted))
    return _OWN[0] * wanted < found < _OWN[1] * wanted


def _own_limits(share: float) -> tuple[float, ...]:
    """OWN_LIMITS where only so much of the inner face can be seen: the less it is, the further others' parts agree."""
    return tuple(1 - (1 - limit) * min(1.0, share / _MOST_OF_IT) for limit in OWN_LIMITS)


def _is_noisy(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a result has far more of the finest detail than the original, at the same contrast; [160, 160] each."""
    weights = np.kron(inner_face(), np.ones((2, 2), np.float32))
    shares = []
    for cells in (before, after):
        sharp, soft = smooth(cells, 0.7), smooth(cells, 1.5)
        contrast = max(_deviation(_band(soft, (4.0, 8.0)), weights), _FLAT)
        shares.append((_deviation(cells - sharp, weights) / contrast, _deviation(sharp - soft, weights) / contrast))
    return any(found > _NOISY * max(wanted, _LEAST_FINE) for wanted, found in zip(*shares, strict=True))


def _deviation(cells: np.ndarray, weights: np.ndarray) -> float:
    return float(np.sqrt((weights * cells * cells).sum() / weights.sum()))


def _difference(before: np.ndarray, after: np.ndarray, weights: np.ndarray) -> float:
    share = weights / weights.sum()
    contrast = (share * np.abs(before - (share * before).sum((1, 2), keepdims=True))).sum()
    return float((share * np.abs(after - before)).sum() / max(contrast, 1e-6))


@lru_cache(maxsize=1)
def inner_face() -> np.ndarray:
    """float32 [80, 80], 0..1: how much each cell of a crop counts."""
    index = (np.arange(_SIDE) + 0.5) / _SIDE
    (x, y), (across, along) = _MIDDLE, _AXES
    radius = np.hypot((index - x) / across, ((index - y) / along)[:, None])
    edge = np.clip((1 - radius) / _FADE, 0, 1)
    return (edge * edge * (3 - 2 * edge)).astype(np.float32)


def _orientations(shown: _Shown, coarse: np.ndarray, weights: np.ndarray) -> Iterator[_Shown]:
    """The picture as it is, mirrored, and that of all turned ones that agrees most with the original's coarse band."""
    mirrored = shown.mirrored
    yield shown
    yield mirrored
    pattern = _band(halved(luma_of(shown.colours)), _COARSE)
    turned = turn_all(np.stack([pattern, pattern[:, ::-1]]), _TURNS)
    agreement = np.abs(correlations(coarse, turned.reshape(-1, *pattern.shape), weights))
    best = int(agreement.argmax())
    if agreement[best] >= _WORTH_A_TRY:
        number, is_mirrored = divmod(best, 2)
        yield (mirrored if is_mirrored else shown).moved(turn(_TURNS[number]))


def _agreement(luma: np.ndarray, fitted: np.ndarray, weights: np.ndarray, band: tuple[float, float]) -> float | None:
    wanted = _band(luma, band)
    if np.sqrt((weights * wanted * wanted).sum() / weights.sum()) < _FLAT:
        return None
    return correlation(wanted, _band(fitted, band), weights)


def _fit(luma: np.ndarray, colours: np.ndarray, weights: np.ndarray, field: np.ndarray | None = None) -> np.ndarray:
    """What a smooth function of the colours, and of a slope of light, says of the original's luma: [S, S].

    Polynomials of the third degree undo gain, offset, gamma, grey, exchanged channels, negatives and colour maps. With
    a field of shifts it is what they say where the result was moved by it, and the result itself stays where it is.
    """
    side = luma.shape[-1]
    flat = (weights / weights.sum()).reshape(-1)
    moved = colours if field is None else move_by(colours, field)
    terms = _terms(smooth(moved, 1.5)).reshape(-1, side * side)
    means = terms @ flat
    centred = terms - means[:, None]
    weighted = centred * flat
    wanted = smooth(luma, 1.5).reshape(-1)
    mean = float(flat @ wanted)
    normal = (weighted @ centred.T).astype(np.float64)
    solved = np.linalg.solve(normal + _RIDGE * np.eye(len(normal)), (weighted @ (wanted - mean)).astype(np.float64))
    return (solved.astype(np.float32) @ (_terms(colours).reshape(-1, side * side) - means[:, None]) + mean).reshape(
        side, side
    )


def _terms(colours: np.ndarray) -> np.ndarray:
    red, green, blue = colours
    x, y = centres(red.shape[-1])
    luma = luma_of(colours)
    squares = red * red, green * green, blue * blue
    cubes = red * squares[0], green * squares[1], blue * squares[2]
    return np.stack(
        [red, green, blue, *squares, red * green, green * blue, red * blue, *cubes, x, y, luma * x, luma * y]
    )


def _band(cells: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    return smooth(cells, band[0]) - smooth(cells, band[1])
