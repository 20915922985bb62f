"""Pictures, clips and masks that nobody expects: correct work, or an error that names the next step."""

import pipeline
import pytest
import torch

from face_anonymizer import nodes as pack


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return pipeline.load_least()


def noise(*shape) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def boxes(count: int, side: int = 40) -> list[list[dict]]:
    """A grid of faces, 20 in a row."""
    places = ((i % 20 * 50 + 5, i // 20 * 50 + 5) for i in range(count))
    return [[{"x": x, "y": y, "width": side, "height": side, "score": 0.9} for x, y in places]]


def test_more_faces_than_are_painted_at_once(model):
    image = noise(1, 60, 360, 3)
    faces = pack.FaceAnonDetectFaces.execute(image, bboxes=boxes(7))[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, pipeline.LEAST_SIZE).result
    painted = pack.FaceAnonAnonymizeCrops.execute(*model, crops, cropped, steps=1, faces_at_once=3)[0]
    pasted, mask, report = pack.FaceAnonPasteFaces.execute(image, cropped, painted, seed=9).result
    assert report.count() == {"anonymized": 7}
    assert [entry.seed for entry in report.entries] == list(range(9, 9 + 7))
    for face in faces:
        x, y = (int(face.box[i] + face.box[i + 2]) // 2 for i in (0, 1))
        assert mask[0, y, x] > 0.9 and not torch.equal(pasted[0, y, x], image[0, y, x])


@pytest.mark.long
def test_a_strip_of_twenty_thousand_pixels():
    image = noise(1, 50, 20000, 3)
    faces = pack.FaceAnonDetectFaces.execute(image)[0]
    assert (faces.height, faces.width) == (50, 20000)
    redacted, mask, _ = pack.FaceAnonRedactFaces.execute(image, faces).result
    assert torch.equal(redacted[mask == 0], image[mask == 0])
    found = pack.FaceAnonDetectFaces.execute(image, bboxes=[[{"x": 19970, "y": 5, "width": 40, "height": 40}]])[0]
    redacted, mask, _ = pack.FaceAnonRedactFaces.execute(image, found).result
    assert (redacted[0, 10:40, 19980:] == 0).all() and not mask[0, :, :19900].any()
    crops, cropped = pack.FaceAnonCropFaces.execute(image, found, 64).result
    pasted, mask, _ = pack.FaceAnonPasteFaces.execute(image, cropped, crops.roll(crops.shape[1] // 2, 1)).result
    assert mask[0, 20, 19990] == 1 and torch.equal(pasted[mask == 0], image[mask == 0])


def test_a_mask_of_another_size():
    image = noise(1, 100, 200, 3)
    faces = pack.FaceAnonDetectFaces.execute(image, bboxes=boxes(2))[0]
    wrong = torch.zeros(1, 64, 64)
    with pytest.raises(ValueError, match=r"64x64.*200x100"):
        pack.FaceAnonSelectFaces.execute(faces, mask=wrong)
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, 64).result
    with pytest.raises(ValueError, match=r"64x64.*200x100"):
        pack.FaceAnonPasteFaces.execute(image, cropped, crops.roll(crops.shape[1] // 2, 1), protect=wrong)


def test_clips_of_no_frame_and_of_one():
    for count, found in ((0, []), (1, boxes(2)[0])):
        frames = noise(count, 100, 200, 3)
        faces = pack.FaceAnonDetectFaces.execute(frames, bboxes=[found] * count)[0]
        output = pack.FaceAnonTrackFaces.execute(frames, faces)
        assert [face.track for face in output[0]] == list(range(len(found)))
        crops, cropped = pack.FaceAnonCropFaces.execute(frames, output[0], 64).result
        assert crops.shape == (len(found), 64, 64, 3)
        pasted, _, report = pack.FaceAnonPasteFaces.execute(frames, cropped, crops.roll(crops.shape[1] // 2, 1)).result
        assert pasted.shape == frames.shape and report.images == count


def test_a_part_of_the_picture_that_is_protected_stays_where_the_user_says_so():
    image = noise(1, 100, 200, 3)
    faces = pack.FaceAnonDetectFaces.execute(image, bboxes=boxes(1))[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, 64).result
    hand = torch.zeros(1, 100, 200)
    hand[:, 20:35] = 1
    other = crops.roll(crops.shape[1] // 2, 1)
    pasted, mask, report = pack.FaceAnonPasteFaces.execute(image, cropped, other, protect=hand, keep="1").result
    assert torch.equal(pasted[0, 20:35], image[0, 20:35]) and not mask[0, 20:35].any() and mask[0, 15, 25] == 1
    assert [(entry.action, entry.verdict) for entry in report.entries] == [("kept by the user", "kept")]


def test_crops_of_nan_are_covered_and_reported(model):
    image = noise(1, 100, 200, 3)
    faces = pack.FaceAnonDetectFaces.execute(image, bboxes=boxes(2))[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, 64).result
    painted = crops.roll(crops.shape[1] // 2, 1)
    painted[1] = float("nan")
    output = pack.FaceAnonPasteFaces.execute(image, cropped, painted)
    assert output[0].isfinite().all() and (output[0][0, 20:30, 70:80] == 0).all()
    assert output.ui["text"] == (
        "1 face anonymized, 1 face redacted\nredacted: not finite: no value of the crop is a number, as where painting "
        "was given up because no attempt passed (1, number 2)\n"
        "not verified: no recogniser was asked about 1 painted face",
    )


def test_a_face_below_the_least_size_is_covered():
    image = noise(1, 100, 200, 3)
    faces = pack.FaceAnonDetectFaces.execute(image, bboxes=boxes(1, side=12))[0]
    crops, cropped = pack.FaceAnonCropFaces.execute(image, faces, 64).result
    _, _, report = pack.FaceAnonPasteFaces.execute(image, cropped, crops.roll(crops.shape[1] // 2, 1)).result
    assert [(entry.action, entry.reason) for entry in report.entries] == [
        ("redacted", "too small: 12 pixels, 16 is the least")
    ]
    _, _, report = pack.FaceAnonPasteFaces.execute(
        image, cropped, crops.roll(crops.shape[1] // 2, 1), min_size=12
    ).result
    assert report.count() == {"anonymized": 1}
