"""Make the pictures in assets/ that no graph makes: `python scripts/with_env.py scripts/make_pictures.py [NAME ...]`.

synthetic_group.jpg: people of modules/synthetic. demo.jpg: the same, and what scripts/anonymize.py makes of it with the
demo model (it starts ComfyUI). redaction.jpg: the sample photo, covered in five ways.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _pack import ROOT, import_pack
from _synthetic_group import make_group
from PIL import Image, ImageDraw, ImageFont

detection = import_pack("modules.faces.detection")
redaction = import_pack("modules.faces.redaction")

ASSETS = ROOT / "assets"
GROUP = ASSETS / "synthetic_group.jpg"
PART = (96, 0, 352, 256)  # head and shoulders
LABEL_HEIGHT = 26


def make_demo() -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        script = [sys.executable, str(ROOT / "scripts" / "anonymize.py"), str(GROUP), "--output", folder]
        subprocess.run(script, check=True)
        (result,) = Path(folder).glob("*.png")
        before, after = Image.open(GROUP).convert("RGB"), Image.open(result).convert("RGB")
    pair = Image.new("RGB", (2 * before.width, before.height))
    pair.paste(before)
    pair.paste(after, (before.width, 0))
    return pair


def make_redaction() -> Image.Image:
    photo = Image.open(ASSETS / "astronaut.jpg").convert("RGB")
    image = torch.from_numpy(np.array(photo)).float()[None] / 255
    faces = detection.detect_faces(detection.load_face_networks(), image)
    shown = [("photo", image)]
    shown += [(mode, redaction.redact_faces(image, faces, mode)[0]) for mode in redaction.MODES]
    shown += [(f"solid, {shape}", redaction.redact_faces(image, faces, "solid", shape)[0]) for shape in ("box", "crop")]
    side = PART[2] - PART[0]
    row = Image.new("RGB", (side * len(shown), side + LABEL_HEIGHT), (32, 32, 32))
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(16)
    for i, (label, picture) in enumerate(shown):
        levels = (picture[0] * 255).round().byte().numpy()
        row.paste(Image.fromarray(levels).crop(PART), (side * i, 0))
        pen.text((side * (i + 0.5), side + LABEL_HEIGHT / 2), label, font=font, anchor="mm")
    return row


# in this order: one is made of another
PICTURES = {"synthetic_group": make_group, "demo": make_demo, "redaction": make_redaction}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []], help="which pictures; all by default")
    for name in parser.parse_args().names or PICTURES:
        PICTURES[name]().save(ASSETS / f"{name}.jpg", quality=88)
        print(ASSETS / f"{name}.jpg")


if __name__ == "__main__":
    main()
