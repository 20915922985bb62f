"""Pixels of a crop that are the original's: in a picture of few colours many are so by chance."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from face_anonymizer.modules.faces.paste.detail import compare_pixels

STYLES = {
    "as it is": lambda picture: picture,
    "gray": lambda picture: ImageOps.grayscale(picture),
    "dithered, 1 bit": lambda picture: picture.convert("1"),
    "posterized, 1 bit": lambda picture: ImageOps.posterize(picture, 1),
    "8 colours": lambda picture: picture.quantize(8, dither=Image.Dither.NONE),
}


@pytest.fixture(scope="module")
def pair(request) -> tuple[Image.Image, Image.Image]:
    """Two faces of nothing in common."""
    assets = request.config.rootpath / "assets"
    original = Image.open(assets / "astronaut.jpg").convert("RGB").resize((512, 512)).crop((140, 20, 396, 276))
    stranger = Image.open(assets / "synthetic_group.jpg").convert("RGB").crop((150, 70, 330, 250)).resize((256, 256))
    return original, stranger


@pytest.mark.parametrize("name", STYLES)
def test_strangers_of_few_colours_pass_and_the_originals_pixels_do_not(pair, name):
    def styled(picture: Image.Image, aside: float = 0.0) -> np.ndarray:
        picture = STYLES[name](picture).convert("RGB")
        matrix = (1, 0, aside, 0, 1, aside)  # a crop is cut at its own angle: neighbours are mixed
        if aside:
            picture = picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        return np.asarray(picture, np.float32) / 255

    stranger = styled(pair[1])
    some = np.random.default_rng(0).random((256, 256, 1)) < 0.6
    for original in (styled(pair[0]), styled(pair[0], 0.35)):
        found = compare_pixels(original, stranger)
        assert found is not None and not found.is_original
        assert compare_pixels(original, original).is_original
        assert compare_pixels(original, np.where(some, original, stranger)).is_original
