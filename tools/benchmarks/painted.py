"""What a model makes of crops at several degrees and denoise. Touches the host: runs its models."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

from face_anonymizer.modules.host.location import find_comfyui
from face_anonymizer.modules.model import checkpoint, ddpm

_DENOISE = (0.1, 0.2, 0.3, 0.5, 0.7)
_DEGREES = (0.0, 0.3, 0.6, 1.25)
_STEPS, _GUIDANCE = 20, 2.0


def paint(crops: torch.Tensor, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Crops as a model gives them back.

    Args:
        crops: float [N, S, S, 3], 0..1.
        name: a folder of models/face_anon.

    Yields:
        What was done, and crops [N, s, s, 3] at the model's own size.
    """
    sys.path.insert(0, str(find_comfyui()))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    import comfy.cli_args

    comfy.cli_args.args.cpu = not torch.cuda.is_available()
    import comfy.sample

    from face_anonymizer.modules.model.loading import load_model_folder
    from face_anonymizer.modules.model.painting import anonymize_crops, swap_crops
    from face_anonymizer.modules.model.references import EncodedImages, References
    from face_anonymizer.modules.model.sampling import apply_references
    from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings

    with torch.inference_mode():
        model = load_model_folder(checkpoint.find_model_folders([checkpoint.PACK_MODELS])[name])
        size = (model.resolution, model.resolution)
        moved = torch.nn.functional.interpolate(crops.movedim(-1, 1), size, mode="bicubic", antialias=True)
        crops, offsets = moved.clamp(0, 1).movedim(1, -1), range(len(crops))
        latents = model.encode(crops)
        yield "VAE, there and back", model.decode(latents)
        encoded = EncodedImages.of(model, crops)
        applied = apply_references(model.unet, References.of(model, encoded, encoded, 1.25))
        noise = ddpm.draw_noise(ddpm.face_generators(offsets), latents.shape[1:])
        how = (_STEPS, _GUIDANCE, "dpmpp_2m", "karras", applied.positive, applied.negative)
        for denoise in _DENOISE:
            found = comfy.sample.sample(
                applied.model, noise, *how, latents.clone(), denoise=denoise, disable_pbar=True, seed=0
            )
            yield f"KSampler, degree 1.25, denoise {denoise:g}", model.decode(found)
        sampler = SamplerSettings("dpmpp_2m", steps=_STEPS, guidance_scale=_GUIDANCE)
        for degree in _DEGREES:
            yield f"degree {degree:g}", anonymize_crops(model, crops, offsets, PaintSettings(degree, 0, sampler))
        others = PaintSettings(0.0, 1, sampler)
        yield "swapped, degree 0", swap_crops(model, crops.roll(1, 0), crops, offsets, others)
