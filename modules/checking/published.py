"""Does a model folder do what the method does: reconstruct, swap, anonymize? Touches the host: runs its models.

A first look at unknown weights. Whose a photographed face is, the recognisers of the pack judge; of drawn faces, which
they know little of, what moves in the picture, and which way.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import comfy.samplers
import torch
from torch.nn.functional import adaptive_avg_pool2d

from ..faces.alignment import crop_faces
from ..faces.outcomes import REDACTED
from ..faces.paste.paste_or_redact import replace_faces
from ..faces.settings import DetectSettings
from ..host.detector import detect
from ..model import checkpoint
from ..model.comfy_engine import FaceAnonModel
from ..model.loading import load_model_folder, read_layout
from ..model.painting import anonymize_crops, swap_crops
from ..model.references import EncodedImages, References
from ..model.sampling import Applied, apply_references
from ..model.settings import PaintSettings, SamplerSettings
from ..model.unet_layout import LayerKey
from .finding import sample_pictures
from .recognised import Judge
from .verdicts import Checks
from .work import DEGREE, SEED

STEPS = 25
LEAST_PSNR = 24.0  # dB; a Stable Diffusion VAE keeps a photo's face at 30 and more
LEAST_CHANGE = 1.1  # an anonymized face is so many times farther from the original than a rebuilt one (demo model: 1.2)
MOST_SHIFT = 0.08  # of the crop's side: how far the five points of a painted face may be from the driving face's
TIMESTEPS = (50, 200, 500)
_CELLS = 16  # a face is compared in so many cells a side


def check_published(checks: Checks, folder: Path, assets: Path) -> None:
    """Add the verdicts on a model folder, by sample faces.

    Args:
        checks: gets the verdicts.
        folder: of the model.
        assets: folder of the sample pictures, see finding.sample_pictures.
    """
    with checks.part("the model loads"):
        model = load_model_folder(folder)
        settings = checkpoint.read_settings(folder)
        prediction = checkpoint.read_prediction_type(folder)
        checks.check("the model loads", True, "every tensor used, every place filled")
        text = f"routing {settings.routing}, {settings.resolution} pixels, {prediction}"
        checks.tell("the model says of itself", text + ("; a demonstration" if settings.demonstration else ""))
        pictures = sample_pictures(assets, settings.demonstration != "")
        faces = [detect(picture) for picture in pictures]
        cut = [crop_faces(picture, found, settings.resolution) for picture, found in zip(pictures, faces, strict=True)]
        crops = torch.cat([crop for crop, _ in cut])
        routes = read_layout(folder / checkpoint.UNET).routes
        with checks.part("VAE, there and back"):
            _check_vae(checks, model, crops)
        with checks.part("routing and prediction"):
            other = next(name for name in checkpoint.ROUTINGS if name != settings.routing)
            rerouted = with_routes(model, routes(other))
            _check_training(checks, {settings.routing: model, other: rerouted}, crops, prediction)
        with checks.part("painting"):
            sampler = SamplerSettings(steps=min(STEPS, settings.steps), guidance_scale=settings.guidance_scale)
            fits = list(zip(pictures, [cropped for _, cropped in cut], strict=True))
            # the drawn group is the last of the pictures
            drawn = [picture is pictures[-1] for picture, cropped in fits for _ in cropped]
            judge = Judge(crops, [face for _, cropped in fits for face in cropped], drawn)
            _check_painting(checks, model, crops, fits, sampler, judge=judge, held=not all(drawn))


def _check_vae(checks: Checks, model: FaceAnonModel, crops: torch.Tensor) -> None:
    decoded = model.decode(model.encode(crops)).cpu()
    ratios = [psnr(one, crop) for one, crop in zip(decoded, crops, strict=True)]
    listed = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    checks.check("VAE, there and back", min(ratios) >= LEAST_PSNR, f"{listed} dB a face, at least {LEAST_PSNR:g}")


def _check_training(checks: Checks, models: dict[str, FaceAnonModel], crops: torch.Tensor, prediction: str) -> None:
    """Noised faces, each rebuilt in one step with itself as reference: what the model was trained to do.

    models: routing -> the model with it; its own first. Another routing, and another reading of what the network
    predicts, rebuild worse.
    """
    errors: dict[str, list[float]] = {}
    for routing, model in models.items():
        encoded = EncodedImages.of(model, crops)
        applied = apply_references(model.unet, References.of(model, encoded, encoded, degree=0.0))
        scaled = model.unet.model.process_latent_in(encoded.latents).float().cpu()
        for timestep in TIMESTEPS:
            x, sigma, rebuilt = _denoise_once(applied, scaled, timestep)
            errors.setdefault(routing, []).append(_share(rebuilt, scaled))
            misread = _misread(x, sigma, rebuilt, prediction)
            errors.setdefault(f"{routing} misread", []).append(_share(misread, scaled))
    means = {name: sum(values) / len(values) for name, values in errors.items()}
    own, other = models
    where = f"rebuilt in one step from timesteps {', '.join(map(str, TIMESTEPS))}"
    found = f"{where}: {means[own]:.3f} off, with {other} {means[other]:.3f}"
    checks.check(f"the routing is {own}", means[own] < means[other], found)
    reading = "epsilon" if prediction == "v_prediction" else "v_prediction"
    found = f"{where}: {means[own]:.3f} off, read as {reading} {means[f'{own} misread']:.3f}"
    checks.check(f"the prediction is {prediction}", means[own] < min(1.0, means[f"{own} misread"]), found)


def _share(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def _misread(x: torch.Tensor, sigma: float, denoised: torch.Tensor, prediction: str) -> torch.Tensor:
    """What would have been made of x, had the network's output been taken for the other kind of prediction."""
    root = (1 + sigma**2) ** 0.5
    if prediction == "v_prediction":
        return x - (x / root**2 - denoised) * root  # the output itself is that over sigma
    return x / root**2 - (x - denoised) / root


def _denoise_once(applied: Applied, latents: torch.Tensor, timestep: int) -> tuple[torch.Tensor, float, torch.Tensor]:
    """(the latents, noised as the host scales them; sigma; what the network makes of them), float32 on the CPU.

    latents: as the network has them, not as the VAE.
    """
    sigma = applied.model.get_model_object("model_sampling").sigmas[timestep].item()
    noised = latents + sigma * torch.randn(latents.shape, generator=torch.Generator().manual_seed(SEED))

    def predict(model, x, sigmas, *, extra_args, **_):
        return model(noised.to(x), sigmas[:1].expand(x.shape[0]), **extra_args)

    guider = comfy.samplers.CFGGuider(applied.model)
    guider.set_conds(applied.positive, applied.negative)
    guider.set_cfg(1.0)
    empty, schedule = torch.zeros_like(noised), torch.tensor([sigma, 0.0])
    found = guider.sample(empty, empty, comfy.samplers.KSAMPLER(predict), schedule, disable_pbar=True, seed=SEED)
    return noised, sigma, applied.model.model.process_latent_in(found.float().cpu())  # it hands out the VAE's scale


def _check_painting(
    checks: Checks,
    model: FaceAnonModel,
    crops: torch.Tensor,
    fits,
    sampler: SamplerSettings,
    *,
    judge: Judge,
    held: bool,
) -> None:
    """Faces rebuilt, swapped each for the next, and anonymized.

    fits: (picture, its faces), in the crops' order. held: a photograph is among them, which the recognisers judge; else
    the picture says whether the faces changed.
    """
    count = len(crops)
    following = [(number + 1) % count for number in range(count)]

    def paint(degree: float, which: list[int] | None) -> torch.Tensor:
        settings = PaintSettings(degree, SEED, sampler)
        if which is None:
            return anonymize_crops(model, crops, range(count), settings).cpu()
        return swap_crops(model, crops, crops, range(count), settings, which=which).cpu()

    painted = {"rebuilt": paint(0.0, None), "swapped": paint(0.0, following), f"d = {DEGREE}": paint(DEGREE, None)}
    rebuilt, swapped, anonymous = painted.values()
    own, sources = list(crops), [crops[number] for number in following]
    before, after = ((_mean_distance(faces, sources), _mean_distance(faces, own)) for faces in (rebuilt, swapped))
    found = f"of {count} inner faces to the source {before[0]:.3f}, swapped {after[0]:.3f}; "
    found += f"to the driving face {before[1]:.3f}, swapped {after[1]:.3f}"
    checks.check("a swap turns to its source", after[0] < before[0] and after[1] > before[1], f"mean distance {found}")
    nearer = sum(distance(face, sources[number]) < distance(face, own[number]) for number, face in enumerate(swapped))
    checks.tell("a swap", f"{nearer} of {count} nearer to the source than to the driving face, in the picture alone")
    judge.tell_swaps(checks, "a swap, by recognisers", swapped, following)
    judge.check_same(checks, "the same person, rebuilt", rebuilt)
    judge.check_strangers(checks, f"a stranger at d = {DEGREE}, by both recognisers", anonymous)

    changes = [_mean_distance(faces, own) for faces in (rebuilt, anonymous)]
    first, unfit = 0, []
    for picture, faces in fits:
        _, _, report = replace_faces(picture, anonymous[first : first + len(faces)], faces)
        unfit += [entry.reason for entry in report.entries if entry.action == REDACTED]
        first += len(faces)
    found = f"{changes[1]:.3f} from the original, rebuilt {changes[0]:.3f}"
    found += "; whose it is, recognisers say" if held else f"; at least {LEAST_CHANGE} times as far"
    holds = (held or changes[1] >= LEAST_CHANGE * changes[0]) and not unfit
    checks.check(f"changed at d = {DEGREE}", holds, "; ".join([found, *(f"a face is {why}" for why in unfit)]))
    for what, faces in painted.items():
        shifts = [_shift(one, crop) for one, crop in zip(faces, crops, strict=True)]
        listed = ", ".join("no face found" if math.isinf(shift) else f"{shift:.3f}" for shift in shifts)
        found = (
            f"five points off the driving face's by {listed} of the side; at most {MOST_SHIFT} in the middle of these"
        )
        checks.check(f"pose, {what}", statistics.median(shifts) <= MOST_SHIFT, found)


def _mean_distance(faces: Iterable[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    return sum(distance(one, other) for one, other in zip(faces, others, strict=True)) / len(others)


def with_routes(model: FaceAnonModel, routes: Mapping[LayerKey, LayerKey]) -> FaceAnonModel:
    """The same model with another routing: attention layer -> layer whose reference state it reads."""
    nets = {name: copy.copy(getattr(model, name)) for name in ("source_reference_net", "driving_reference_net")}
    for net in nets.values():
        net.routes = routes
    return model._replace(**nets)


def psnr(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of pictures in 0..1, in dB."""
    error = (ours.clamp(0, 1) - theirs).double().square().mean().clamp_min(1e-12)
    return -10 * error.log10().item()


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """How far apart two aligned crops [S, S, 3] are in their middle, in coarse cells, but for brightness and tint."""
    cells = []
    for crop in (ours, theirs):
        side = crop.shape[0]
        inner = crop[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4].movedim(-1, 0).float()
        small = adaptive_avg_pool2d(inner[None], _CELLS)[0]
        cells.append(small - small.mean((1, 2), keepdim=True))
    return (cells[0] - cells[1]).square().mean().sqrt().item()


def _shift(painted: torch.Tensor, crop: torch.Tensor) -> float:
    """Mean distance of the five points of the faces in two crops, as a share of the side; infinite without."""
    points = []
    for one in (painted, crop):
        found = detect(one[None], DetectSettings(max_faces=1))
        if not len(found):
            return math.inf
        points.append(found.faces[0].points)
    return float(((points[0] - points[1]) ** 2).sum(1).mean() ** 0.5 / crop.shape[0])
