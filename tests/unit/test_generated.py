"""Whether a model may have made a part of a picture: what the graph and the files that it began with say."""

import json
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from face_anonymizer.modules.output.generated import may_be_generated
from face_anonymizer.modules.output.png import chunk, with_chunk
from face_anonymizer.modules.output.provenance import ByNames

GRAPH = json.dumps({"3": {"class_type": "KSampler", "inputs": {}}})
SETTINGS = "somebody\nSteps: 20, Sampler: Euler a, CFG scale: 7"
XMP = "<x>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</x>"
KEYWORDS = {"prompt": GRAPH, "parameters": SETTINGS, "XML:com.adobe.xmp": XMP}


class NoPainter(ByNames):
    def may_paint(self, class_type: str) -> bool:
        return False


def is_marked(path) -> bool:
    """Of a picture that is loaded, covered and saved."""
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": str(path)}},
        "2": {"class_type": "FaceAnonRedactFaces", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "FaceAnonSaveImage", "inputs": {"images": ["2", 0]}},
    }
    return may_be_generated(prompt, "3", "images", NoPainter())


def picture() -> Image.Image:
    return Image.effect_noise((64, 64), 40).convert("RGB")


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("kind", ["tEXt", "iTXt"])
def test_a_picture_that_says_so_stays_marked(tmp_path, keyword, is_compressed, kind):
    texts = PngInfo()
    (texts.add_text if kind == "tEXt" else texts.add_itxt)(keyword, KEYWORDS[keyword], zip=is_compressed)
    picture().save(tmp_path / "a.png", pnginfo=texts)
    assert is_marked(tmp_path / "a.png")


@pytest.mark.parametrize("order", ["be", "le"])
@pytest.mark.parametrize("text", [GRAPH, SETTINGS])
def test_exif_says_so_in_two_bytes_a_letter(tmp_path, order, text):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode(f"utf-16-{order}")
    picture().save(tmp_path / "a.jpg", exif=exif)
    assert is_marked(tmp_path / "a.jpg")


def test_a_photo_is_not_marked(tmp_path):
    texts = PngInfo()
    texts.add_text("Comment", "a photo of a sampler", zip=True)
    picture().save(tmp_path / "a.png", pnginfo=texts)
    picture().save(tmp_path / "a.jpg")
    assert not is_marked(tmp_path / "a.png") and not is_marked(tmp_path / "a.jpg")


def test_a_text_that_is_none_or_too_long_is_passed_over(tmp_path):
    picture().save(tmp_path / "plain.png")
    data = (tmp_path / "plain.png").read_bytes()
    long = zlib.compress(bytes(1 << 26) + GRAPH.encode())
    for content in (b"prompt\0\0x\x9cbroken", b"", b"x", b"prompt\0\0" + long):
        (tmp_path / "a.png").write_bytes(with_chunk(data, b"zTXt", content))
        assert not is_marked(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes(data[:33] + chunk(b"zTXt", b"prompt\0\0" + long)[:50])
    assert not is_marked(tmp_path / "cut.png")


@pytest.mark.parametrize("kind", ["FaceAnonRedactVideo", "FaceAnonAnonymizeVideoFile"])
def test_a_film_that_says_so_stays_marked_behind_a_node_that_covers_it(tmp_path, kind):
    """Beyond such a node no file hides anything, but what made the film is another matter."""
    film = tmp_path / "a.mp4"
    prompt = {
        "1": {"class_type": "LoadVideo", "inputs": {"image": str(film)}},
        "2": {"class_type": kind, "inputs": {"video": ["1", 0], "what": "cover"}},
        "3": {"class_type": "FaceAnonSaveVideo", "inputs": {"video": ["2", 0]}},
    }
    for text, expected in ((XMP, True), ("a film", False)):
        film.write_bytes(b"\0\0\0\x18ftypisom" + text.encode())
        assert may_be_generated(prompt, "3", "video", NoPainter()) is expected
