"""The nodes around the faces of a photo, called as ComfyUI calls them."""

import gc
from types import SimpleNamespace

import comfy.model_management
import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer import nodes as pack
from face_anonymizer.modules.faces.outcomes import FOUND
from face_anonymizer.modules.faces.report import report_faces
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.modules.host import detector
from face_anonymizer.nodes import reporting

# Most tests here search one photo; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")


@pytest.fixture(scope="module")
def photo(fixtures):
    """The astronaut, float32 [1, 512, 512, 3]; her face is found at 182..270 x 58..178."""
    picture = Image.open(fixtures.parents[1] / "assets" / "astronaut.jpg").convert("RGB")
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_detect_gives_faces_core_boxes_preview_and_report(photo):
    output = pack.FaceAnonDetectFaces.execute(photo)
    faces, boxes, preview = output.result
    assert len(faces) == 1 and faces.faces[0].source == "centerface"
    assert set(boxes[0][0]) == {"x", "y", "width", "height", "label", "score"}
    assert boxes[0][0]["x"] == pytest.approx(181.8, abs=1) and boxes[0][0]["height"] == pytest.approx(119.9, abs=1)
    assert preview.shape == photo.shape and not torch.equal(preview, photo)
    assert output.ui["text"] == ("1 face found",)
    (report,) = output.ui["face_anon_report"]
    assert report["actions"] == {"found": 1} and report["images_without_faces"] == []
    assert report["faces"][0]["box"] == [round(edge, 1) for edge in faces.faces[0].box.tolist()]


@pytest.mark.parametrize("prompt", [{}, {"7": {"class_type": "FaceAnonDetectFaces", "inputs": {"image": ["0", 0]}}}])
def test_the_preview_is_whole_whatever_is_connected(prompt, monkeypatch):
    """The host hands out the first run's outputs again when something is connected later."""
    page = SimpleNamespace(
        client_id="page", sockets={"page": None}, send_progress_text=lambda *_: None, send_sync=lambda *_: None
    )
    monkeypatch.setattr(reporting.PromptServer, "instance", page, raising=False)
    clip = noise(11, 64, 64, 3)
    faces = pack.FaceAnonDetectFaces.execute(clip)[0]
    for node, inputs, slot in ((pack.FaceAnonDetectFaces, (clip,), 2), (pack.FaceAnonTrackFaces, (clip, faces), 1)):
        called = node.PREPARE_CLASS_CLONE(None)
        called.hidden = SimpleNamespace(unique_id="7", prompt=prompt, extra_pnginfo=None)
        output = called.execute(*inputs)
        assert output[slot].shape == clip.shape and len(output.ui["images"]) == 8


def test_a_thorough_search_on_the_cpu_says_before_it_starts_how_long_it_takes(photo, caplog, monkeypatch):
    said = []

    def search(*_, **__):
        said.extend(record.getMessage() for record in caplog.records)
        raise InterruptedError

    monkeypatch.setattr(detector, "detect_faces", search)
    caplog.set_level("INFO", "face_anonymizer")
    monkeypatch.setattr(comfy.model_management, "get_torch_device", lambda: torch.device("cpu"))
    for height, width, thorough, times in ((9000, 16000, True, 1), (9000, 16000, False, 0), (512, 512, True, 0)):
        said.clear(), caplog.clear()
        with pytest.raises(InterruptedError):
            pack.FaceAnonDetectFaces.execute(torch.zeros(1, 1, 1, 3).expand(1, height, width, 3), thorough=thorough)
        assert len(said) == times and all("thorough, on the CPU: up to " in line for line in said), said


def test_the_detector_leaves_nothing_loaded(photo):
    comfy.model_management.unload_all_models()
    pack.FaceAnonDetectFaces.execute(photo)
    gc.collect()
    comfy.model_management.cleanup_models()
    assert comfy.model_management.loaded_models() == []


def test_boxes_of_another_detector_are_used_instead(photo):
    found, boxes, _ = pack.FaceAnonDetectFaces.execute(photo).result
    given, _, _ = pack.FaceAnonDetectFaces.execute(photo, bboxes=boxes).result
    assert given.faces[0].source == "bounding_box" and np.allclose(given.faces[0].box, found.faces[0].box)
    by_points, by_box = (pack.FaceAnonCropFaces.execute(photo, faces, 128)[0] for faces in (found, given))
    assert by_points.shape == by_box.shape == (1, 128, 128, 3)
    # the box knows nothing of the head's turn; the crops show the same face all the same (measured 0.101)
    assert (by_points - by_box).abs().mean() < 0.11


def test_landmarks_of_the_core_are_used_instead(photo):
    mesh = np.random.default_rng(0).uniform([180, 60], [270, 180], (478, 2)).astype(np.float32)
    landmarks = {"frames": [[{"landmarks_xy": mesh, "score": 0.9}]], "image_size": (512, 512)}
    faces, _, _ = pack.FaceAnonDetectFaces.execute(photo, face_landmarks=landmarks).result
    assert faces.faces[0].points.shape == (68, 2) and faces.faces[0].layout == "ibug68"
    with pytest.raises(ValueError, match="not both"):
        pack.FaceAnonDetectFaces.execute(photo, face_landmarks=landmarks, bboxes=[[]])
    with pytest.raises(ValueError, match=r"512x512.*300x200"):
        pack.FaceAnonDetectFaces.execute(noise(1, 200, 300, 3), face_landmarks=landmarks)


def test_crops_are_asked_for_only_where_there_is_a_face(photo):
    faces = pack.FaceAnonDetectFaces.execute(photo).result[0]
    none = pack.FaceAnonDetectFaces.execute(noise(1, 64, 64, 3)).result[0]
    ask = pack.FaceAnonPasteFaces.check_lazy_status
    assert ask(image=photo, faces=faces, crops=None) == ["crops"]
    assert ask(image=photo, faces=faces, crops=photo) == []
    assert ask(image=photo, faces=none, crops=None) == []


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (1, 1, 1, 3), (2, 40, 30, 4), (1, 33, 47, 1)])
def test_without_a_face_a_picture_of_any_kind_is_unchanged(shape):
    image = noise(*shape)
    faces = pack.FaceAnonDetectFaces.execute(image).result[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, 64).result
    assert crops.shape == (0, 64, 64, 3)
    output = pack.FaceAnonPasteFaces.execute(image, cropped)
    assert torch.equal(output[0], image) and not output[1].any()
    picture = "picture is" if len(image) == 1 else "pictures are"
    assert output.ui["text"] == (f"No face found: the {picture} unchanged",)


def test_an_empty_batch_passes():
    image = torch.zeros(0, 64, 64, 3)
    faces = pack.FaceAnonDetectFaces.execute(image).result[0]
    assert len(faces) == 0 and pack.FaceAnonPasteFaces.execute(image, faces)[0].shape == image.shape


def test_alpha_stays_and_only_the_mask_changes(photo):
    image = torch.cat([photo, noise(1, 512, 512, 1)], dim=-1)
    faces = pack.FaceAnonDetectFaces.execute(image).result[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, 128).result
    pasted, mask, _ = pack.FaceAnonPasteFaces.execute(image, cropped, crops.roll(crops.shape[1] // 2, 1)).result
    assert torch.equal(pasted[..., 3], image[..., 3])
    assert torch.equal(pasted[mask == 0], image[mask == 0]) and 0.02 < (mask > 0).float().mean() < 0.2
    assert (pasted[..., :3] - image[..., :3])[mask == 1].abs().mean() > 0.1


def test_faces_of_several_images_go_back_to_their_own(photo):
    images = torch.cat([photo, noise(1, 512, 512, 3), photo.flip(2)])
    faces = pack.FaceAnonDetectFaces.execute(images).result[0]
    assert [face.image_index for face in faces] == [0, 2]
    crops, cropped = pack.FaceAnonCropFaces.execute(images, faces, 128).result
    pasted, mask, _ = pack.FaceAnonPasteFaces.execute(images, cropped, torch.zeros_like(crops)).result
    assert mask[0].any() and not mask[1].any() and mask[2].any()
    assert torch.equal(pasted[1], images[1]) and pasted[0, 110, 226].sum() < 0.1 and pasted[2, 110, 285].sum() < 0.1


def test_crops_and_faces_that_do_not_belong_together(photo):
    faces = pack.FaceAnonDetectFaces.execute(photo).result[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(photo, faces, 64).result
    with pytest.raises(ValueError, match="FaceAnonCropFaces"):
        pack.FaceAnonPasteFaces.execute(photo, faces, crops)
    with pytest.raises(ValueError, match="2 crops but 1 faces"):
        pack.FaceAnonPasteFaces.execute(photo, cropped, crops.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"512x512.*256x256"):
        pack.FaceAnonPasteFaces.execute(photo[:, :256, :256], cropped, crops)


def test_of_a_long_clip_a_page_gets_the_sums_alone(monkeypatch):
    """An hour of film would be a hundred megabytes for each page and history; the command line gets all of it."""
    box = np.array([2.0, 2, 40, 40], dtype=np.float32)
    faces = Faces(
        1001, 64, 64, tuple(Face(i, box, 0.9, np.zeros((0, 2), np.float32), BOX_ONLY, "test") for i in range(1001))
    )
    report = report_faces(faces, FOUND)
    node = SimpleNamespace(hidden=SimpleNamespace(unique_id="7"))
    for client, count in (("page", 0), ("face-anonymizer-command-1", 1001)):
        server = SimpleNamespace(client_id=client, sockets={client: None}, send_progress_text=lambda *_: None)
        monkeypatch.setattr(reporting.PromptServer, "instance", server, raising=False)
        (told,) = reporting.show_report(node, report)["face_anon_report"]
        assert len(told["faces"]) == count and told["actions"] == {"found": 1001}
        assert told.get("faces_left_out", 0) == 1001 - count
