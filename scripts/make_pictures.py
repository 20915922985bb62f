"""Make the README's picture of the redactions from the sample photo: `python scripts/make_pictures.py`."""

import numpy as np
import torch
from _pack import ROOT, import_pack
from PIL import Image, ImageDraw, ImageFont

detection = import_pack("modules.faces.detection")
redaction = import_pack("modules.faces.redaction")

PART = (96, 0, 352, 256)  # head and shoulders
LABEL_HEIGHT = 26


def main() -> None:
    photo = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB")
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
    row.save(ROOT / "assets" / "redaction.jpg", quality=88)


if __name__ == "__main__":
    main()
