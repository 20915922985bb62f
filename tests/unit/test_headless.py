"""`from face_anonymizer import Anonymizer`: what a program hands in, what it gets back, and what it is told."""

import json
import pickle
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from face_anonymizer.modules.faces.settings import DetectSettings, PasteSettings, RedactSettings, SelectSettings
from face_anonymizer.modules.headless.anonymizer import Anonymizer, Options
from face_anonymizer.modules.headless.pictures import as_batch
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings
from face_anonymizer.modules.output import icc
from face_anonymizer.modules.video.clip_jobs import ClipJobs

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

ROOT = Path(__file__).resolve().parents[2]
QUICK = Options(choosing=SelectSettings(largest=1), sampler=SamplerSettings(DDPM, steps=2, guidance_scale=1.0))


@pytest.fixture(scope="module")
def anonymizer():
    return Anonymizer("demo", "cpu")


@pytest.fixture(scope="module")
def group():
    """Five faces of 30 to 60 pixels."""
    with Image.open(ROOT / "assets" / "synthetic_group.jpg") as picture:
        return picture.resize((450, 300))


@pytest.fixture(scope="module")
def painted(anonymizer, group):
    return anonymizer(group, seed=5, options=QUICK)


def test_a_photo_comes_back_as_it_was_handed_in(anonymizer, group, painted):
    assert isinstance(painted.image, Image.Image) and painted.image.size == group.size
    assert painted.report.count() == {"anonymized": 1, "kept": 4}
    assert "demonstration model" in painted.report.to_text()
    levels, before = np.array(painted.image), np.array(group)
    changed = np.abs(levels.astype(int) - before).max(2) > 0
    assert changed.any() and (changed <= (painted.mask[0].numpy() > 0)).all(), "changed within the mask alone"
    faces = anonymizer.choose(anonymizer.detect(before), QUICK.choosing)
    assert len(faces) == 1
    as_array = anonymizer(before, seed=5, faces=faces, options=QUICK)
    assert as_array.image.dtype == np.uint8 and np.array_equal(as_array.image, levels)
    tensor = torch.from_numpy(before).double()[None] / 255
    as_tensor = anonymizer(tensor, seed=5, faces=faces, options=QUICK)
    assert as_tensor.image.dtype == torch.float64 and as_tensor.image.shape == tensor.shape
    assert np.abs((as_tensor.image[0] * 255).round().numpy() - levels).max() <= 1
    assert json.loads(painted.report.to_json())["faces"][0]["seed"] == as_array.faces.faces[0].painted.seed
    other = anonymizer(before, seed=6, faces=faces, options=QUICK)
    assert not np.array_equal(other.image, levels)


def test_a_program_can_go_on_with_what_it_gets(anonymizer, group):
    """Learn from it, change it, hand the Anonymizer to another process; and take a seed from numpy."""
    photo = torch.from_numpy(np.array(group)).float() / 255
    faces = anonymizer.choose(anonymizer.detect(photo), QUICK.choosing)
    result = anonymizer(photo, seed=np.int64(5), faces=faces, options=QUICK)
    assert result.faces.faces[0].painted.seed == 5
    weight = torch.ones(1, requires_grad=True)
    (result.image * weight * result.mask[0, ..., None]).sum().backward()
    assert weight.grad.item() > 0
    result.image.mul_(0)
    assert "engine" in vars(anonymizer)
    there = pickle.loads(pickle.dumps(anonymizer))
    assert there.folder == anonymizer.folder and not {"engine", "_networks", "_reader"} & set(vars(there))


def test_a_model_is_found_where_the_download_put_it(tmp_path, monkeypatch):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "main.py").touch()
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"none of that name in .* or {tmp_path}"):
        Anonymizer("face-anon-simple")
    config = tmp_path / "models" / "face_anon" / "face-anon-simple" / "unet" / "config.json"
    config.parent.mkdir(parents=True)
    config.touch()
    assert Anonymizer("face-anon-simple").folder == config.parents[1]


def test_a_video_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    anonymizer = Anonymizer()
    (tmp_path / "there.mp4").write_bytes(b"mine")
    for source, target, message in (
        ("none.mp4", "new.mp4", "No such video: .*none.mp4"),
        ("there.mp4", "there.mp4", "there.mp4"),
        ("there.mp4", "no folder/new.mp4", "no folder"),
    ):
        monkeypatch.setattr(ClipJobs, "track", lambda *_: pytest.fail("the work began"))
        with pytest.raises(OSError, match=message):
            anonymizer.redact_video(tmp_path / source, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["there.mp4"]


def test_two_pictures_are_as_one_and_one(anonymizer, group, painted):
    batch = [group, group.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    both = anonymizer(batch, seed=5, options=QUICK)
    assert [type(one) for one in both.image] == [Image.Image] * 2 and both.mask.shape[0] == 2
    assert np.abs(np.array(both.image[0]).astype(int) - np.array(painted.image)).max() <= 1
    assert both.report.count() == {"anonymized": 2, "kept": 8}


def test_a_swap_says_swapped(anonymizer, group):
    source = Image.open(ROOT / "assets" / "astronaut.jpg").crop((96, 0, 352, 256))
    swapped = anonymizer.swap(group, source, options=QUICK)
    assert swapped.report.count() == {"swapped": 1, "kept": 4}
    with pytest.raises(ValueError, match="No face was found in the source picture"):
        anonymizer.swap(group, Image.new("RGB", (64, 64)), options=QUICK)


def test_recognisers_look_when_asked(anonymizer, group):
    """Degree 0 is the same person: painted again, never passed, covered."""
    source = Image.open(ROOT / "assets" / "astronaut.jpg").crop((96, 0, 352, 256))
    twice = replace(QUICK.attempts, attempts=2)
    photo = torch.from_numpy(np.array(source)).float()[None] / 255
    kept = anonymizer(photo, options=replace(QUICK, verify="on", attempts=twice))
    (entry,) = kept.report.entries
    assert entry.verification["verdict"] in ("stranger", "same person", "failed") and entry.attempts >= 1
    assert (entry.verification["verdict"] == "stranger") == (entry.action == "anonymized")
    assert "recognisers were trained on photographs" in kept.report.notes[-1]
    finished = anonymizer.verify(photo, kept.image, kept.faces).entries[0]
    assert entry.action == "anonymized" and entry.verification == finished.verification, "of the finished picture"
    report = anonymizer.verify(source, source)
    assert report.entries[0].verification["verdict"] == "same person"


def test_covering_loads_no_model(group):
    anonymizer = Anonymizer()
    covered = anonymizer.redact(group, RedactSettings("mosaic"))
    assert covered.report.count() == {"redacted": 5} and "engine" not in vars(anonymizer)
    nobody = Image.new("RGB", (80, 60), "gray")
    for result in (anonymizer.redact(nobody), anonymizer(nobody)):
        assert not len(result.faces) and np.array_equal(np.array(result.image), np.array(nobody))
    assert "engine" not in vars(anonymizer), "nor does a picture without a face"


def test_an_exif_orientation_is_applied_and_hidden_pixels_stay_hidden(tmp_path):
    picture = Image.new("RGBA", (40, 20), (200, 10, 10, 255))
    picture.paste((9, 200, 9, 0), (0, 0, 20, 20))
    batch, back = as_batch(picture)
    assert batch.shape == (1, 20, 40, 4) and batch[0, :, :20].max() == 0
    assert back(batch).mode == "RGBA"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.convert("RGB").save(tmp_path / "turned.jpg", exif=exif)
    assert as_batch(Image.open(tmp_path / "turned.jpg"))[0].shape == (1, 40, 20, 3)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_gray_of_more_than_8_bits_is_looked_at_whole(kind):
    """Pillow's own conversion makes white of it, in which no face is found."""
    ramp = np.tile(np.arange(256), (4, 1))
    deep = {np.uint16: ramp.astype(np.uint16) * 257, np.int32: ramp.astype(np.int32) * 257}.get(kind, ramp / 255)
    batch, back = as_batch(Image.fromarray(deep.astype(kind)))
    assert np.array_equal((batch[0, ..., 0] * 255).round().numpy(), ramp)
    assert np.array_equal(np.array(back(batch)), np.repeat(ramp[..., None], 3, -1))


def test_colours_stay_what_they_are(tmp_path):
    wide = icc.profile_of((0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), icc.SRGB_CURVE).encoded()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "wide.png", icc_profile=wide)
    with Image.open(tmp_path / "wide.png") as photo:
        batch, back = as_batch(photo)
    back(batch).save(tmp_path / "result.png")
    with Image.open(tmp_path / "result.png") as result:
        assert result.getpixel((0, 0)) == (255, 0, 0) and result.info["icc_profile"] == wide
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (8, 8), (200, 60, 20)), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )  # fmt: skip
    assert np.abs(as_batch(lab)[0][0, 0, 0].numpy() * 255 - (200, 60, 20)).max() < 3
    broken = Image.new("RGB", (8, 8))
    broken.info["icc_profile"] = b"no profile"
    batch, back = as_batch(broken)
    assert "icc_profile" not in back(batch).info


def test_a_list_may_have_alpha_in_some():
    opaque, clear = Image.new("RGB", (4, 4), (9, 9, 9)), Image.new("RGBA", (4, 4), (9, 9, 9, 100))
    batch, back = as_batch([opaque, clear])
    assert batch.shape == (2, 4, 4, 4) and batch[0, ..., 3].min() == 1
    assert [np.array(one).tolist() for one in back(batch)] == [np.array(one).tolist() for one in (opaque, clear)]


def test_numbers_of_another_machine_come_back_as_they_were():
    swapped = np.full((4, 4, 3), 0.25, np.dtype(np.float32).newbyteorder())
    batch, back = as_batch(swapped)
    assert batch.unique().tolist() == [0.25]
    assert back(batch).dtype == swapped.dtype and np.array_equal(back(batch), swapped)


@pytest.mark.parametrize(
    "picture, message",
    [
        ("photo.jpg", r"this is a str\. Open a file with PIL"),
        (np.zeros((3, 8, 8), np.uint8), "Channels come last"),
        (torch.zeros(1, 3, 8, 8), "Channels come last"),
        (np.zeros((8, 8), np.uint8), r"A gray picture is \[H, W, 1\]"),
        (np.zeros((4, 4, 3), object), "this one holds object"),
        (np.zeros((4, 4, 3), complex), "this one holds complex128"),
        ([], "this is a list"),
        (np.zeros((4, 4, 2), np.uint8), r"this one is \(4, 4, 2\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"this one is \(0, 4, 4, 3\)"),
        (np.full((4, 4, 3), 255.0), "divide levels of 255 by 255"),
        (np.full((4, 4, 3), np.nan), "from 0 to 1"),
        (np.zeros((4, 4, 3), np.int32), "this one holds torch.int32"),
        ([Image.new("RGB", (4, 4)), Image.new("RGB", (5, 4))], "one size, these have 4x4, 5x4"),
    ],
)
def test_what_is_no_picture_is_named(anonymizer, picture, message):
    with pytest.raises(ValueError, match=message):
        anonymizer.detect(picture)


def test_wrong_settings_are_named(anonymizer, group):
    with pytest.raises(ValueError, match="degree is 0 to 2, got 3"):
        anonymizer(group, degree=3)
    for degree, seed, message in (
        ("1", "0", "seed is a whole number, got '0'"),
        (None, 0, "got None"),
        (1, 0.5, "0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            anonymizer(group, degree, seed)
    for name, value in (("size", 0), ("size", 4096), ("faces_at_once", 0)):
        with pytest.raises(ValueError, match=f"^{name} is "):
            Options(**{name: value})
    with pytest.raises(ValueError, match=r"dtype is a torch\.dtype of floating numbers"):
        Anonymizer("demo", "cpu", "float16")
    with pytest.raises(ValueError, match="verify is one of off, auto, on"):
        Options(verify="yes")
    with pytest.raises(FileNotFoundError, match=r"There is no model nobody.*there is: .*demo.*get_models\.py"):
        Anonymizer("nobody")
    with pytest.raises(ValueError, match="50x50"):
        anonymizer(Image.new("RGB", (50, 50)), faces=anonymizer.detect(group))
    assert Options(detecting=DetectSettings(0.4), pasting=PasteSettings(fallback="solid")).verify == "auto"


def test_the_import_alone_loads_nothing_and_what_is_missing_is_named():
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import _pack; import face_anonymizer; "
        "heavy = {'torch', 'numpy', 'diffusers', 'PIL'} & set(sys.modules); assert not heavy, heavy; "
        "sys.modules['diffusers'] = None\n"
        "try: face_anonymizer.Anonymizer\n"
        "except ModuleNotFoundError as error: print(error)\n"
        "assert not hasattr(face_anonymizer, 'NODE_CLASS_MAPPINGS')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "diffusers" in done.stdout and "pip install 'face-anonymizer[headless]'" in done.stdout


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers' own
def test_the_notebook_runs(monkeypatch, capsys, tmp_path):
    """Each cell in turn, as Jupyter runs them in the pack's folder."""
    monkeypatch.chdir(ROOT)
    notebook = json.loads((ROOT / "docs" / "python.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 5 and not any(cell.get("outputs") for cell in notebook["cells"])
    (tmp_path / "cells.py").write_text("\n\n".join(cells), encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "cells.py"))
    said = capsys.readouterr().out
    assert names["result"].report.count() == {"anonymized": 1, "kept": 4} and names["covered"].report.count() == {
        "redacted": 5
    }
    assert "same person" in said and said.count("[") == 5
