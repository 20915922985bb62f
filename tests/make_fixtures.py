"""Copy from a folder of golden data what the tests need into tests/fixtures, tensors unchanged.

    python tests/make_fixtures.py REFERENCE_FOLDER

The golden data were recorded from the official code of the paper on a tiny random model; its MANIFEST.md says how.
Left out is what follows from what is kept (joined states, float copies of 8-bit pictures) and float64 twins.
"""

import json
import shutil
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

FIXTURES = Path(__file__).resolve().parent / "fixtures"
MODEL_PARTS = ("unet", "referencenet", "conditioning_referencenet", "vae", "image_encoder", "scheduler")

PIPELINE = ("src.latents", "src.image_embeds", "drv.latents", "drv.image_embeds", "init_noise", "variance_noise")
PIPELINE += ("timesteps", "final_latents", "output_u8")
PICTURES = ("src.init_image_u8", "src.vae_mean")
# Of the block-first routing: what the UNet was handed, with the null half as the official code computed it.
FIRST_LAYERS = ("down.0.0", "down.1.0", "down.2.0", "mid.0.0", "up.0.0", "up.1.0", "up.2.0")
HANDED = ("unet_embeds", *(f"unet_states.{layer}" for layer in FIRST_LAYERS))

CLIP = [
    f"{case}.{what}"
    for case in ("a_256", "b_256", "b_up", "bw")
    for what in ("init_image_u8", "clip_224_u8", "pooler_output")
]


def main(reference: Path) -> None:
    tiny = FIXTURES / "face_anon" / "tiny"
    for part in MODEL_PARTS:
        shutil.copytree(reference / part, tiny / part, dirs_exist_ok=True)
    (tiny / "face_anon.json").write_text(json.dumps({"routing": "block_first", "resolution": 128}) + "\n")

    golden = FIXTURES / "golden"
    golden.mkdir(parents=True, exist_ok=True)
    copy(reference, golden, "states", lambda key: not key.startswith(("d0.3", "d1.5")) and not key.endswith("_u8"))
    copy(reference, golden, "unet", lambda key: key == "latents" or key.endswith(".embeds") or ".v.t" in key)
    copy(reference, golden, "clip_preprocess", lambda key: key in CLIP)
    copy(reference, golden, "full_flow", lambda key: key != "result_u8" and not key.endswith(".decoded"))
    for file in sorted(reference.glob("pipeline_*.safetensors")):
        wanted = set(PIPELINE)
        if file.stem == "pipeline_swap_d0_g4_s8":
            wanted |= set(PICTURES)
        if file.stem == "pipeline_anon_d1.25_g4_s8":
            wanted |= set(HANDED)
        if file.stem.endswith("s200"):
            # 0.8 MB of draws that torch's generator gives again (seed 1, see the metadata)
            wanted.remove("variance_noise")
        copy(reference, golden, file.stem, wanted.__contains__)
    for name in ("timesteps.json", "full_size_keys.json"):
        content = json.loads((reference / name).read_text())
        (golden / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(sum(file.stat().st_size for file in FIXTURES.rglob("*") if file.is_file()) / 1e6, "MB in all")


def copy(reference: Path, golden: Path, name: str, wanted) -> None:
    with safe_open(reference / f"{name}.safetensors", framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if wanted(key)}  # noqa: SIM118 - safe_open is no dict
        save_file(tensors, golden / f"{name}.safetensors", metadata=file.metadata())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
