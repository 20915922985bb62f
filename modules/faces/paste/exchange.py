"""Faces that changed places: what was pasted for one shows the original of another one of the batch.

Every result is laid over all other originals by cross-correlation in one band of detail, mirrored or not, at 40 cells
along the side: cheap, and enough to tell which one to compare with as likeness.py does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..originals import CELLS, as_colours
from ..types import Face, Faces
from .cells import luma_of
from .likeness import compare, inner_face
from .registration import smooth
from .verdicts import STILL_ORIGINAL, Sight, Verdict

_SIDE = CELLS // 4
_BAND = (1.0, 2.0)  # deviations, in cells of 1/40 of the crop's side
_REACH = 6  # of those cells, up to which the two may be shifted
_WORTH = (
    0.55  # correlation from which a pair is compared in full; of other people 99 of 100 are below (docs/measured.md)
)
_MOST = 48  # faces of one other person in a clip that a result is laid over, those of the nearest pictures first
_AT_ONCE = 256  # that are laid over at once; bounds memory


class Originals:
    """The originals of a batch, and the judge of faces that show another one's.

    Args:
        faces: cropped; those that carry no original are left out.
    """

    def __init__(self, faces: Faces):
        known = [(face, as_colours(face.original)) for face in faces if face.original is not None]
        self._faces, self._originals = [face for face, _ in known], [original for _, original in known]

    def __call__(self, sights: Sequence[Sight]) -> list[Verdict | None]:
        """Refuse what shows somebody else's original."""
        return [self._judge(sight) for sight in sights]

    def _judge(self, sight: Sight) -> Verdict | None:
        others = self._others(sight.placement.face)
        if not others:
            return None
        parts = (others[i : i + _AT_ONCE] for i in range(0, len(others), _AT_ONCE))
        near = np.concatenate([self._nearness(sight.result, part) for part in parts])
        best = int(near.argmax())
        if near[best] < _WORTH:
            return None
        likeness = compare(self._originals[others[best]], sight.result, sight.visible)
        if not likeness.is_original:
            return None
        value, limit = likeness.decisive
        return Verdict(
            STILL_ORIGINAL,
            f"it is another face of these pictures: structure agrees by {value:.3f}, {limit:g} is the most",
        )

    def _others(self, own: Face) -> list[int]:
        """Whom a result may show: everybody else; of people in a clip, who are there again and again, some pictures."""
        others = [i for i, face in enumerate(self._faces) if not _is_same(face, own)]
        others.sort(key=lambda i: abs(self._faces[i].image_index - own.image_index))
        seen: Counter[int] = Counter()
        chosen = []
        for i in others:
            track = self._faces[i].track
            if track is None or seen[track] < _MOST:
                chosen.append(i)
            if track is not None:
                seen[track] += 1
        return chosen

    def _nearness(self, result: np.ndarray, others: list[int]) -> np.ndarray:
        """The largest correlation of a result with each of some originals, over shifts and mirror, float [N]."""
        index = np.arange(-_REACH, _REACH + 1)
        wanted, energies = self._spectra
        best = np.zeros(len(others))
        for colours in (result, result[:, :, ::-1]):
            shown = _pattern(colours)
            agreement = np.fft.irfft2(np.conj(wanted[others]) * np.fft.rfft2(shown), (_SIDE, _SIDE))
            spread = np.fft.irfft2(np.conj(np.fft.rfft2(_weights())) * np.fft.rfft2(shown * shown), (_SIDE, _SIDE))
            agreement, spread = agreement[:, index[:, None], index], spread[index[:, None], index]
            near = np.abs(agreement) / np.sqrt(np.maximum(spread * energies[others, None, None], 1e-12))
            best = np.maximum(best, near.max((1, 2)))
        return best

    @cached_property
    def _spectra(self) -> tuple[np.ndarray, np.ndarray]:
        patterns = np.stack([_pattern(original) for original in self._originals])
        weighted = patterns * _weights()
        return np.fft.rfft2(weighted), (weighted * patterns).sum((1, 2))


def _is_same(one: Face, other: Face) -> bool:
    """Whether two faces are one, or one tracked person's."""
    return one is other or (one.track is not None and one.track == other.track)


def _pattern(colours: np.ndarray) -> np.ndarray:
    luma = luma_of(colours).reshape(_SIDE, 4, _SIDE, 4).mean((1, 3))
    return smooth(luma, _BAND[0]) - smooth(luma, _BAND[1])


def _weights() -> np.ndarray:
    return inner_face().reshape(_SIDE, 2, _SIDE, 2).mean((1, 3))
