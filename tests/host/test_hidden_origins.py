"""What a file hides under its alpha does not come out of the nodes that save, whatever nodes stand between; and nothing
else is lost. The graphs are run node by node, as ComfyUI does."""

from fractions import Fraction
from pathlib import Path

import av
import folder_paths
import numpy as np
import planted_photos as planted
import pytest
import torch
from PIL import Image, ImageCms
from saved_graphs import cover, load, node, nodes_of_the_core, save, value

from face_anonymizer.modules.host.origins import ComfyHost
from face_anonymizer.modules.output.provenance import source_image, source_images
from face_anonymizer.nodes import output as saving

ROOT = Path(__file__).resolve().parents[2]
SIDE = 256
HOLE = (24, 128, 112, 216)  # x0 y0 x1 y1 of what is hidden: the original of a badge, as blocks
BY_CHANCE = 0.4  # correlation with 8x8 blocks, the best of eight directions
RED = np.array((255, 0, 255))


FILMS = {"film.mov": ("prores_ks", "yuva444p10le"), "png.mov": ("png", "rgba"), "film.webm": ("libvpx-vp9", "yuva420p")}


@pytest.fixture(scope="module", autouse=True)
def _nodes_of_the_core():
    with nodes_of_the_core():
        yield


@pytest.fixture(scope="module")
def files():
    """What lies in the input folder: a photo that hides a badge, a cut-out portrait, a background, a film."""
    folder = Path(folder_paths.get_input_directory())
    photo = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").resize((SIDE, SIDE))
    badge = planted.original().resize((HOLE[2] - HOLE[0] - 8, HOLE[3] - HOLE[1] - 8), Image.Resampling.NEAREST)
    photo.paste(badge, (HOLE[0] + 4, HOLE[1] + 4))
    alpha = Image.new("L", photo.size, 255)
    alpha.paste(0, HOLE)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    hiding = photo.copy()
    hiding.putalpha(alpha)
    hiding.save(folder / "hiding.png", icc_profile=profile)
    portrait = Image.open(ROOT / "assets" / "synthetic_portrait.jpg").convert("RGB").resize((SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    oval = ((x - 128) / 95) ** 2 + ((y - 128) / 120) ** 2 < 1
    colours = np.asarray(portrait).copy()
    colours[(x < 60) & ~oval] = RED  # what is hidden is told by its colour
    Image.fromarray(np.dstack([colours, np.where(oval, 255, 0).astype("u1")])).save(folder / "cutout.png")
    group = Image.open(ROOT / "assets" / "synthetic_group.jpg").convert("RGB").resize((SIDE, SIDE))
    group.save(folder / "behind.png")
    (folder / "set").mkdir(exist_ok=True)
    hiding.save(folder / "set" / "one.png")
    for name, (codec, pixels) in FILMS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, pixels
            for i in range(2):
                frame = av.VideoFrame.from_ndarray(np.array(hiding), format="rgba").reformat(format=pixels)
                frame.pts, frame.time_base = i, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return folder


def badge_is_seen(picture: np.ndarray) -> float:
    """How far the hidden blocks can be made out in a picture, in any of eight directions, 0..1."""
    shown = Image.fromarray(picture).convert("L")
    with Image.open(Path(folder_paths.get_input_directory()) / "hiding.png") as file:
        whole = file.convert("RGB").convert("L")
    inner = (HOLE[0] + 4, HOLE[1] + 4, HOLE[2] - 4, HOLE[3] - 4)
    wanted = np.asarray(whole.crop(inner), float).ravel()
    best = 0.0
    for mirrored in (shown, shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        for turns in range(4):
            seen = mirrored.rotate(90 * turns, expand=True).resize(whole.size)
            part = np.asarray(seen.crop(inner), float).ravel()
            if part.std() > 0.5:  # levels
                best = max(best, abs(float(np.corrcoef(part, wanted)[0, 1])))
    return best


RESIZE = {"resize_type": "scale by multiplier", "scale_method": "area"}
LEAKS = {
    "resized by the node for both": {
        "1": load("hiding.png"),
        "2": node("ResizeImageMaskNode", input=["1", 0], resize_type__multiplier=0.75, **RESIZE),
        "3": cover(["2", 0]),
    },
    "switched": {
        "1": load("hiding.png"),
        "2": node("ComfySwitchNode", switch=True, on_false=["1", 0], on_true=["1", 0]),
        "3": cover(["2", 0]),
    },
    "of a batch by names": {
        "1": load("hiding.png"),
        "2": cover(["1", 0]),
        "3": node("BatchImagesMasksLatentsNode", inputs__input0=["2", 0], inputs__input1=["2", 0]),
    },
    "of a folder": {"1": node("LoadImageDataSetFromFolder", folder="set"), "3": cover(["1", 0])},
    "one colour of it, as a mask": {
        "1": node("LoadImageMask", image="hiding.png", channel="red"),
        "3": node("MaskToImage", mask=["1", 0]),
    },
    "a mask of its picture": {
        "1": load("hiding.png"),
        "2": node("ImageToMask", image=["1", 0], channel="green"),
        "3": node("MaskToImage", mask=["2", 0]),
    },
    "named by a primitive": {
        "1": node("PrimitiveString", value="hiding.png"),
        "2": node("LoadImage", image=["1", 0]),
        "3": cover(["2", 0]),
    },
    "of a film": {
        "1": node("LoadVideo", file="film.mov"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": cover(["2", 0]),
    },
    "blended": {
        "1": load("hiding.png"),
        "2": load("behind.png"),
        "3": node("ImageBlend", image1=["1", 0], image2=["2", 0], blend_factor=0.6, blend_mode="normal"),
    },
    "faintly": {
        "1": load("hiding.png"),
        "2": node("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=0x808080),
        "3": node("ImageBlend", image1=["2", 0], image2=["1", 0], blend_factor=0.015, blend_mode="normal"),
    },
    "in a few colours": {
        "1": load("hiding.png"),
        "2": node("ImageFlip", image=["1", 0], flip_method="y-axis: horizontally"),
        "3": node("ImageQuantize", image=["2", 0], colors=16, dither="none"),
    },
    "by a pack's own wire": {"1": load("hiding.png"), "2": node("SomebodysPipe", pipe=["1", 0]), "3": cover(["2", 0])},
}


@pytest.mark.parametrize("name", LEAKS)
def test_what_is_hidden_is_not_seen_whatever_node_stands_between(files, name):
    prompt, last = LEAKS[name], ["3", 0]
    given = None
    if name == "by a pack's own wire":
        given = value(prompt | {"2": load("hiding.png")}, last)
    paths, images = save(prompt, last, given=given)
    for path, image in zip(paths, images, strict=True):
        before = (image[..., :3] * 255).round().to(torch.uint8).numpy()
        after = np.asarray(Image.open(path).convert("RGB"))
        assert badge_is_seen(before) > 0.5 and badge_is_seen(after) < BY_CHANCE
        assert (before != after).any(-1).mean() < 0.25


@pytest.mark.parametrize("name", FILMS)
def test_frames_of_a_film_that_become_a_film_again_show_nothing_of_it(files, name):
    loaded = {"1": node("LoadVideo", file=name)}
    prompt = LEAKS["of a film"] | loaded | {"4": node("CreateVideo", images=["3", 0], fps=10.0)}
    made = value(prompt, ["4", 0])
    assert badge_is_seen((made.get_components().images[0] * 255).byte().numpy()) > 0.5
    sliced = {"2": node("Video Slice", video=["1", 0], start_time=0.0, duration=0.1, strict_duration=False)}
    # and saved as it was loaded, where its own file says what is hidden
    for graph, last, count in ((prompt, "4", 2), (loaded, "1", 2), (loaded | sliced, "2", 1)):
        paths, _ = save(graph, [last, 0], saving.FaceAnonSaveVideo)
        with av.open(str(paths[0])) as film:
            frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert len(frames) == count and all(badge_is_seen(frame) < BY_CHANCE for frame in frames)
        assert frames[0][:100].std() > 20


def over(top, mask):
    return node("ImageCompositeMasked", destination=["2", 0], source=top, x=0, y=0, resize_source=False, mask=mask)


KEPT = {
    "over a background by its own mask": (
        {
            "1": load("cutout.png"),
            "2": load("behind.png"),
            "4": node("InvertMask", mask=["1", 1]),
            "5": over(["1", 0], ["4", 0]),
            "3": cover(["5", 0]),
        },
        0.02,
    ),
    "mirrored": ({"1": load("cutout.png"), "2": cover(["1", 0]),
                  "3": node("ImageFlip", image=["2", 0], flip_method="y-axis: horizontally")}, 0.5),
    "scaled to other proportions": ({"1": load("cutout.png"),
        "2": node("ImageScale", image=["1", 0], upscale_method="lanczos", width=320, height=200, crop="center"),
        "3": cover(["2", 0])}, 0.5),
    "turned": ({"1": load("cutout.png"), "2": node("ImageRotate", image=["1", 0], rotation="90 degrees"),
                "3": cover(["2", 0])}, 0.5),
    "its middle": ({"1": load("cutout.png"), "2": cover(["1", 0]),
                    "3": node("ImageCrop", image=["2", 0], width=120, height=140, x=68, y=60)}, 0.0),
    "stitched": ({"1": load("behind.png"), "2": load("cutout.png"),
        "4": node("ImageStitch", image1=["1", 0], image2=["2", 0], direction="right", match_image_size=True,
                  spacing_width=0, spacing_color="white"), "3": cover(["4", 0])}, 0.3),
    "small, without its mask": ({"1": load("behind.png"), "2": load("cutout.png"),
        "4": node("ImageScale", image=["2", 0], upscale_method="area", width=96, height=96, crop="disabled"),
        "3": node("ImageCompositeMasked", destination=["1", 0], source=["4", 0], x=140, y=150, resize_source=False)},
        0.1),
    "whose face is put on another": ({"1": load("behind.png"), "2": load("cutout.png"),
                                      "3": cover(["1", 0], source=["2", 0])}, 0.0),
    "before and after": ({"1": load("cutout.png"), "2": cover(["1", 0]),
        "3": node("FaceAnonBeforeAfter", before=["1", 0], after=["2", 0])}, 0.5),
    "in fewer colours": ({"1": load("cutout.png"), "2": cover(["1", 0]),
        "3": node("ImageQuantize", image=["2", 0], colors=32, dither="none")}, 0.55),
    "its edges": ({"1": load("cutout.png"), "2": cover(["1", 0]),
        "3": node("Canny", image=["2", 0], low_threshold=0.1, high_threshold=0.3)}, 0.55),
    "half the size, with noise": ({"1": load("cutout.png"), "2": cover(["1", 0]),
        "4": node("ImageScaleBy", image=["2", 0], upscale_method="area", scale_by=0.5),
        "5": node("ImageAddNoise", image=["4", 0], seed=1, strength=0.05),
        "3": node("ImageFlip", image=["5", 0], flip_method="x-axis: vertically")}, 0.6),
    "on white by its own mask, with noise": ({"1": load("cutout.png"),
        "2": node("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=0xFFFFFF),
        "4": node("InvertMask", mask=["1", 1]), "5": over(["1", 0], ["4", 0]), "6": cover(["5", 0]),
        "3": node("ImageAddNoise", image=["6", 0], seed=1, strength=0.05)}, 0.0),
    "by the branch that is not taken": ({"1": load("behind.png"), "2": load("cutout.png"),
        "3": node("ComfySwitchNode", switch=False, on_false=["1", 0], on_true=["2", 0])}, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_a_cut_out_is_saved_and_nothing_else_is_lost(files, name):
    prompt, most = KEPT[name]
    (path,), images = save(prompt, ["3", 0])
    before = (images[0, ..., :3] * 255).round().to(torch.uint8).numpy()
    after = np.asarray(Image.open(path).convert("RGB"))
    told = (np.abs(after.astype(int) - RED) < 40).all(-1)
    assert not told.any(), "what was hidden is seen"
    assert (before != after).any(-1).mean() <= most
    assert most == 0 or name.startswith("over") or (before != after).any()


def on_white():
    prompt = {"1": load("cutout.png"), "4": node("InvertMask", mask=["1", 1]), "5": over(["1", 0], ["4", 0])}
    return prompt | {"2": node("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=0xFFFFFF)}


def test_a_node_that_nobody_knows_loses_nothing_behind_a_picture_without_hidden_parts(files):
    prompt = on_white() | {"6": cover(["5", 0]), "3": node("SomebodysFilter", image=["6", 0], strength=0.4)}
    given = torch.rand(1, 100, 70, 3)
    (path,), _ = save(prompt, ["3", 0], given=given)
    assert np.array_equal(np.asarray(Image.open(path)), (given[0] * 255).round().byte().numpy())
    with pytest.raises(ValueError, match="nobody knows where these parts are"):  # ... nor hides it one that has some
        save(prompt | {"6": cover(["1", 0])}, ["3", 0], given=given)


def test_an_enlarged_cut_out_is_empty_where_it_was(files):
    enlarged = {
        "4": node("UpscaleModelLoader", model_name="x4.pth"),
        "3": node("ImageUpscaleWithModel", upscale_model=["4", 0], image=["2", 0]),
    }
    prompt = {"1": load("cutout.png"), "2": cover(["1", 0])} | enlarged
    covered = value(prompt, ["2", 0])
    given = torch.nn.functional.interpolate(covered.movedim(-1, 1), scale_factor=4).movedim(1, -1)
    (path,), _ = save(prompt, ["3", 0], given=given)
    after = np.asarray(Image.open(path).convert("RGB"))
    assert not (np.abs(after.astype(int) - RED) < 40).all(-1).any() and (after == 255).all(-1).mean() < 0.55


@pytest.mark.parametrize(("denoise", "is_kept"), [(1.0, True), (0.3, False)])
def test_what_is_painted_into_an_erased_area_is_saved_and_the_run_tells_what_is_not(files, caplog, denoise, is_kept):
    prompt = {
        "1": load("hiding.png"),
        "2": node("VAEEncodeForInpaint", pixels=["1", 0], mask=["1", 1], vae=["4", 0], grow_mask_by=6),
        "4": node("VAELoader", vae_name="vae.safetensors"),
        "5": node("KSampler", latent_image=["2", 0], denoise=denoise, steps=20, seed=1),
        "3": node("VAEDecode", samples=["5", 0], vae=["4", 0]),
    }
    given = value({"1": load("hiding.png")}, ["1", 0]).clone()
    behind = value({"1": load("behind.png")}, ["1", 0])
    hole = np.s_[:, HOLE[1] : HOLE[3], HOLE[0] : HOLE[2]]
    given[hole] = behind[hole]
    with caplog.at_level("INFO", "face_anonymizer"):
        (path,), _ = save(prompt, ["3", 0], given=given)
    after = np.asarray(Image.open(path).convert("RGB"))
    assert np.array_equal(after, (given[0] * 255).round().byte().numpy()) is is_kept
    assert ("of the picture is saved white" in caplog.text) is not is_kept


def test_each_tile_hides_its_own(files):
    from comfy_execution.utils import CurrentNodeContext

    split = node("SplitImageToTileList", image=["2", 0], tile_width=128, tile_height=128, overlap=0)
    prompt = {"1": load("cutout.png"), "2": cover(["1", 0]), "3": split}
    covered = value(prompt, ["2", 0])
    for i in range(4):
        tile = covered[:, i // 2 * 128 :, i % 2 * 128 :][:, :128, :128]
        with CurrentNodeContext("run", "9", i):
            (path,), _ = save(prompt, ["3", 0], given=tile)
        after, y, x = np.asarray(Image.open(path).convert("RGB")), *np.mgrid[:128, :128]
        oval = ((x + i % 2 * 128 - 128) / 95) ** 2 + ((y + i // 2 * 128 - 128) / 120) ** 2 < 1
        assert (after[~oval] == 255).all()
        assert np.array_equal(after[oval], (tile[0].numpy() * 255).round().astype("u1")[oval])


def test_pictures_that_cannot_be_looked_into_are_refused_and_made_ones_are_not(files):
    image = torch.rand(1, 32, 48, 3)
    with pytest.raises(ValueError, match=r"come from LoadImage, which reads what .* cannot look into"):
        save({"3": load("gone.png")}, ["3", 0], given=image)
    (files / "broken.png").write_bytes((files / "hiding.png").read_bytes()[:20])
    with pytest.raises(ValueError, match=r"broken.png cannot be read"):
        save({"3": load("broken.png")}, ["3", 0], given=image)
    save({"3": node("EmptyImage", width=48, height=32, batch_size=1, color=255)}, ["3", 0])
    save({"1": node("EmptyLatentImage"), "3": node("VAEDecode", samples=["1", 0])}, ["3", 0], given=image)


class Foreign:
    """A node of another pack without pictures before it."""

    RETURN_TYPES = ("IMAGE", "MASK")


@pytest.mark.parametrize(
    ("kind", "inputs", "is_unseen"),
    [
        ("FetchedPicture", {"url": "https://example.org/a.png?size=1"}, True),
        ("FetchedPicture", {"url": "https://example.org/a.jpg?size=1"}, False),
        ("PictureOfLetters", {"text": "iVBORw0KGgo" * 300}, True),
        ("LoadFromSomewhere", {"key": "17"}, True),
        ("PaintedByWords", {"prompt": "a cat. " * 400, "size": "1024x1024", "model": "x.safetensors"}, False),
        ("OpenAIThreadPainter", {"prompt": "a cat"}, False),
        ("Gradient", {"color": "#ff0000", "width": 64}, False),
    ],
)
def test_nodes_of_other_packs_that_read_are_told_from_those_that_make(host_nodes, monkeypatch, kind, inputs, is_unseen):
    monkeypatch.setitem(host_nodes.NODE_CLASS_MAPPINGS, kind, Foreign)
    prompt = {"3": node(kind, **inputs), "9": node("FaceAnonSaveImage", images=["3", 0])}
    assert (source_images(prompt, "9", "images", ComfyHost()).unseen == kind) is is_unseen


@pytest.mark.parametrize("name", ["resized by the node for both", "switched"])
def test_the_colours_of_a_photo_come_along(files, name):
    (path,), _ = save(LEAKS[name], ["3", 0])
    assert Image.open(path).info.get("icc_profile")


def test_of_two_photos_nobody_says_whose_colours(files):
    prompt = LEAKS["blended"] | {"9": node("S", images=["3", 0])}
    assert source_image(prompt, "9", "images", ComfyHost()) is None
