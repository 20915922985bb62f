"""Make the pictures that no graph makes: `python scripts/with_env.py tools/run.py pictures.make [NAME ...]`.

In assets/: synthetic_group.jpg, synthetic_portrait.jpg and the clip synthetic_clip.mp4, which the sample nodes give:
people of modules/synthetic. demo.jpg: the same, and what scripts/anonymize.py makes of it with the demo model, in a
ComfyUI. icon.jpg and banner.jpg: parts of it, for the registry. redaction.jpg: the sample photo, covered in five ways.
In docs/training/: demo_loss.jpg, the curves of demo_method_*.json (it needs matplotlib).
"""

import argparse
import io
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.paste import redaction
from face_anonymizer.modules.faces.settings import MODES, RedactSettings
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.pictures.sample_clip import write_video
from face_anonymizer.tools.pictures.synthetic_group import make_group, make_portrait

ASSETS = PACK / "assets"
TRAINING = PACK / "docs" / "training"
LOGS = [TRAINING / f"demo_method_{part}.json" for part in (1, 2)]  # of on_gpu.py, each going on from the one before
GROUP = ASSETS / "synthetic_group.jpg"
WEB = PACK / "web" / "samples"  # where the page has it from, for the apps
PART = (96, 0, 352, 256)  # head and shoulders
LABEL_HEIGHT = 26
ICON, BANNER = 400, (1260, 540)  # what the registry takes: a square of at most 400 pixels, and 21 to 9
FACE = (229, 270, 449, 490)  # of the woman in front, with her hair
PORTRAIT_SIDE = 384
CLIP = "synthetic_clip"


def make_demo() -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        script = [sys.executable, str(PACK / "scripts" / "anonymize.py"), str(GROUP), "--output", folder]
        subprocess.run(script, check=True)
        (result,) = Path(folder).glob("*.png")
        before, after = Image.open(GROUP).convert("RGB"), Image.open(result).convert("RGB")
    pair = Image.new("RGB", (2 * before.width, before.height))
    pair.paste(before)
    pair.paste(after, (before.width, 0))
    return pair


def make_banner() -> Image.Image:
    """Before and after side by side, 21 to 9 as the registry shows it, of demo.jpg."""
    width, height = BANNER
    banner = Image.new("RGB", BANNER)
    for i, half in enumerate(_halves_of_demo()):
        side = round(half.height * width / 2 / height)
        left = (half.width - side) // 2
        cut = half.crop((left, 0, left + side, half.height))
        banner.paste(cut.resize((width // 2, height), Image.Resampling.LANCZOS), (i * width // 2, 0))
    ImageDraw.Draw(banner).line((width / 2, 0, width / 2, height), fill="white", width=4)
    return banner


def make_icon() -> Image.Image:
    """One face of demo.jpg, at the left as it was and at the right as it was painted."""
    before, after = (half.crop(FACE).resize((ICON, ICON), Image.Resampling.LANCZOS) for half in _halves_of_demo())
    before.paste(after.crop((ICON // 2, 0, ICON, ICON)), (ICON // 2, 0))
    ImageDraw.Draw(before).line((ICON / 2, 0, ICON / 2, ICON), fill="white", width=4)
    return before


def _halves_of_demo() -> list[Image.Image]:
    pair = Image.open(ASSETS / "demo.jpg").convert("RGB")
    half = pair.width // 2
    return [pair.crop((left, 0, left + half, pair.height)) for left in (0, half)]


def make_redaction() -> Image.Image:
    photo = Image.open(ASSETS / "astronaut.jpg").convert("RGB")
    image = torch.from_numpy(np.array(photo)).float()[None] / 255
    faces = detection.detect_faces(detection.load_face_networks(), image)
    shown = [("photo", image)]
    shown += [(mode, redaction.redact_faces(image, faces, RedactSettings(mode))[0]) for mode in MODES]
    shown += [
        (f"solid, {shape}", redaction.redact_faces(image, faces, RedactSettings("solid", shape))[0])
        for shape in ("box", "crop")
    ]
    side = PART[2] - PART[0]
    row = Image.new("RGB", (side * len(shown), side + LABEL_HEIGHT), (32, 32, 32))
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(16)
    for i, (label, picture) in enumerate(shown):
        levels = (picture[0] * 255).round().byte().numpy()
        row.paste(Image.fromarray(levels).crop(PART), (side * i, 0))
        pen.text((side * (i + 0.5), side + LABEL_HEIGHT / 2), label, font=font, anchor="mm")
    return row


def make_loss() -> Image.Image:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="million samples", ylabel="mean squared error of v", yscale="log")
    points: dict[str, list[tuple[float, float]]] = {"loss": [], "background": [], "validation_loss": []}
    before = 0.0
    for log in LOGS:
        lines = [line for line in json.loads(log.read_text(encoding="utf-8")) if line["stage"] == "method"]
        end = lines[-1]
        a_step = end["samples"] / end["steps"]
        for line, name in itertools.product(lines, points):
            if name in line:
                points[name].append(((before + line.get("step", end["steps"]) * a_step) / 1e6, line[name]))
        before += end["samples"]
    axes.plot(*zip(*points["loss"], strict=True), label="training")
    axes.plot(*zip(*points["background"], strict=True), label="clear background, at a degree")
    axes.plot(*zip(*points["validation_loss"], strict=True), "o", label="held-out people")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return Image.open(drawn).convert("RGB")


# in this order: one is made of another
PICTURES = {
    "synthetic_group": (make_group, ASSETS),
    "synthetic_portrait": (partial(make_portrait, PORTRAIT_SIDE), ASSETS),
    "demo": (make_demo, ASSETS),
    "icon": (make_icon, ASSETS),
    "banner": (make_banner, ASSETS),
    "redaction": (make_redaction, ASSETS),
    "demo_loss": (make_loss, TRAINING),
}


def write_pan(path: Path, frames: int = 9) -> None:
    """A camera that moves over the group, as a short film with sound, 640x360."""
    group = torch.from_numpy(np.array(Image.open(GROUP).convert("RGB").resize((720, 480)))).float() / 255
    write_video(path, torch.stack([group[30:390, x : x + 640] for x in range(0, 8 * frames, 8)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*PICTURES, CLIP, []], help="which pictures; all by default")
    for name in parser.parse_args().names or (*PICTURES, CLIP):
        if name == CLIP:
            write_pan(ASSETS / f"{CLIP}.mp4")
            print(ASSETS / f"{CLIP}.mp4")
            continue
        make, folder = PICTURES[name]
        make().save(folder / f"{name}.jpg", quality=88)
        if name == "synthetic_group":
            shutil.copy(GROUP, WEB)
        print(folder / f"{name}.jpg")
