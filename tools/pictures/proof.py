"""Make docs/proof.webp: the page of a proof as a browser shows it, on drawn people that the demo model painted.

    python scripts/with_env.py tools/run.py pictures.proof

assets/demo.jpg has the people and what became of them (tools/pictures/make.py); both recognisers read them here. It
needs a Chromium, as the tests do, and no ComfyUI.
"""

import argparse
import dataclasses
import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.outcomes import ANONYMIZED
from face_anonymizer.modules.faces.report import Report, report_faces
from face_anonymizer.modules.files import sha256_of, sha256_of_folder
from face_anonymizer.modules.host.location import PACK, pack_version
from face_anonymizer.modules.model.checkpoint import DEMO, PACK_MODELS, read_settings
from face_anonymizer.modules.model.settings import PaintSettings
from face_anonymizer.modules.proof.page import to_html
from face_anonymizer.modules.proof.proof import MadeWith, Proof
from face_anonymizer.modules.proof.report import results_of_report
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.recognition.verdict import verify
from face_anonymizer.tools.workflows.frontend import open_browser

PAIR = PACK / "assets" / "demo.jpg"
PICTURE = PACK / "docs" / "proof.webp"
DAY = "2026-03-01"  # a fixed one, so that the picture depends on the code alone
WIDTH, HEIGHT = 1080, 1150


def make_page() -> bytes:
    """The page of the pair."""
    pair = np.asarray(Image.open(PAIR).convert("RGB"))
    half = pair.shape[1] // 2
    before, after = (torch.from_numpy(part.copy()).float()[None] / 255 for part in (pair[:, :half], pair[:, half:]))
    faces = detection.detect_faces(detection.load_face_networks(), before)
    reader = FaceReader()
    readings = zip(reader.read(before, faces), reader.read(after, faces), strict=True)
    paint = PaintSettings()
    report: Report = report_faces(faces, ANONYMIZED, paint.seed)
    entries = tuple(
        dataclasses.replace(entry, verification=verify(*both).to_dict(), attempts=1, degree=paint.degree)
        for entry, both in zip(report.entries, readings, strict=True)
    )
    model = PACK_MODELS / DEMO
    own = read_settings(model)
    settings = {"model": DEMO, "degree": paint.degree, "steps": own.steps, "guidance scale": own.guidance_scale}
    made = MadeWith(
        dates=(DAY, DAY),
        version=pack_version(),
        model=(DEMO,),
        model_sha256=(sha256_of_folder(model, (".safetensors", ".json")),),
        settings=[("Of the run", settings)],
        remarks=(own.notice,) if own.notice else (),
    )
    results = results_of_report(dataclasses.replace(report, entries=entries).to_dict(), (sha256_of(PAIR),))
    return to_html(Proof(results, made))


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        path = Path(folder) / "page.html"
        path.write_bytes(make_page())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(path.as_uri())
        shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").save(PICTURE, quality=80, method=6)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")
    return 0
