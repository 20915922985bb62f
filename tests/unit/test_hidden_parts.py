"""What a photo hides under alpha 0 does not come out of Save Image (clean), whatever a graph did to the picture."""

import numpy as np
import planted_photos as planted
import pytest
import torch
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer.modules.output.pictures import emptied
from face_anonymizer.modules.output.provenance import keeps_frame
from face_anonymizer.modules.photos.hidden import Page, Photos

WAYS = Image.Transpose
SIDE = 256
HIDDEN = (20, 60, 110, 160)  # x0 y0 x1 y1


@pytest.fixture(scope="module")
def photo(request):
    """A photo that hides a square of blocks, and what it hides, as pictures."""
    picture = Image.open(request.config.rootpath / "assets" / "astronaut.jpg").convert("RGB").resize((SIDE, SIDE))
    picture.paste(planted.original().resize((84, 94), Image.Resampling.NEAREST), (23, 63))
    hidden = Image.new("L", picture.size)
    hidden.paste(255, HIDDEN)
    return picture, hidden


def page_of(picture, hidden):
    return Page(np.asarray(hidden) > 0, np.asarray(picture))


def to_tensor(picture):
    return torch.from_numpy(np.array(picture)).float() / 255


def part(picture, *shares):
    return picture.crop(
        [round(share * side) for share, side in zip(shares, (*picture.size, *picture.size), strict=True)]
    )


def saved(page, image, **how):
    for mask in Photos([[page]], 1, **how).hidden_in(0, image):
        image = emptied(image, mask)
    return image


CHANGES = {
    "as it is": lambda p: p,
    "mirrored": lambda p: p.transpose(WAYS.FLIP_LEFT_RIGHT),
    "upside down": lambda p: p.transpose(WAYS.FLIP_TOP_BOTTOM),
    "a quarter turn": lambda p: p.transpose(WAYS.ROTATE_90),
    "a half turn": lambda p: p.transpose(WAYS.ROTATE_180),
    "turned and mirrored": lambda p: p.transpose(WAYS.TRANSPOSE),
    "reduced": lambda p: p.resize((150, 150)),
    "enlarged and mirrored": lambda p: p.transpose(WAYS.FLIP_LEFT_RIGHT).resize((400, 400)),
    "other proportions": lambda p: p.resize((256, 128)),
    "a hundredth cut off": lambda p: part(p, 0.01, 0.01, 0.99, 0.99).resize(p.size),
    "cut to the same proportions": lambda p: part(p, 0.04, 0.1, 0.64, 0.7),
    "cut and enlarged": lambda p: part(p, 0.04, 0.1, 0.64, 0.7).resize(p.size),
    "cut to others, mirrored": lambda p: part(p, 0.04, 0.1, 0.64, 0.6).transpose(WAYS.FLIP_LEFT_RIGHT),
    "shifted": lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0, 3, 0, 1, -2)),
}


GRADED = ("as it is", "mirrored", "cut and enlarged")  # ... and otherwise exposed


@pytest.mark.parametrize("name", CHANGES)
def test_hidden_parts_are_empty_where_the_graph_put_them(photo, name):
    picture, hidden = (CHANGES[name](one) for one in photo)
    for image in (to_tensor(picture), to_tensor(picture) ** 1.3 * 0.9) if name in GRADED else (to_tensor(picture),):
        result = saved(page_of(*photo), image)
        empty = (result == 1).all(-1).numpy()
        where = np.asarray(hidden) > 128
        assert where.any() and empty[where].all(), "what was hidden is seen"
        assert empty[~where].mean() < 0.15, "and the rest is still there"


def test_an_untouched_frame_loses_no_other_pixel(photo):
    picture, hidden = photo
    image = to_tensor(picture)
    image[40:200, 120:220] = 0.3  # what a redaction makes of it
    result = saved(page_of(*photo), image)
    where = np.asarray(hidden) > 0
    assert (result[where] == 1).all() and torch.equal(result[~where], image[~where])


@pytest.mark.parametrize("change", rest_is_long(["wrapped", "another", "on a stage"], "wrapped", "on a stage"))
def test_where_nobody_knows_the_place_the_picture_is_refused(photo, change, request):
    picture, _ = photo
    other = to_tensor(Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB"))
    image = {
        "wrapped": to_tensor(picture).roll((40, 90), (0, 1)),
        "another": other[:256, :256],
        "on a stage": torch.cat([to_tensor(picture), other[:256, :200]], 1),
    }[change]
    with pytest.raises(ValueError, match=r"nobody knows where .*Save the photo without transparency first, or join"):
        saved(page_of(*photo), image)
    if change != "wrapped":
        return
    # the next step that the message names: the mask was joined, and alpha says what to empty
    saved(page_of(*photo), torch.cat([image, (image[..., :1] > 0.1).float()], -1))


def test_photos_that_hide_nothing_are_never_refused(photo, request):
    picture, hidden = photo
    image = to_tensor(picture).roll((40, 90), (0, 1))
    plain = Page(np.zeros((SIDE, SIDE), bool), np.asarray(picture))
    assert torch.equal(saved(plain, image), image)
    one_colour = np.where(np.asarray(hidden)[..., None] > 0, np.uint8(7), np.asarray(picture))
    saved(Page(np.asarray(hidden) > 0, one_colour), image[:100])  # a cut-out as programs write them


def test_nothing_is_emptied_for_hidden_parts_of_one_colour_in_a_picture_with_more(photo, request):
    """Strokes that were painted over a picture, as a file of their own: all but them is transparent, and black."""
    other = to_tensor(Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB"))
    strokes = np.zeros((600, 900, 3), np.uint8)
    strokes[100:110, 50:300] = 200
    page = Page(strokes[..., 0] == 0, strokes)
    image = torch.from_numpy(strokes).float() / 255 + other * torch.from_numpy(strokes == 0)
    plain = Page(np.zeros((600, 900), bool), np.zeros((600, 900, 3), np.uint8))
    assert Photos([[plain], [page]], 1, joined=True).hidden_in(0, image) == []
    assert Photos([[page]], 1).hidden_in(0, image) == []


def test_a_close_portrait_that_was_painted_anew_is_saved_as_its_graph_says(photo):
    image = torch.rand(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    result = saved(page_of(*photo), image, keeps_frame=True)
    assert (result[np.asarray(photo[1]) > 0] == 1).all()
    with pytest.raises(ValueError, match="nobody knows"):
        saved(page_of(*photo), image[:200], keeps_frame=True)


def test_the_graphs_that_keep_the_frame(photo):
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": inputs}

    prompt = {"1": node("LoadImage", image="a.png"), "2": node("FaceAnonPasteFaces", image=["1", 0], crops=["7", 0])}
    prompt |= {"3": node("FaceAnonRedactFaces", image=["2", 0]), "4": node("ImageFlip", image=["3", 0])}
    for last, keeps in (("1", False), ("2", True), ("3", True), ("4", False), ("7", False)):
        assert keeps_frame(prompt | {"9": node("FaceAnonSaveImage", images=[last, 0])}, "9") is keeps


def test_each_picture_of_a_batch_hides_its_own_whatever_became_of_it(photo, request):
    other = Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB")
    plain = Page(np.zeros((600, 900), bool), np.asarray(other))
    photos = Photos([[plain], [page_of(*photo)]], 2)
    assert photos.hidden_in(0, to_tensor(other.transpose(WAYS.ROTATE_180))) == []
    turned = to_tensor(photo[0].transpose(WAYS.ROTATE_180))
    (mask,) = photos.hidden_in(1, turned)
    assert mask[np.asarray(photo[1])[::-1, ::-1] > 0].all()


def test_of_an_animation_any_part_is_searched_for(photo):
    """Three frames that hide another part each, of which one is saved."""
    picture, hidden = photo
    pages = [
        page_of(picture, hidden.transform(hidden.size, Image.Transform.AFFINE, (1, 0, -40 * i, 0, 1, 0)))
        for i in range(3)
    ]
    (mask, *_) = Photos([pages], 1).hidden_in(0, to_tensor(picture))
    assert all(mask[page.hidden].all() for page in pages)
    (mask,) = Photos([pages], 3).hidden_in(2, to_tensor(picture))
    assert np.array_equal(mask, pages[2].hidden)


def test_a_part_of_a_collage_hides_its_own(photo, request):
    """Composited small into another photo: it is the larger picture that holds the photo."""
    stage = to_tensor(Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB")).clone()
    small, hidden = (one.resize((300, 300)) for one in photo)
    stage[200:500, 500:800] = to_tensor(small)
    plain = Page(np.zeros((600, 900), bool), np.zeros((600, 900, 3), np.uint8))
    (mask,) = Photos([[plain], [page_of(*photo)]], 1, joined=True).hidden_in(0, stage)
    assert mask[200:500, 500:800][np.asarray(hidden) > 128].all() and mask.mean() < 0.1


def test_what_was_painted_into_an_erased_area_stays_and_what_was_left_there_does_not(photo, request):
    """A sampler paints from noise, into the hole alone or everything; what it left of the hidden blocks is emptied."""
    other = Image.open(request.config.rootpath / "assets" / "synthetic_group.jpg").convert("RGB").resize((SIDE, SIDE))
    original, other = (to_tensor(one) for one in (photo[0], other))
    where = torch.from_numpy(np.asarray(photo[1]) > 0)[..., None]
    inpainted = torch.where(where, other, original)
    noisy = (inpainted + 0.01 * torch.randn(inpainted.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for image in (noisy, other):
        assert torch.equal(saved(page_of(*photo), image, repainted=True), image)
    (mask,) = Photos([[page_of(*photo)]], 1).hidden_in(0, noisy)  # where no sampler did it, the file says what it is
    assert mask.any()
    corner = torch.zeros_like(where)
    corner[60:110, 20:70] = True
    for left in (0.75 * inpainted + 0.25 * original, torch.where(corner, original, inpainted)):
        result = saved(page_of(*photo), left, repainted=True)
        assert (result[corner[..., 0]] == 1).all()
    with pytest.raises(ValueError, match="nobody knows"):
        saved(page_of(*photo), torch.where(where, original, other).flip(1), repainted=True)
