"""The source and the driving image as a sampler needs them: two reference states, two embeddings. Pure: no ComfyUI.

Section 3.2 of the paper (Kung et al., WACV 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from .states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates, common_batch, interpolate_states

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True)
class EncodedImages:
    """Face crops as VAE and image encoder give them to the ReferenceNets.

    Args:
        latents: [B, C, h, w] in the scale of their engine.
        embeds: B of them, of degree 0.
    """

    latents: torch.Tensor
    embeds: ImageEmbeds

    @classmethod
    def of(cls, engine: Engine, images: torch.Tensor) -> EncodedImages:
        """Encode images [B, S, S, 3 or 4], 0..1."""
        return cls(engine.encode(images), engine.embed(images))

    def part(self, images: slice | Sequence[int]) -> EncodedImages:
        """Some of the images."""
        return EncodedImages(self.latents[images], self.embeds.part(images))


def source_reference(engine: Engine, images: EncodedImages, degree: float) -> tuple[ReferenceStates, ImageEmbeds]:
    """States and embedding of source images, both at one degree: equations (2) and (1) of the paper.

    The states depend on the degree twice: by the embedding, which is the ReferenceNet's context, and by interpolation.

    Args:
        engine: whose source ReferenceNet runs.
        images: the source, encoded by this engine.
        degree: d, of anonymization; 0 keeps the source's identity.

    Raises:
        ValueError: for a degree that is no number.
    """
    embeds = images.embeds.scaled(degree)
    return interpolate_states(engine.source_states(images.latents, embeds), degree), embeds


@dataclass(frozen=True)
class References:
    """The four values that a sampler reads beside its noise; each batch is the same number or 1, which serves all.

    Args:
        source_states: of the source ReferenceNet, interpolated to the degree: equation (2).
        driving_states: of the driving ReferenceNet.
        source_embeds: scaled to the degree: equation (1).
        driving_embeds: of degree 0.
        mixed_degrees: whether the source's states and embedding may differ in degree, for ablations alone.
    """

    source_states: ReferenceStates
    driving_states: ReferenceStates
    source_embeds: ImageEmbeds
    driving_embeds: ImageEmbeds
    mixed_degrees: bool = False

    @classmethod
    def of(cls, engine: Engine, source: EncodedImages, driving: EncodedImages, degree: float) -> References:
        """Run both ReferenceNets.

        Args:
            engine: whose networks run.
            source: whose identity it is about, one image or as many as driving ones.
            driving: whose expression, pose, gaze, light and background stay. To anonymize, the source itself.
            degree: of anonymization; 0 keeps the source's identity.
        """
        states, embeds = source_reference(engine, source, degree)
        return cls(states, engine.driving_states(driving.latents, driving.embeds), embeds, driving.embeds)

    @property
    def batch(self) -> int:
        """How many faces these are; ValueError names the four batches where they do not fit."""
        return common_batch(
            source_states=self.source_states.batch,
            driving_states=self.driving_states.batch,
            source_embeds=self.source_embeds.batch,
            driving_embeds=self.driving_embeds.batch,
        )

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width in latent pixels."""
        return self.driving_states.latent_size

    def part(self, faces: slice | Sequence[int]) -> References:
        """The references of some faces of the batch."""
        return replace(
            self,
            source_states=self.source_states.part(faces),
            driving_states=self.driving_states.part(faces),
            source_embeds=self.source_embeds.part(faces),
            driving_embeds=self.driving_embeds.part(faces),
        )

    def check(self, model: str, context_dim: int) -> int:
        """Make sure that the four fit together and to the model that samples.

        Args:
            model: the folder of that model; "" where it is not known.
            context_dim: the width of the embeddings that it takes.

        Returns:
            The batch: how many faces these are.

        Raises:
            ValueError: what does not fit (connections swapped, another model, degree, size or batch), and the next
                step.
        """
        self._check_roles()
        self._check_models(model)
        if self.source_states.latent_size != self.driving_states.latent_size:
            (source_h, source_w), (driving_h, driving_w) = (
                self.source_states.latent_size,
                self.driving_states.latent_size,
            )
            raise ValueError(
                f"The source latent is {source_w}x{source_h}, the driving latent {driving_w}x{driving_h} (latent "
                f"pixels). Bring both images to one size before VAE Encode, for example 512x512."
            )
        if context_dim != self.source_embeds.embeds.shape[-1]:
            raise ValueError(
                f"The MODEL takes embeddings of width {context_dim}, these are {self.source_embeds.embeds.shape[-1]} "
                f"wide. Take MODEL and CLIP_VISION from one FaceAnonLoadModel."
            )
        self._check_degrees()
        return self.batch

    def _check_roles(self) -> None:
        for states, role in ((self.source_states, SOURCE), (self.driving_states, DRIVING)):
            if states.role != role:
                raise ValueError(
                    f"{role}_states holds states of a {states.role} ReferenceNet. Swap the two connections."
                )
        if self.driving_embeds.degree != 0:
            raise ValueError(
                f"driving_embeds was encoded with degree {self.driving_embeds.degree}. The driving embedding is never "
                f"scaled: encode the driving image with degree 0, in a FaceAnonEncodeImage of its own."
            )

    def _check_models(self, model: str) -> None:
        models = {
            "MODEL": model,
            "source_states": self.source_states.model,
            "driving_states": self.driving_states.model,
            "source_embeds": self.source_embeds.model,
            "driving_embeds": self.driving_embeds.model,
        }
        known = {folder for folder in models.values() if folder}
        # states without a folder were made by hand; a MODEL without one comes from a loader of ComfyUI's own
        foreign = self.source_states.model and not model
        if len(known) > 1 or foreign or self.source_states.routes != self.driving_states.routes:
            listed = ", ".join(f"{what} of {folder or 'an unknown model'}" for what, folder in models.items())
            raise ValueError(f"The inputs come from different models: {listed}. Use one FaceAnonLoadModel for all.")

    def _check_degrees(self) -> None:
        degrees = {
            "Interpolate States": self.source_states.degree,
            "the Encode Image before Source Reference": self.source_states.embeds_degree,
            "the Encode Image of source_embeds": self.source_embeds.degree,
        }
        if not self.mixed_degrees and not _are_equal(degrees.values()):
            listed = ", ".join(f"{value:g} in {place}" for place, value in degrees.items())
            raise ValueError(
                f"The degree differs: {listed}. A part of the source's identity would be kept: up to one face in four "
                f"is recognised then (docs/evaluation.md, ablation). Set one degree everywhere, best by one Float "
                f"wired into both nodes."
            )


def _are_equal(degrees: Iterable[float]) -> bool:
    """Whether these are one number, but for the last digits of arithmetic."""
    first, *others = degrees
    return all(math.isclose(first, other, rel_tol=1e-6, abs_tol=1e-6) for other in others)
