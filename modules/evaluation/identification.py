"""Whose face is it: identification within a gallery, and how far the faces of a set lie apart."""

from __future__ import annotations

import torch

from .measured import IDENTITY, Measured, similarities, unit
from .statistics import Threshold


def identified(
    probes: Measured, gallery: Measured, own: torch.Tensor | None = None, hidden: torch.Tensor | None = None
) -> torch.Tensor:
    """Whether a search in the gallery finds the probe's own person: the nearest by the cosine of identity vectors.

    Rank-1 re-identification as in section 4 of the paper (arXiv 2411.00762): each changed face is looked up among the
    originals of the test set. The paper's gallery is the originals themselves; harder ones are other pictures of the
    same people, and changed ones ("A False Sense of Privacy", arXiv 2304.01635).

    Args:
        probes: P faces that are looked up.
        gallery: G faces among which they are looked up.
        own: bool [P, G], which of the gallery show the probe's person; None: its row i alone shows that of probe i.
        hidden: bool [P, G], which of the gallery are not searched for this probe, such as its own picture; None: none.

    Returns:
        Float64 [P]: 1 where the own person is found, 0 where another one is; NaN where the probe, or its own person in
        the gallery, is not measurable: neither success nor failure.
    """
    rows = torch.arange(len(probes))
    own = rows[:, None] == torch.arange(len(gallery)) if own is None else own
    cosines = similarities(probes, gallery)
    if hidden is not None:
        cosines, own = cosines.masked_fill(hidden, torch.nan), own & ~hidden
    nearest = torch.nan_to_num(cosines, nan=-torch.inf).argmax(1)
    measurable = probes.found & (own & gallery.found).any(1)
    return torch.where(measurable, own[rows, nearest].double(), torch.nan)


def accepted(cosines: torch.Tensor, threshold: Threshold) -> torch.Tensor:
    """Whether a verifier at this threshold takes two faces for one person.

    Args:
        cosines: of pairs of faces, float [N].
        threshold: that the cosine must exceed.

    Returns:
        Float64 [N]: 1 where it does, 0 where it does not; NaN stays NaN.
    """
    return torch.where(cosines.isnan(), torch.nan, (cosines > threshold.value).double())


def cosine_distances(faces: Measured) -> torch.Tensor:
    """1 - cosine of each with each, float64 [N, N]."""
    return 1 - similarities(faces, faces)


def euclidean_distances(faces: Measured) -> torch.Tensor:
    """Distances between identity vectors as they are, float64 [N, N].

    Faces near the average have short vectors, whose directions are noise: many copies of one average face can lie far
    apart by cosine. By this distance they lie close together.
    """
    return torch.cdist(faces.of(IDENTITY), faces.of(IDENTITY), compute_mode="donot_use_mm_for_euclid_dist")


def pair_cosines(first: Measured, second: Measured) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of identity vectors between two pictures each of N people.

    Args:
        first: one picture of each person.
        second: another one, in the same order.

    Returns:
        Those of one person, [N], and those of different people, [N (N - 1)].
    """
    cosines = unit(first.of(IDENTITY)) @ unit(second.of(IDENTITY)).T
    return cosines.diagonal(), cosines[~torch.eye(len(cosines), dtype=torch.bool)]
