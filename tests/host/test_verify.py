"""Verify Faces, and the verdict in Paste Faces, called as ComfyUI calls them."""

import dataclasses
import gc
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import comfy.model_management
import numpy as np
import pytest
import torch
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer import nodes as pack
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.notes import DRAWN_FACES
from face_anonymizer.modules.model.checkpoint import DEMO, PACK_MODELS
from face_anonymizer.modules.recognition.reader import FaceReader
from face_anonymizer.modules.recognition.verdict import verify
from face_anonymizer.nodes import model, reporting

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

TEMPLATES = Path(importlib.util.find_spec("comfyui_workflow_templates_media_image").origin).parent / "templates"


def load(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float()[None] / 255


@pytest.fixture(scope="module")
def photo(fixtures):
    """The astronaut, her face and its crop."""
    images = load(fixtures.parents[1] / "assets" / "astronaut.jpg")
    faces = pack.FaceAnonDetectFaces.execute(images)[0]
    return images, *pack.FaceAnonCropFaces.execute(images, faces, 192).result


@pytest.fixture(scope="module")
def stranger(fixtures):
    """The crop of a drawn person."""
    images = load(fixtures.parents[1] / "assets" / "synthetic_group.jpg")
    faces = pack.FaceAnonDetectFaces.execute(images, max_faces=1)[0]
    return pack.FaceAnonCropFaces.execute(images, faces, 192)[0]


@pytest.fixture
def in_graph(monkeypatch):
    """A node with the hidden inputs that a graph has in which a model painted what comes into it; and its page."""
    page = SimpleNamespace(client_id="page", sockets={"page": None}, send_progress_text=lambda *_: None)
    monkeypatch.setattr(reporting.PromptServer, "instance", page, raising=False)
    monkeypatch.setattr(model.folder_paths, "get_folder_paths", lambda kind: [str(PACK_MODELS)])

    def called(node, input_name, name):
        prompt = {
            "1": {"class_type": "FaceAnonLoadModel", "inputs": {"model": name}},
            "2": {"class_type": "FaceAnonAnonymizeCrops", "inputs": {"model": ["1", 0]}},
            "3": {"class_type": node.__name__, "inputs": {input_name: ["2", 0]}},
        }
        clone = node.PREPARE_CLASS_CLONE(None)
        clone.hidden = SimpleNamespace(unique_id="3", prompt=prompt, extra_pnginfo=None)
        return clone

    return called


def blend(photo, stranger):
    """More than half of her, soft, over the stranger: what the look lets pass, and recognisers do not."""
    soft = torch.nn.functional.avg_pool2d(photo[1].movedim(3, 1), 5, 1, 2, count_include_pad=False).movedim(1, 3)
    return 0.6 * soft + 0.4 * stranger


def test_paste_verifies_only_where_it_is_told_to(photo, stranger, in_graph):
    images, _, faces = photo
    crops = blend(photo, stranger)
    by_default = pack.FaceAnonPasteFaces.execute(images, faces, crops)
    assert by_default[2].count() == {"anonymized": 1} and by_default[2].entries[0].verification is None
    on = pack.FaceAnonPasteFaces.execute(images, faces, crops, verify="on")
    assert on[2].count() == {"redacted": 1} and on.ui["text"][0].startswith(
        "1 face redacted\nredacted: same person: dl"
    )
    for name, count in ((DEMO, {"anonymized": 1}), ("face-anon-simple", {"redacted": 1})):
        node = in_graph(pack.FaceAnonPasteFaces, "crops", name)
        output = node.execute(images, faces, crops, verify="auto")
        assert output[2].count() == count
        notes = ["not verified: demo is a demonstration and paints drawn faces"] if name == DEMO else []
        assert list(output[2].notes) == notes
    node = in_graph(pack.FaceAnonPasteFaces, "crops", DEMO)
    # another model painted over what the demo had made, and one that nobody knows: both are verified
    node.hidden.prompt["3"]["inputs"]["image"] = ["2", 0]
    node.hidden.prompt["4"] = {"class_type": "FaceAnonLoadModel", "inputs": {"model": ["9", 0]}}
    node.hidden.prompt["3"]["inputs"]["crops"] = ["4", 0]
    assert node.execute(images, faces, crops, verify="auto")[2].count() == {"redacted": 1}
    node = in_graph(pack.FaceAnonPasteFaces, "crops", DEMO)
    (note,) = node.execute(images, faces, crops, verify="on")[2].notes
    assert note.startswith("demo is a demonstration") and "trained on photographs" in note


def test_verify_shows_marks_and_gives_back_what_did_not_pass(photo, stranger, in_graph):
    images, _, faces = photo
    pasted = [pack.FaceAnonPasteFaces.execute(images, faces, crops) for crops in (stranger, blend(photo, stranger))]
    node = in_graph(pack.FaceAnonVerifyFaces, "after", DEMO)
    preview, mask, failed, report = (output := node.execute(images, pasted[0][0], faces, pasted[0][2])).result
    assert report.entries[0].action == "anonymized" and report.entries[0].verification["verdict"] == "stranger"
    assert not mask.any() and len(failed) == 0 and len(failed.kept) == 1 and len(output.ui["images"]) == 1
    assert "; drift: pose " in output.ui["text"][0] and "say, which means little: 1 stranger" in output.ui["text"][0]
    assert "trained on photographs" in report.notes[0] and report.to_dict()["doubts"][0]["kind"] == DRAWN_FACES
    covered = pack.FaceAnonRedactFaces.execute(pasted[0][0], faces, report=report)[2]
    assert report.notes[0] in covered.notes and "doubts" not in covered.to_dict(), "nothing drawn shows any more"
    assert output.ui["face_anon_report"][0]["faces"][0]["verification"]["drift"]["pose"] >= 0
    x0, y0, _, y1 = faces.faces[0].box.astype(int)
    border = preview[0, y0 : y1 + 1, x0]
    assert (border[:, 1] > border[:, 0]).all(), "green"
    preview, mask, failed, report = pack.FaceAnonVerifyFaces.execute(images, pasted[1][0], faces).result
    assert report.entries[0].action == "found" and report.entries[0].verification["verdict"] == "same person"
    assert len(failed) == 1 and mask[0, 110, 226] == 1 and 0.02 < mask.mean() < 0.1 and report.notes == ()
    assert (preview[0, y0 : y1 + 1, x0, 0] > preview[0, y0 : y1 + 1, x0, 1] + 0.3).all(), "red"
    covered, _, done = pack.FaceAnonRedactFaces.execute(pasted[1][0], failed, report=report).result
    assert done.count() == {"redacted": 1}
    last = pack.FaceAnonVerifyFaces.execute(images, covered, faces, done)
    assert last[3].count() == {"redacted": 1} and len(last[2]) == 0 and "1: covered" in last.ui["text"][0]


def test_a_small_face_that_is_open_is_not_covered_whatever_its_report_says(photo):
    """Too small for recognisers; the original is wired on as the result, with the report of the cover."""
    small = torch.nn.functional.interpolate(photo[0].movedim(-1, 1), scale_factor=0.28, mode="area").movedim(1, -1)
    faces = pack.FaceAnonDetectFaces.execute(small)[0]
    assert len(faces) == 1 and faces.faces[0].size < 40
    covered, _, done = pack.FaceAnonRedactFaces.execute(small, faces).result
    wrong = pack.FaceAnonVerifyFaces.execute(small, small, faces, done)
    assert len(wrong[2]) == 1 and "1: same person: unchanged" in wrong.ui["text"][0]
    right = pack.FaceAnonVerifyFaces.execute(small, covered, faces, done)
    assert len(right[2]) == 0 and "1: covered" in right.ui["text"][0]


@pytest.mark.parametrize("change", ["turned", "negative", "moved"])
def test_a_small_face_is_open_however_it_is_turned(photo, change):
    """What the report's few pixels do not know for the original; the detector does."""
    small = torch.nn.functional.interpolate(photo[0].movedim(-1, 1), scale_factor=0.28, mode="area").movedim(1, -1)
    faces = pack.FaceAnonDetectFaces.execute(small)[0]
    _, _, done = pack.FaceAnonRedactFaces.execute(small, faces).result
    x0, y0, x1, y1 = (int(edge) for edge in faces.faces[0].box + np.array([-4, -4, 5, 5]))
    after, square = small.clone(), small[:, y0:y1, x0:x1]
    if change == "moved":
        square = small[:, y0:y1, x0 - 2 : x1 - 2]
    after[:, y0:y1, x0:x1] = {"turned": square.flip(1, 2), "negative": 1 - square, "moved": square}[change]
    output = pack.FaceAnonVerifyFaces.execute(small, after, faces, done)
    assert len(output[2]) == 1 and output[3].entries[0].verification["of"] == "result", output.ui["text"]


@pytest.mark.long  # tests/unit/test_clip_people.py has the same without nodes
def test_frames_of_a_clip_are_held_against_all_its_people(photo, stranger):
    """A result in the first frame is another picture of the person of the second: Paste Faces looks at the clip."""
    shown = []
    for number in (1, 2):
        images = load(TEMPLATES / f"api_magnific_image_relight-{number}.webp")
        found = pack.FaceAnonDetectFaces.execute(images, max_faces=1)[0]
        shown.append(pack.FaceAnonCropFaces.execute(images, found, 192)[0])
    frames = torch.full((2, 240, 240, 3), 0.5)
    frames[:, 24:216, 24:216] = torch.cat([photo[1], shown[0]])
    faces = pack.FaceAnonDetectFaces.execute(frames)[0]
    faces = pack.FaceAnonCropFaces.execute(frames, faces, 192)[1]
    assert len(faces) == 2
    crops = torch.cat([shown[1], stranger])
    done = pack.FaceAnonPasteFaces.execute(frames, faces, crops, verify="on")[2]
    assert done.count() == {"anonymized": 2}, "photos of a batch have nothing to do with each other"
    followed = tuple(dataclasses.replace(face, track=face.image_index) for face in faces)
    faces = dataclasses.replace(faces, faces=followed)
    done = pack.FaceAnonPasteFaces.execute(frames, faces, crops, verify="on")[2]
    assert [entry.action for entry in done.entries] == ["redacted", "anonymized"]
    assert done.entries[0].reason.startswith("same person: like somebody else of the clip: dlib's distance")


def test_the_first_original_is_who_must_not_come_back(photo, stranger, fixtures):
    """Half of her over a stranger who was pasted before: another one of the picture at hand, but not of hers."""
    images, _, faces = photo
    first = pack.FaceAnonPasteFaces.execute(images, faces, stranger, verify="on").result
    assert first[2].count() == {"anonymized": 1}
    group = load(fixtures.parents[1] / "assets" / "synthetic_group.jpg")
    other = pack.FaceAnonCropFaces.execute(group, pack.FaceAnonDetectFaces.execute(group)[0], 192)[0][-1:]
    again = pack.FaceAnonPasteFaces.execute(first[0], faces, blend(photo, other), verify="on", report=first[2])
    assert again[2].count() == {"redacted": 1} and "same person: dlib's distance" in again.ui["text"][0]


def test_a_stranger_whom_an_earlier_step_painted_may_stay(photo, stranger):
    """`before` shows the stranger: who was there at first is told by the report."""
    images, _, faces = photo
    pasted, _, report = pack.FaceAnonPasteFaces.execute(images, faces, stranger, verify="on").result
    anew = pack.FaceAnonDetectFaces.execute(pasted, max_faces=1)[0]
    alone = pack.FaceAnonVerifyFaces.execute(pasted, pasted, anew)
    assert len(alone[2]) == 1, "without the report nobody knows that this is a stranger"
    said = pack.FaceAnonVerifyFaces.execute(pasted, pasted, anew, report)
    (entry,) = said[3].entries
    assert entry.action == "anonymized" and entry.verification["verdict"] == "stranger" and len(said[2]) == 0


def test_before_and_after_the_wrong_way_round_are_refused(photo, stranger):
    images, _, faces = photo
    pasted = pack.FaceAnonPasteFaces.execute(images, faces, stranger).result
    with pytest.raises(ValueError, match="exchange the two"):
        pack.FaceAnonVerifyFaces.execute(pasted[0], images, faces, pasted[2])


def test_a_mosaic_that_recognisers_read_through_is_no_cover(photo):
    images, _, faces = photo
    covered = pack.FaceAnonRedactFaces.execute(images, faces, mode="mosaic", detail=32.0, margin=0.0).result
    said = pack.FaceAnonVerifyFaces.execute(images, covered[0], faces, covered[2])
    (entry,) = said[3].entries
    assert entry.action == "redacted" and entry.verification["of"] == "result"
    assert "recognisers say: 1 same person" in said.ui["text"][0] and len(said[2]) == 1


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (2, 40, 30, 4), (0, 64, 64, 3)])
def test_without_a_face_there_is_nothing_to_verify_and_nothing_is_loaded(shape, monkeypatch):
    monkeypatch.setattr("face_anonymizer.modules.host.reader.ReaderNetworks", None)
    images = torch.rand(shape)
    faces = pack.FaceAnonDetectFaces.execute(images)[0]
    preview, mask, failed, report = (output := pack.FaceAnonVerifyFaces.execute(images, images, faces)).result
    assert preview.shape == (*shape[:3], 3) and mask.shape == shape[:3] and len(failed) == 0 and report.entries == ()
    assert output.ui["text"][0].startswith("No face found")
    assert pack.FaceAnonPasteFaces.execute(images, faces, verify="on")[0] is not None


def test_nothing_passes_silently(photo):
    images, _, faces = photo
    nothing, face_lost = torch.full_like(images, torch.nan), images.clone()
    face_lost[:, 40:200, 160:290] = torch.nan
    report = pack.FaceAnonVerifyFaces.execute(images, face_lost, faces)[3]
    assert report.entries[0].verification["verdict"] == "failed"
    for after, words in ((images[:, :256], "neither scaled nor cropped"), (nothing, "after: Picture 1 is not the one")):
        with pytest.raises(ValueError, match=words):
            pack.FaceAnonVerifyFaces.execute(images, after, faces)


def test_the_reader_leaves_nothing_loaded(photo, stranger):
    images, _, faces = photo
    comfy.model_management.unload_all_models()
    pack.FaceAnonPasteFaces.execute(images, faces, stranger, verify="on")
    gc.collect()
    comfy.model_management.cleanup_models()
    assert comfy.model_management.loaded_models() == []


PEOPLE = ["api_magnific_image_relight", "api_grok_imagine_image_quality_image_edit"]


@pytest.mark.parametrize("name", rest_is_long(PEOPLE, PEOPLE[0]))
def test_one_person_in_two_pictures_is_no_stranger(name):
    """Generated people of ComfyUI's own template pictures, shown twice: in other light, with other hair and props."""
    network, reader = load_face_networks(), FaceReader()
    read = []
    for number in (1, 2):
        images = load(TEMPLATES / f"{name}-{number}.webp")
        faces = detect_faces(network, images)
        largest = max(faces, key=lambda face: face.size)
        read += reader.read(images, dataclasses.replace(faces, faces=(largest,)))
    there = verify(*read)
    assert there.verdict == verify(*reversed(read)).verdict == "same person", there.reason
