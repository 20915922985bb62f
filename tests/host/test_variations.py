"""One face over degrees and seeds: each is what Anonymize Crops makes of it, with what recognisers say."""

import csv
import io

import pipeline
import pytest
import torch

from face_anonymizer import nodes as pack
from face_anonymizer.modules.attempts.variations import read_degrees
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces

pytestmark = pytest.mark.usefixtures("remembered_looks")


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return pipeline.load_tiny()


@pytest.fixture(scope="module")
def cropped():
    image = pipeline.photo()
    box = torch.tensor([182.0, 58, 270, 178]).numpy()
    face = Face(0, box, 0.9, torch.zeros(0, 2).numpy(), BOX_ONLY, "test")
    return pack.FaceAnonCropFaces.execute(image, Faces(1, *image.shape[1:3], (face,)), size=128).result


def test_each_picture_is_that_of_anonymize_crops_with_its_degree_and_seed(model, cropped):
    crops, faces = cropped
    output = pack.FaceAnonVariations.execute(crops, faces, model, degrees="0 1.25", seeds=2, seed=7, preset="fast")
    sheet, table = output.result
    lines = list(csv.DictReader(io.StringIO(table)))
    assert [(line["degree"], line["seed"]) for line in lines] == [("0", "7"), ("0", "8"), ("1.25", "7"), ("1.25", "8")]
    assert all(line["verdict"] in ("stranger", "same person", "not measurable", "failed") for line in lines)
    assert "4 paintings of 1 face" in output.ui["text"][0]
    tile, head, below = 192, 38, 49  # of crops of 128 pixels
    assert sheet.shape == (1, head + 2 * (tile + below), 3 * tile, 3)
    own = pack.FaceAnonAnonymizeCrops.execute(
        **{"crops": crops, "faces": faces, "face_anon_model": model, "degree": 1.25, "seed": 8, "steps": 6},
        guidance_scale=-1,
    )[0][0]
    top = head + tile + below
    shown = sheet[0, top : top + tile, 2 * tile : 3 * tile]
    small = torch.nn.functional.interpolate(shown.movedim(-1, 0)[None], (128, 128), mode="area")[0].movedim(0, -1)
    assert (small - own.clamp(0, 1)).abs().mean() < 0.05, "its own place in the sheet"
    assert (small - crops[0, ..., :3]).abs().mean() > 0.1


def test_degrees_that_are_none_and_pictures_without_a_face_are_refused(model, cropped):
    assert read_degrees(" 0,0.5  1.25,") == (0.0, 0.5, 1.25)
    for text, said in (("", "got 0"), ("0, x", "'x' is none"), ("2.5", "'2.5' is none"), ("1 " * 17, "got 17")):
        with pytest.raises(ValueError, match=f"degrees .*{said}"):
            read_degrees(text)
    with pytest.raises(ValueError, match="1 crops and 0 faces"):
        pack.FaceAnonVariations.execute(cropped[0], Faces(1, 512, 512, ()), model)
