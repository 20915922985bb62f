"""scripts/evaluate.py on two folders of photos: what it reports, and what it refuses."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.evaluation import backends
from face_anonymizer.modules.evaluation.measured import Measured
from face_anonymizer.scripts import evaluate as command

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

ROOT = Path(__file__).resolve().parents[2]


class Colours:
    """A recogniser that knows faces by their mean colour: enough to tell photos from noise, and from each other."""

    name, licence = "colours", "none"

    def measure(self, pictures, faces):
        boxes = [np.zeros(4, int) if face is None else face.box.clip(0).astype(int) for face in faces]
        means = [
            picture[y0:y1, x0:x1].reshape(-1, 3).mean(0) if x1 > x0 else np.zeros(3)
            for picture, (x0, y0, x1, y1) in zip(pictures, boxes, strict=True)
        ]
        vectors = torch.tensor(np.array(means).reshape(-1, 3))
        return Measured(torch.tensor([face is not None for face in faces], dtype=torch.bool), vectors, features=vectors)


@pytest.fixture
def evaluate(monkeypatch):
    """The command, with Colours in the place of dlib."""
    monkeypatch.setattr(backends.face_dlib, "DlibBackend", Colours)
    monkeypatch.setattr(command, "find_comfyui", lambda: Path("unused"))
    return command


@pytest.fixture
def photos(tmp_path) -> tuple[Path, Path]:
    """Three originals of a face in other colours, one of nobody; results: kept, changed, destroyed, of nobody."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir(), after.mkdir()
    photo = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").crop((130, 0, 330, 200))
    tints = {"kept": (1.0, 1.0, 1.0), "changed": (1.0, 0.8, 0.6), "destroyed": (0.6, 0.8, 1.0)}
    for name, tint in tints.items():
        Image.fromarray((np.asarray(photo) * tint).astype(np.uint8)).save(before / f"{name}.png")
    shutil.copy(before / "kept.png", after / "kept.png")
    changed = np.asarray(Image.open(before / "changed.png")).copy()
    changed[20:180, 20:180] = changed[20:180, 20:180, [2, 1, 0]]
    Image.fromarray(changed).save(after / "changed_anonymized.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(after / "destroyed.png")
    for folder in (before, after):
        Image.fromarray(np.full((64, 64, 3), 30, np.uint8)).save(folder / "nobody.png")
    return before, after


def run(evaluate, photos, output: Path, *arguments: str) -> int:
    before, after = photos
    folders = ["--originals", str(before), "--results", str(after)]
    return evaluate.main([str(output), *folders, "--no-plots", "--backend", "dlib", *arguments])


def test_a_report_of_two_folders(evaluate, photos, tmp_path):
    assert run(evaluate, photos, tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    settings, tables = report["settings"], report["tables"]
    assert settings["pictures"] == 4 and settings["faces"] == 3 and settings["faces not found in the result"] == 1
    assert "each face is taken for another person" in settings["people known by"]
    result = tables["identity_colours"]["rows"]["result"]
    # of two measurable results one is the original; the destroyed one is no success
    assert result["not measurable"] == 1 and result["re-identified"]["count"] == 2
    assert result["re-identified"]["value"] >= 0.5 and result["face found"]["value"] == pytest.approx(2 / 3)
    jpeg = tables["identity_colours"]["rows"]["original, JPEG of quality 75"]
    assert jpeg["re-identified"]["value"] == 1 and jpeg["not measurable"] == 0
    assert "No threshold: 3 impostor pairs are too few" in tables["identity_colours"]["note"]
    assert tables["attributes_five_points"]["rows"]["result"]["head pose, degrees"]["count"] == 2
    assert tables["quality"]["rows"]["result"]["sharpness"]["count"] == 2
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"report.md", "report.json", "tables"}


def test_the_packs_own_recognisers_judge_without_any_download(photos, tmp_path, monkeypatch):
    """Nothing is asked of a ComfyUI, and no package is missing: the default."""
    monkeypatch.setattr(command, "find_comfyui", None)
    before, after = photos
    folders = ["--originals", str(before), "--results", str(after)]
    assert command.main([str(tmp_path / "out"), *folders, "--no-plots"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    tables = report["tables"]
    rows = tables["verdicts"]["rows"]
    # of three faces one was kept, one got other colours, and one was destroyed
    words = ("stranger", "same person", "failed", "not measurable")
    shares = [rows["result"][word]["value"] if word != "not measurable" else rows["result"][word] for word in words]
    assert shares == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert rows["original, JPEG of quality 75"]["same person"]["value"] == 1
    assert "0.6" in tables["verdicts"]["note"]
    for name in ("identity_dlib_resnet", "identity_faceres"):
        assert tables[name]["rows"]["result"]["not measurable"] == 1
        assert tables[name]["rows"]["result"]["identity distance"]["value"] < 0.2
    assert "Fewer than 8 people" in tables["attacks_faceres"]["note"]
    columns = ["head pose, degrees", "gaze, degrees", "expression, share of range", "age, years"]
    assert tables["attributes_what_shows"]["columns"] == [*columns, "a man or a woman, probability"]
    assert tables["attributes_what_shows"]["rows"]["result"]["head pose, degrees"]["value"] < 5
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert "dlib ResNet (public domain" in text and len(text) < 40_000  # no descriptor is in it


def test_labels_make_a_threshold_and_a_harder_gallery(evaluate, photos, tmp_path):
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"kept": "Ann", "changed": "Ann", "destroyed": "Bob", "nobody": "Bob"}))
    assert run(evaluate, photos, tmp_path / "out", "--labels", str(labels), "--false-accept-rate", "0.5") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    table = report["tables"]["identity_colours"]
    assert report["settings"]["people"] == 2 and "originals of one person, and of two" in table["note"]
    assert table["rows"]["result"]["re-identified by other pictures"]["count"] == 1  # of Ann alone there are two
    assert "accepted as the original" in table["columns"]


def test_originals_without_a_face_are_refused(evaluate, photos, tmp_path, capsys):
    before, _ = photos
    for name in ("kept", "changed", "destroyed"):
        (before / f"{name}.png").unlink()
    assert run(evaluate, photos, tmp_path / "out") == 1
    assert "No face was found in any of the 1 originals" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_fewer_people_than_asked_for_are_refused(evaluate, photos, tmp_path, capsys):
    assert run(evaluate, photos, tmp_path / "out", "--identities", "9") == 1
    assert "9 identities were asked for, and the folders show 4" in capsys.readouterr().err
    labels = tmp_path / "labels.csv"
    labels.write_text("kept,Ann\nchanged,Ann\ndestroyed,Bob\nnobody,Bob\n")
    assert run(evaluate, photos, tmp_path / "out", "--identities", "3", "--labels", str(labels)) == 1
    assert "3 identities were asked for, and the folders show 2" in capsys.readouterr().err


def test_one_person_is_refused(evaluate, photos, tmp_path, capsys):
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(dict.fromkeys(("kept", "changed", "destroyed", "nobody"), "Ann")))
    assert run(evaluate, photos, tmp_path / "out", "--labels", str(labels)) == 1
    assert "the originals show one" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["out"], "say what is measured"),
        (["out", "--originals", "a"], "both --originals and --results"),
        (["--model", "m"], "name an output folder"),
        (["out", "--model", "m", "--identities", "1"], "--identities is 2"),
        (["out", "--model", "m", "--degrees", "0", "1.2"], "--degrees are above 0"),
        (["out", "--model", "m", "--false-accept-rate", "0.9"], "--false-accept-rate is"),
    ],
)
def test_wrong_arguments_are_named(evaluate, arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(arguments)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_a_download_is_held_against_its_sum(evaluate, tmp_path, monkeypatch, capsys):
    """No network here: the recogniser's address is a file."""
    from face_anonymizer.modules.evaluation.download import face_onnx

    source = tmp_path / "published.onnx"
    source.write_bytes(b"weights")
    real = face_onnx.RECOGNISERS["sface"]
    wrong = real._replace(url=source.as_uri(), size=7)
    monkeypatch.setitem(face_onnx.RECOGNISERS, "sface", wrong)
    weights = tmp_path / "weights"
    assert evaluate.main(["--download", "sface", "--weights", str(weights)]) == 1
    assert "is not the published file" in capsys.readouterr().err and not list(weights.iterdir())
    right = wrong._replace(sha256=hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(face_onnx.RECOGNISERS, "sface", right)
    for _ in range(2):  # the second time it is there already
        assert evaluate.main(["--download", "sface", "--weights", str(weights)]) == 0
    file = weights / real.file
    assert file.read_bytes() == b"weights"
    file.write_bytes(b"mine")
    assert evaluate.main(["--download", "sface", "--weights", str(weights)]) == 1
    assert "left as it is" in capsys.readouterr().err and file.read_bytes() == b"mine"
    monkeypatch.setitem(face_onnx.RECOGNISERS, "sface", right._replace(url=(tmp_path / "gone").as_uri()))
    assert evaluate.main(["--download", "sface", "--weights", str(tmp_path / "other")]) == 1
    assert "cannot be fetched" in capsys.readouterr().err
