"""Whose face is it: identification within a gallery, and how far the faces of a set lie apart."""

from __future__ import annotations

import torch

from .measured import IDENTITY, Measured, similarities, unit
from .statistics import Threshold


def identified(probes: Measured, gallery: Measured, own: torch.Tensor | None = None) -> torch.Tensor:
    """Float [P]: 1 where the nearest of the gallery, by cosine of identity vectors, is the probe's own person, else 0.

    Rank-1 re-identification as in section 4 of the paper (arXiv 2411.00762): each changed face is looked up among the
    originals of the test set. The paper's gallery is the originals themselves; harder ones are other pictures of the
    same people, and changed ones ("A False Sense of Privacy", arXiv 2304.01635).
    own: bool [P, G], which of the gallery show the probe's person; None: its row i shows that of probe i alone. NaN
    where the probe, or its own person in the gallery, is not measurable: neither success nor failure.
    """
    rows = torch.arange(len(probes))
    own = rows[:, None] == torch.arange(len(gallery)) if own is None else own
    cosines = similarities(probes, gallery)
    nearest = torch.nan_to_num(cosines, nan=-torch.inf).argmax(1)
    measurable = probes.found & (own & gallery.found).any(1)
    return torch.where(measurable, own[rows, nearest].double(), torch.nan)


def accepted(cosines: torch.Tensor, threshold: Threshold) -> torch.Tensor:
    """Float [N]: 1 where a verifier at this threshold takes both for one person, 0 where not; NaN stays NaN."""
    return torch.where(cosines.isnan(), torch.nan, (cosines > threshold.value).double())


def cosine_distances(faces: Measured) -> torch.Tensor:
    """1 - cosine of each with each, float64 [N, N]."""
    return 1 - similarities(faces, faces)


def euclidean_distances(faces: Measured) -> torch.Tensor:
    """Distances of identity vectors as they are, float64 [N, N].

    Faces near the average have short vectors, whose directions are noise: many copies of one average face can lie far
    apart by cosine. They do not by this.
    """
    return torch.cdist(faces.of(IDENTITY), faces.of(IDENTITY), compute_mode="donot_use_mm_for_euclid_dist")


def pair_cosines(first: Measured, second: Measured) -> tuple[torch.Tensor, torch.Tensor]:
    """(genuine [N], impostor [N (N - 1)]): cosines of two pictures of each of N people, and of different people."""
    cosines = unit(first.of(IDENTITY)) @ unit(second.of(IDENTITY)).T
    return cosines.diagonal(), cosines[~torch.eye(len(cosines), dtype=torch.bool)]
