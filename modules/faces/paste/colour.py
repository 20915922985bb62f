"""Match a crop's colours to the picture's where both show the same, by the linear Monge-Kantorovich map.

Source: F. Pitie and A. Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based colour
transfer", CVMP 2007. Of all linear maps that give one normal distribution the mean and covariance of another it moves
colours the least, so that equal statistics leave every colour where it is. The sRGB curve stands here by hand: kornia's
is optional in ComfyUI.
"""

from __future__ import annotations

import numpy as np
import torch

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's mode L
_NOISE = (0.25 / 255) ** 2  # variance added to both sides: a ring flatter than this keeps gain 1
_GAINS = (0.5, 2.0)  # no direction of colour is stretched beyond; more is another content, not another light
_MEAN_PIXELS = 8.0  # with fewer (effective) pixels nothing is matched
_FULL_PIXELS = 64.0  # with fewer only the mean


def luma(values: torch.Tensor) -> torch.Tensor:
    """The grey of colours: float [..., 3] -> [..., 1], ITU-R BT.601."""
    return (values * values.new_tensor(LUMA)).sum(-1, keepdim=True)


def srgb_to_linear(values: torch.Tensor) -> torch.Tensor:
    """Linear light of sRGB values, both 0..1; what lies beyond is clamped. Source: IEC 61966-2-1."""
    values = values.clamp(0, 1)
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: torch.Tensor) -> torch.Tensor:
    """sRGB values of linear light, both 0..1; what lies beyond is clamped. Source: IEC 61966-2-1."""
    values = values.clamp(0, 1)
    return torch.where(values <= 0.0031308, values * 12.92, 1.055 * values.clamp_min(1e-6) ** (1 / 2.4) - 0.055)


def colour_map(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The map colour -> matrix @ colour + offset that takes the weighted statistics of source to those of target.

    Mean and covariance are matched where the weights count for 64 pixels ((sum w)^2 / sum w^2), the mean alone from 8,
    and nothing below. A flat source and target keep the matrix near identity: the variance of a quarter level of 255 is
    added to both.

    Args:
        source: float (N, 3), 0..1.
        target: float (N, 3), 0..1, the same places.
        weights: (N,), 0 or more.

    Returns:
        Matrix float64 (3, 3), symmetric with eigenvalues within 0.5..2, and offset (3,).

    Source: Pitie and Kokaram, section 3 (equation for T of the linear Monge-Kantorovitch solution).
    """
    total = weights.sum()
    effective = total**2 / max(float((weights**2).sum()), 1e-30)
    if effective < _MEAN_PIXELS:
        return np.eye(3), np.zeros(3)
    weights = weights / total
    source_mean, target_mean = weights @ source, weights @ target
    matrix = np.eye(3)
    if effective >= _FULL_PIXELS:
        covariances = [
            (weights[:, None] * (values - mean)).T @ (values - mean) + _NOISE * np.eye(3)
            for values, mean in ((source, source_mean), (target, target_mean))
        ]
        root = _power(covariances[0], 0.5)
        inverse = _power(covariances[0], -0.5)
        matrix = inverse @ _power(root @ covariances[1] @ root, 0.5) @ inverse
        matrix = _spectral((matrix + matrix.T) / 2, lambda values: np.clip(values, *_GAINS))
    return matrix, target_mean - matrix @ source_mean


def match_colour(
    crop: torch.Tensor, reference: torch.Tensor, weights: torch.Tensor, strength: float = 1.0
) -> torch.Tensor:
    """The crop with the colours of the reference: mean and covariance in linear light.

    The sRGB values are matched first: light adds and scales in linear light, but a model is off by constants and
    contrast of the values it was trained on, which no linear map of light undoes (docs/measured.md, "Constants of the
    face code").

    Args:
        crop: float [S, S, 3], sRGB 0..1.
        reference: float [R, R, 3], the picture's same square at any resolution.
        weights: float [N, N], 0 or more, where the two should look alike, on a grid over the square; both are averaged
            on that grid, so that neither noise nor sharpness counts as colour.
        strength: 0..1, from unchanged to matched.

    Returns:
        float [S, S, 3], 0..1. Never NaN for finite crops.

    Raises:
        ValueError: a strength beyond 0..1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength of the colour match is 0..1, got {strength}.")
    crop = crop.clamp(0, 1)
    matched = srgb_to_linear(_match_in(crop, reference, weights))
    matched = linear_to_srgb(_match_in(matched, srgb_to_linear(reference), weights))
    return torch.lerp(crop, matched, strength)


def _match_in(crop: torch.Tensor, reference: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    source, target = (_reduce(values, weights.shape[0]) for values in (crop, reference))
    matrix, offset = colour_map(source, target, weights.reshape(-1).cpu().double().numpy())
    matrix, offset = (crop.new_tensor(values.astype(np.float32)) for values in (matrix, offset))
    return crop @ matrix.T + offset


def _reduce(values: torch.Tensor, side: int) -> np.ndarray:
    # on the CPU: not every device averages to a side that does not divide the crop's, or has float64
    values = torch.nn.functional.adaptive_avg_pool2d(values.cpu().permute(2, 0, 1)[None], side)[0]
    return values.reshape(3, -1).T.double().numpy()


def _spectral(matrix: np.ndarray, function) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * function(values)) @ vectors.T


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    # rounding may leave an eigenvalue just below 0
    return _spectral(matrix, lambda values: np.maximum(values, 1e-18) ** exponent)
