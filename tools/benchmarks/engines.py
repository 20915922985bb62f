"""What one face costs through ComfyUI's models and through diffusers': CPU seconds, each the median of the repeats.

    python scripts/with_env.py tools/run.py benchmarks.engines
    python scripts/with_env.py tools/run.py benchmarks.engines --model FOLDER --faces 2 --steps 4

Both engines of one model folder paint the same crops in turn on the CPU, in float32, with torch's own attention and the
same number of threads, by the paper's sampler; a first round that does not count comes before. Their largest difference
is printed beside, in levels of 255.

Exit status: 0 done, 1 the pictures are more than one level apart, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch
from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.host.process import find_model, quiet_host
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings


def crops_of(count: int, side: int) -> torch.Tensor:
    """Float [count, side, side, 3], 0..1: one photo, cut in other places."""
    photo = Image.open(PACK / "assets" / "astronaut.jpg").convert("RGB")
    cut = [photo.crop((150 + 20 * i, 20, 350 + 20 * i, 220)).resize((side, side)) for i in range(count)]
    levels = [torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(side, side, 3) for crop in cut]
    return torch.stack(levels).float() / 255


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=checkpoint.DEMO, help="a model folder, or its name")
    parser.add_argument("--faces", type=int, default=1, help="painted together")
    parser.add_argument("--steps", type=int, default=None, help="the model's own by default")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    folder = find_model(options.model)
    own = checkpoint.read_settings(folder)
    sampler = SamplerSettings(steps=options.steps or own.steps, guidance_scale=own.guidance_scale)
    settings, crops = PaintSettings(sampler=sampler), crops_of(options.faces, own.resolution)
    with quiet_host(cpu=True):
        import comfy.ldm.modules.attention as host_attention
        import comfy.ldm.modules.diffusionmodules.model as host_vae

        host_attention.optimized_attention = host_attention.attention_pytorch
        host_vae.vae_attention = lambda: host_vae.pytorch_attention
        from face_anonymizer.modules.model.diffusers_engine.loading import load_engine
        from face_anonymizer.modules.model.loading import load_model_folder
        from face_anonymizer.modules.model.painting import anonymize_crops

        engines = {
            "ComfyUI": load_model_folder(folder, weight_dtype="fp32"),
            "diffusers": load_engine(folder, "cpu", torch.float32),
        }
        painted: dict[str, torch.Tensor] = {}
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for repeat in range(options.repeats + 1):
            for name, engine in engines.items():
                started = time.process_time()
                painted[name] = anonymize_crops(engine, crops, list(range(options.faces)), settings)
                if repeat:
                    seconds[name].append((time.process_time() - started) / options.faces)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    for name, each in seconds.items():
        print(f"{name}: {medians[name]:.2f} CPU seconds a face (of {', '.join(f'{one:.2f}' for one in sorted(each))})")
    apart = (painted["ComfyUI"] - painted["diffusers"]).abs().max().item() * 255
    print(f"diffusers / ComfyUI: {medians['diffusers'] / medians['ComfyUI']:.2f}, {torch.get_num_threads()} threads")
    print(f"largest difference: {apart:.3f} levels of 255")
    return int(apart > 1)


if __name__ == "__main__":
    sys.exit(main())
