"""Groups of synthetic faces, rendered and kept in the memory of one device: what a training on a GPU learns from.

A group is each of SIDE people under each of SIDE scenes (modules/synthetic/groups.py, which numbers them alike). On a
GPU they are rendered faster than a disk would give them, so that nobody has to come twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional

from face_anonymizer.modules.model.diffusers_engine.encoders import Encoders
from face_anonymizer.modules.synthetic.parameters import Parameters, sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.training.batches import Batch

SIDE = 6
BLOCK = 8  # pixels of a side that one latent stands for
_AT_ONCE = 24  # groups


@dataclass(frozen=True)
class Groups:
    """Pictures of G groups, by group, then person, then scene.

    Attributes:
        images: uint8 [G * SIDE ** 2, 3, S, S].
        truth: float32 [G * SIDE ** 2, 101], parameters of identity and attributes, normalised.
        clear: bool [G * SIDE, S / BLOCK, S / BLOCK], by group, then scene: blocks that none of the people touches under
            this scene, nor any block beside them.
    """

    images: torch.Tensor
    truth: torch.Tensor
    clear: torch.Tensor


def render_groups(numbers: range, seed: int, size: int, device: str) -> Iterator[Groups]:
    """Render groups, some at a time.

    Args:
        numbers: of the groups, from 0.
        seed: of people and scenes.
        size: side of the pictures in pixels, a multiple of BLOCK.
        device: where they are rendered and left.
    """
    for first in range(numbers.start, numbers.stop, _AT_ONCE):
        groups = min(_AT_ONCE, numbers.stop - first)
        drawn = range(first * SIDE, (first + groups) * SIDE)
        people, scenes = sample_identities(drawn, seed), sample_attributes(drawn, seed)
        by_person = people.values.view(groups, SIDE, 1, -1).expand(-1, -1, SIDE, -1).flatten(0, 2)
        by_scene = scenes.values.view(groups, 1, SIDE, -1).expand(-1, SIDE, -1, -1).flatten(0, 2)
        rendered = render(Parameters(people.table, by_person), Parameters(scenes.table, by_scene), size, device)
        images = (rendered.images * 255).round().byte().movedim(-1, 1)
        yield Groups(images, torch.cat([by_person, by_scene], 1).to(device), _clear(rendered.background_mask))


def _clear(background: torch.Tensor) -> torch.Tensor:
    """background: float32 [G * SIDE ** 2, S, S], 0..1, where neither person nor clothing is."""
    touched = functional.max_pool2d(1 - background[:, None], BLOCK)
    touched = functional.max_pool2d(touched, 3, 1, 1)[:, 0]  # the autoencoder looks into the blocks beside
    of_all = touched.unflatten(0, (-1, SIDE, SIDE)).amax(1)
    return (of_all < 1 / 255).flatten(0, 1)


@dataclass(frozen=True)
class EncodedGroups:
    """Groups as the method sees them.

    Attributes:
        latents: float16 [G * SIDE ** 2, C, h, w], scaled.
        embeds: float16 [G * SIDE ** 2, 1, width].
        clear: bool [G * SIDE, h, w], as of Groups.
    """

    latents: torch.Tensor
    embeds: torch.Tensor
    clear: torch.Tensor

    def batch(self, count: int, generator: torch.Generator) -> tuple[Batch, torch.Tensor]:
        """Random triples of random groups.

        Args:
            count: how many, B.
            generator: on the device of the latents.

        Returns:
            The triples, and float32 [B, 1, h, w], 1 where nobody touches the driving image's scene.
        """
        device = self.latents.device

        def draw(below: int) -> torch.Tensor:
            return torch.randint(below, (count,), generator=generator, device=device)

        group, person, scene = draw(len(self.clear) // SIDE), draw(SIDE), draw(SIDE)
        other = (person + 1 + draw(SIDE - 1)) % SIDE
        before = (scene + 1 + draw(SIDE - 1)) % SIDE
        source, driving, truth = (
            (group * SIDE + who) * SIDE + where for who, where in ((person, before), (other, scene), (person, scene))
        )
        latents = [self.latents[rows].float() for rows in (source, driving, truth)]
        embeds = [self.embeds[rows].float() for rows in (source, driving)]
        return Batch(*latents, *embeds), self.clear[group * SIDE + scene, None].float()


@torch.no_grad()
def encode_groups(parts: Iterator[Groups], encoders: Encoders) -> EncodedGroups:
    """Encode groups as they are rendered; nothing else of them is kept.

    Args:
        parts: of render_groups, at the side that the image encoder takes.
        encoders: on their device.

    Raises:
        ValueError: the image encoder takes another side, for which pictures would have to be resized as PIL does.
    """
    latents, embeds, clear = [], [], []
    clip = encoders.clip_input
    for groups in parts:
        if clip.size != groups.images.shape[-1]:
            raise ValueError(
                f"The image encoder takes {clip.size} pixels, the pictures have {groups.images.shape[-1]}."
            )
        pixels = groups.images.float() / 255
        mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (clip.mean, clip.std))
        latents.append(torch.cat([encoders.encode(part * 2 - 1).half() for part in pixels.split(144)]))
        embeds.append(encoders.embeds((pixels - mean) / std).half())
        clear.append(groups.clear)
    return EncodedGroups(torch.cat(latents), torch.cat(embeds), torch.cat(clear))
