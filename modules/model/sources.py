"""Faces whose identity other crops get: each is read once, however many crops ask for it. Pure: no ComfyUI here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from .engine import Engine
from .references import EncodedImages, source_reference
from .states import ImageEmbeds, ReferenceStates

_KEPT = 16  # faces whose states stay for later crops; of one face of the published size they take some 15 MB in fp16


@dataclass
class _Face:
    """What was read of one face: its latents and embedding, and by degree its states and scaled embedding."""

    encoded: EncodedImages
    by_degree: dict[float, tuple[ReferenceStates, ImageEmbeds]] = field(default_factory=dict)


class Sources:
    """Faces that are put onto crops, such as the synthetic ones of the people of a clip.

    VAE, image encoder and source ReferenceNet see a face when a crop first asks for it. What they give stays while no
    more than so many other faces are asked for, so that memory is bounded in a clip of a crowd.

    Args:
        engine: of the model.
        images: aligned faces, float [M, S', S', 3 or 4], 0..1.
        size: side of the crops in pixels, which the faces are brought to.
    """

    def __init__(self, engine: Engine, images: torch.Tensor, size: int):
        self._engine, self.images = engine, _resize(images, size)
        self._faces: OrderedDict[int, _Face] = OrderedDict()  # the one that was asked for last comes last

    def __len__(self) -> int:
        return len(self.images)

    def of(self, faces: Sequence[int]) -> SourceFaces:
        """The sources of some crops.

        Args:
            faces: which face each crop gets, by its place among the images. Where all get one, it is read as one.
        """
        return SourceFaces(self, tuple(faces[:1] if len(set(faces)) == 1 else faces))

    def read(self, faces: Sequence[int], degree: float) -> tuple[ReferenceStates, ImageEmbeds]:
        """States and embedding of faces, as source_reference gives them; those that are not kept are read together.

        Args:
            faces: which, by their places among the images; one of them more than once too.
            degree: of anonymization.

        Raises:
            ValueError: for a degree that is no number.
        """
        mine = {face: self._faces[face] for face in faces if face in self._faces}
        new = [face for face in dict.fromkeys(faces) if face not in mine]
        if new:
            encoded = EncodedImages.of(self._engine, self.images[new])
            mine |= {face: _Face(_one(encoded, place)) for place, face in enumerate(new)}
        unread = [face for face, one in mine.items() if degree not in one.by_degree]
        if unread:
            together = _joined([mine[face].encoded for face in unread])
            states, embeds = source_reference(self._engine, together, degree)
            for place, face in enumerate(unread):
                mine[face].by_degree[degree] = states.part([place]), embeds.part([place])
        for face, one in mine.items():
            self._faces[face] = one
            self._faces.move_to_end(face)
        while len(self._faces) > _KEPT:
            self._faces.popitem(last=False)
        several = [mine[face].by_degree[degree] for face in faces]
        (states, embeds), *others = several
        if not others:
            return states, embeds
        conditional = {layer: torch.cat([one.conditional[layer] for one, _ in several]) for layer in states.conditional}
        return replace(states, conditional=conditional), _joined_embeds([one for _, one in several])


@dataclass(frozen=True)
class SourceFaces:
    """The sources of some crops.

    Args:
        sources: what they are among.
        faces: the place of each there; one for all crops, or one a crop.
    """

    sources: Sources
    faces: tuple[int, ...]

    def part(self, crops: Sequence[int] | None) -> SourceFaces:
        """The sources of some of the crops; None: of all."""
        if crops is None or len(self.faces) == 1:
            return self
        return self.sources.of([self.faces[crop] for crop in crops])

    def read(self, degree: float) -> tuple[ReferenceStates, ImageEmbeds]:
        """States and embedding at a degree; ValueError where it is no number."""
        return self.sources.read(self.faces, degree)


def _one(images: EncodedImages, place: int) -> EncodedImages:
    return images.part([place]) if len(images.latents) > 1 else images


def _joined(several: Sequence[EncodedImages]) -> EncodedImages:
    return EncodedImages(torch.cat([one.latents for one in several]), _joined_embeds([one.embeds for one in several]))


def _joined_embeds(several: Sequence[ImageEmbeds]) -> ImageEmbeds:
    return replace(several[0], embeds=torch.cat([one.embeds for one in several]))


def _resize(images: torch.Tensor, size: int) -> torch.Tensor:
    if images.shape[1:3] == (size, size):
        return images
    moved = images[..., :3].float().movedim(-1, 1)
    moved = torch.nn.functional.interpolate(moved, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return moved.clamp(0, 1).movedim(1, -1)
