"""The proof of a graph: what its prompt tells and keeps, which files a report speaks of, and that nothing of the
originals is in any report: neither their bytes nor their pixels nor what recognisers compute of them."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_proof import face, made, verification
from test_verifying import clip, reading, stand_in

from face_anonymizer.modules.faces.notes import (
    ANOTHER_PERSON,
    NOT_COMPARED,
    NOT_ONE_PERSON,
    ORIGINAL_LATER,
    PARTS_KEPT,
    Doubt,
    read_doubts,
)
from face_anonymizer.modules.faces.outcomes import ANONYMIZED, REDACTED
from face_anonymizer.modules.faces.report import Report, join_reports, report_faces
from face_anonymizer.modules.faces.types import FIVE_POINTS, Face, Faces
from face_anonymizer.modules.proof.graph import read_graph
from face_anonymizer.modules.proof.page import to_html
from face_anonymizer.modules.proof.proof import Proof
from face_anonymizer.modules.proof.report import results_of_report
from face_anonymizer.modules.proof.table import to_csv
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.recognition.verdict import verify
from face_anonymizer.modules.recognition.verifying import verify_faces

ROOT = Path(__file__).resolve().parents[2]
POINTS = np.array([[87, 82], [126, 80], [109, 106], [92, 126], [125, 125]], np.float32) - 0.5
BOX = np.array([64, 38, 152, 154], np.float32)
SECRET = "IMG_8841_Karin"


@pytest.fixture
def prompt() -> dict:
    prompt = json.loads((ROOT / "workflows" / "api" / "anonymize_photo.json").read_text())
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = f"{SECRET}.jpg"
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = SECRET
        node["_meta"] = {"title": SECRET}
    return prompt


def saver(prompt: dict) -> str:
    return next(id for id, node in prompt.items() if node["class_type"] == "FaceAnonSaveImage")


def test_settings_of_the_shipped_graph_are_told_without_names(prompt):
    found = read_graph(prompt, saver(prompt), "images")
    settings = {title: dict(values) for title, values in found.settings}
    loader = next(node for node in prompt.values() if node["class_type"] == "FaceAnonLoadModel")
    assert found.models == (loader["inputs"]["model"],)
    assert settings["Detect Faces"]["min_score"] == 0.3 and settings["Save Image"]["mark_as_ai"] is True
    assert {"Load Model", "Paste Faces"} <= set(settings) and SECRET not in str(found)
    assert found.remarks == ("Of nodes that are not of this pack only numbers are told, no texts: Load Image.",)


def test_what_changed_a_picture_after_its_report_is_named(prompt):
    node = prompt[saver(prompt)]
    prompt["99"] = {
        "class_type": "RestoreFaces",
        "inputs": {"image": node["inputs"]["images"], "strength": 0.5, "x": SECRET},
    }
    node["inputs"]["images"] = ["99", 0]
    found = read_graph(prompt, saver(prompt), "images")
    assert "The pictures also came from nodes that the report did not: Restore Faces." in found.remarks[0]
    assert ("Restore Faces", {"strength": 0.5}) in found.settings and SECRET not in str(found)


@pytest.mark.parametrize(
    ("inputs", "is_doubt"),
    [
        ({"image1": "result", "image2": "photo"}, True),  # the original, after everybody looked
        ({"image1": "result", "image2": "again"}, True),  # a file of its own
        ({"image1": "result", "strength": "number"}, False),
        ({"image1": "result", "upscale_model": "upscaler"}, False),
    ],
)
def test_a_picture_from_before_the_report_that_comes_in_after_it_needs_a_look(prompt, inputs, is_doubt):
    node = prompt[saver(prompt)]
    photo = next(id for id, one in prompt.items() if one["class_type"] in ("LoadImage", "FaceAnonSamplePicture"))
    others = {
        "again": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "number": {"class_type": "PrimitiveFloat", "inputs": {"value": 0.5}},
        "upscaler": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "x"}},
    }
    prompt |= others
    detect = next(one for one in prompt.values() if one["class_type"] == "FaceAnonDetectFaces")
    detect["inputs"]["min_score"] = ["number", 0]
    ids = {"photo": photo, "result": node["inputs"]["images"][0]}
    links = {name: [ids.get(other, other), 0] for name, other in inputs.items()}
    prompt["99"] = {"class_type": "ImageBlend", "inputs": links}
    node["inputs"]["images"] = ["99", 0]
    doubts = [one for one in read_graph(prompt, saver(prompt), "images").remarks if isinstance(one, Doubt)]
    assert bool(doubts) is is_doubt and all(doubt.kind == ORIGINAL_LATER for doubt in doubts)
    report = {"images": 1, "height": 9, "width": 9, "notes": [], "elsewhere": [], "faces": [face()]}
    proof = Proof(results_of_report(report, ("a" * 64,), doubts), made())
    assert proof.judgement == ("look" if is_doubt else "good")
    assert ("Image Blend" in to_html(proof).decode().partition("Face by face")[0]) is is_doubt


def test_what_speaks_against_a_result_moves_the_headline_and_stands_above_the_faces():
    """Whatever its words are: it is known by its kind."""
    for kind, judgement in ((NOT_COMPARED, "look"), (PARTS_KEPT, "look"), (ANOTHER_PERSON, "bad")):
        report = dataclasses.replace(Report(1, 9, 9).noting("seven", Doubt("eight", kind)), incomplete="")
        told = report.to_dict() | {"faces": [face(), face(number=2)]}
        assert told["notes"] == ["seven", "eight"] and told["doubts"] == [
            {"kind": kind, "images": [], "words": "eight"}
        ]
        proof = Proof(results_of_report(json.loads(json.dumps(told)), ("a" * 64,)), made())
        page = to_html(proof).decode()
        assert proof.judgement == judgement and f'class="headline {judgement}"' in page
        above = page.partition("Face by face")[0]
        assert "Files that need a look" in above and "eight" in above and "seven" not in above
        assert "All 2 faces" not in above and "1 file need" in above
        rows = list(csv.DictReader(io.StringIO(to_csv(proof).decode())))
        assert [row["look"] for row in rows] == ["eight", "eight"]
    assert "doubts" not in Report(1, 9, 9).noting("seven").to_dict()


def test_a_doubt_stands_at_the_pictures_that_it_is_about():
    report = Report(3, 9, 9).noting(
        Doubt("second", NOT_COMPARED, (1,)), Doubt("all", PARTS_KEPT), Doubt("far", "x", (9,))
    )
    files = results_of_report(report.to_dict(), ("a" * 64, "b" * 64, "c" * 64))
    assert [list(file.doubts) for file in files] == [["all", "far"], ["second", "all", "far"], ["all", "far"]]
    joined = join_reports([report], 3, 9, 9).after(report)
    assert [note.kind for note in joined.notes] == [NOT_COMPARED, PARTS_KEPT, "x"]
    assert read_doubts([{"words": 7}, "x", {"words": "y", "images": [True, -1, 2, "z"], "kind": None}])[0].images == (
        2,
    )
    assert read_doubts({"words": "x"}) == ()


def test_what_is_seen_of_several_faces_speaks_against_their_result_until_they_are_covered():
    before, after, frames = clip(3, track=4)
    results = {0: reading(0.9, 0.1), 1: reading(0.3, 0.1), 2: reading(3.0, -0.9)}
    found = verify_faces(before, after, frames, stand_in({i: reading() for i in range(3)}, results))
    assert [(note.kind, note.images, len(note.faces)) for note in found.notes] == [
        (ANOTHER_PERSON, (1,), 1),
        (NOT_ONE_PERSON, (2,), 1),
    ]
    before, after, faces = clip(1)
    both = dataclasses.replace(faces, faces=(faces.faces[0], dataclasses.replace(faces.faces[0], score=0.11)))
    one, other = reading(), reading(1.9, -0.5)
    found = verify_faces(before, after, both, stand_in({0: one, 1: other}, {0: reading(0.9, 0.1), 1: one}))
    noted = report_faces(both, ANONYMIZED).verified(both, [None, None], found.notes)
    told = noted.to_dict()["doubts"]
    assert [(doubt["kind"], doubt["images"]) for doubt in told] == [(ANOTHER_PERSON, [0])]
    assert told[0]["words"].startswith("the result of face 2 is the person of face 1")
    assert "doubts" not in report_faces(both, REDACTED).after(noted).to_dict()


def test_two_results_that_are_one_person_are_settled_by_changing_either():
    """In each of the pictures where they were seen."""
    before, after, frames = clip(2)
    pairs = tuple(dataclasses.replace(one, score=one.score + 0.2 * k) for one in frames for k in (0, 1))
    faces = dataclasses.replace(frames, faces=pairs)
    moved = tuple(dataclasses.replace(one, box=one.box + 8 * (one.score > 0.2)) for one in faces)
    faces = dataclasses.replace(faces, faces=moved)
    originals = {round(one.score * 10): reading(5.0 * i, -0.9) for i, one in enumerate(faces)}
    found = verify_faces(before, after, faces, stand_in(originals, dict.fromkeys(originals, reading(40.0, 0.9))))
    noted = report_faces(faces, ANONYMIZED).verified(faces, [None] * 4, found.notes)
    assert [note.kind for note in noted.notes] == [NOT_ONE_PERSON] * 2

    def after_changing(*places):
        some = dataclasses.replace(faces, faces=tuple(faces.faces[i] for i in places))
        return report_faces(some, ANONYMIZED).after(noted).to_dict().get("doubts", [])

    assert [len(after_changing(*places)) for places in ((0,), (1,), (0, 3), (1, 2), (2, 3), ())] == [1, 1, 0, 0, 1, 2]


def test_a_setting_by_a_wire_is_that_of_its_primitive_and_a_graph_may_be_unknown(prompt):
    loader = next(node for node in prompt.values() if node["class_type"] == "FaceAnonLoadModel")
    prompt["98"] = {"class_type": "PrimitiveString", "inputs": {"value": "mine"}}
    loader["inputs"]["model"] = ["98", 0]
    assert read_graph(prompt, saver(prompt), "images").models == ("mine",)
    prompt["98"]["class_type"] = "SomethingElse"
    assert read_graph(prompt, saver(prompt), "images").models is None
    for unknown in (None, {}):
        assert "not known to this report" in read_graph(unknown, "1", "images").remarks[0]


def test_each_saved_picture_of_a_batch_has_its_own_digest():
    report = {"images": 2, "height": 9, "width": 9, "notes": ["told"], "elsewhere": [face(image=1)]}
    report["faces"] = [face(image=1), face(image=0), face(image=1, verification=verification(0.3))]
    first, second = results_of_report(report, ("a" * 64, "b" * 64))
    assert (first.digests, len(first.rows), first.notes) == (("a" * 64,), 1, ("told",))
    assert (second.digests, [row.state.name for row in second.rows]) == (
        ("b" * 64,),
        ["stranger", "same person", "seen elsewhere"],
    )
    (both,) = results_of_report(report, ("a" * 64,) * 3)
    assert [row.place for row in both.rows] == ["picture 1", "picture 2", "picture 2", ""]
    assert both.notes == ("told", "The report speaks of 2 pictures, and 3 were saved.")
    assert both.doubts == both.notes[1:] and both.judgement == "look"
    (clip,) = results_of_report(report | {"faces": [face(image=i, track=0) for i in range(2)]}, ("a" * 64,))
    assert clip.kind == "clip" and [row.face for row in clip.rows] == ["person 1", "another face"]
    (alone,) = results_of_report(report | {"images": 1, "faces": [face()]}, ())
    assert alone.digests == () and b"not known to this report" in to_html(Proof((alone,), made()))


def test_nothing_of_the_originals_is_in_any_report():
    """By a real verdict of both recognisers: bytes of the file, pixels, and values of descriptors."""
    path = ROOT / "assets" / "astronaut.jpg"
    picture = np.asarray(Image.open(path).convert("RGB").crop((120, 10, 344, 234)))
    before = torch.from_numpy(picture.copy()).float()[None] / 255
    after = (before.flip(2) * 0.9).clamp(0, 1)
    faces = Faces(1, 224, 224, (Face(0, BOX, 0.99, POINTS, FIVE_POINTS, "test"),))
    mirrored = (np.array([224, 0]) + POINTS * [-1, 1])[[1, 0, 2, 4, 3]].astype(np.float32)
    box = np.array([224 - BOX[2], BOX[1], 224 - BOX[0], BOX[3]], np.float32)
    turned = Faces(1, 224, 224, (Face(0, box, 0.99, mirrored, FIVE_POINTS, "test"),))
    reader = FaceReader()
    (first,), (second,) = reader.read(before, faces), reader.read(after, turned)
    said = verify(first, second)
    assert said.verdict == "same person" and said.opinions
    report = report_faces(faces, ANONYMIZED, 7)
    report = dataclasses.replace(report, entries=(dataclasses.replace(report.entries[0], verification=said.to_dict()),))
    proof = Proof(results_of_report(report.to_dict(), ("a" * 64,)), made())
    told = {"page": to_html(proof), "table": to_csv(proof), "JSON": report.to_json().encode()}
    originals = path.read_bytes(), picture.tobytes(), picture.transpose(2, 0, 1).tobytes(), picture[..., ::-1].tobytes()
    windows = {data[i : i + 16] for data in originals for i in range(len(data) - 15)}
    numbers = [value for one in (first, second) for value in (*one.dlib, *one.faceres)]
    needles = {form for value in numbers for form in (f"{value:.4f}".encode(), f"{value:.5g}".encode())}
    needles = {needle for needle in needles if len(needle.lstrip(b"-0.")) > 3}
    needles |= {np.float32(value).tobytes() for value in numbers} | {np.float64(value).tobytes() for value in numbers}
    for name, text in told.items():
        assert not [i for i in range(len(text) - 15) if text[i : i + 16] in windows], name
        assert not [needle for needle in needles if needle in text], name
    assert f"{said.opinions[0].value:.3f}".encode() in told["page"]
