"""What a file hides is known by what it is, not by its name, and is emptied where Load Image of this host shows it."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from saved_graphs import load, node, nodes_of_the_core, save, value

from face_anonymizer.modules.host.loading import read_hidden

HEIGHT, WIDTH = 48, 64
HOLE = np.s_[28:44, 4:28]
MODES = ("RGBA", "LA", "PA", "P", "RGB")
NOT_WRITTEN = ("PDF",)  # no picture
OPTIONS = {"WEBP": {"lossless": True, "exact": True}, "ICO": {"sizes": [(WIDTH, HEIGHT)]}, "AVIF": {"quality": 95}}


@pytest.fixture(scope="module", autouse=True)
def _nodes_of_the_core():
    with nodes_of_the_core():
        yield


@pytest.fixture(scope="module")
def folder():
    return Path(folder_paths.get_input_directory())


def hiding() -> np.ndarray:
    """A dark picture, and light blocks in what it hides."""
    some = np.random.default_rng(0).integers(40, 110, (HEIGHT // 4, WIDTH // 4), "u1")
    colours = np.repeat(some.repeat(4, 0).repeat(4, 1)[..., None], 3, -1)
    colours[HOLE] = np.where((np.indices((16, 24)).sum(0) // 4 % 2)[..., None] > 0, (250, 250, 60), (215, 215, 20))
    alpha = np.full((HEIGHT, WIDTH), 255, "u1")
    alpha[HOLE] = 0
    return np.dstack([colours, alpha])


def is_told(picture: np.ndarray) -> np.ndarray:
    """Where a picture shows what was hidden."""
    return (picture[..., 0] > 160) & ~(picture == 255).all(-1)


def check(name, refused=""):
    """What was hidden in a file is white in what is saved, and nothing else; or the file is refused by its name."""
    prompt = {"1": load(name)}
    before = (value(prompt, ["1", 0])[..., :3] * 255).round().byte().numpy()[0]
    assert is_told(before).mean() > 0.05, "the test shows nothing"
    if refused:
        with pytest.raises(ValueError, match=f"{name} cannot be read .*{refused}.*Save it without transparency first"):
            save(prompt, ["1", 0])
        return
    (path, *_), _ = save(prompt, ["1", 0])
    after = np.asarray(Image.open(path).convert("RGB"))
    assert not is_told(after).any() and (after != before).any(-1).mean() < 0.2


def written(image: Image.Image, format: str, mode: str) -> bytes | None:
    """A file of a format; None where it cannot hold such pictures."""
    try:
        made = image.quantize(16) if mode == "P" else image if mode == "RGBA" else image.convert(mode)
        made.save(file := io.BytesIO(), format, **OPTIONS.get(format, {}))
    except (OSError, ValueError, KeyError):
        return None
    return file.getvalue()


def test_every_kind_that_pillow_writes_under_every_name_that_it_reads(folder):
    """Formats that come with a later Pillow are found here."""
    picture = Image.fromarray(hiding())
    Image.init()
    seen, opaque = set(), set()
    for suffix, format in sorted(Image.registered_extensions().items()):
        if not {format} <= Image.SAVE.keys() & Image.OPEN.keys() or format in NOT_WRITTEN:
            continue
        mode, data = next(((m, d) for m in MODES if (d := written(picture, format, m)) is not None), ("", b""))
        if not data:
            continue
        path = folder / f"kind{suffix}"
        path.write_bytes(data)
        try:
            images = value({"1": load(path.name)}, ["1", 0])
        except Exception:  # ComfyUI does not load it, but a node of another pack may
            images = None
        with Image.open(path) as image:
            can_hide = mode in MODES[:4] and ("transparency" in image.info or image.mode in ("RGBA", "LA", "PA"))
        if can_hide and images is not None:
            check(path.name)
        elif can_hide:
            assert any(page.hidden.any() for page in read_hidden(path)), suffix
        elif images is not None:
            save({"1": load(path.name)}, ["1", 0])  # and is not refused
        (seen if can_hide else opaque).add(format)
    assert {"PNG", "WEBP", "GIF", "TIFF", "TGA", "SGI", "DDS", "ICO", "JPEG2000"} <= seen and "JPEG" in opaque


def by_ffmpeg(path: Path, codec: str, pixels: str, container: str | None = "image2") -> None:
    with av.open(str(path), "w", format=container) as made:
        stream = made.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        frame = av.VideoFrame.from_ndarray(hiding(), format="rgba").reformat(format=pixels)
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("kind.dpx", "dpx", "rgba"),
        ("kind.xwd", "xwd", "rgba"),
        ("kind.exr", "exr", "gbrapf32le"),
        ("kind.vbn", "vbn", "rgba"),
        ("kind.pam", "pam", "rgba"),
        ("sgi_named.rgb", "sgi", "rgba"),
        ("without_suffix", "png", "rgba"),
    ],
)
def test_kinds_that_pillow_does_not_read_or_that_have_another_name(folder, name, codec, pixels):
    by_ffmpeg(folder / name, codec, pixels)
    check(name)


def psd(channels: int) -> bytes:
    planes = [*hiding().transpose(2, 0, 1), np.zeros((HEIGHT, WIDTH), "u1")][:channels]
    head = struct.pack(">H6xHIIHH", 1, channels, HEIGHT, WIDTH, 8, 3) + bytes(12)
    return b"8BPS" + head + struct.pack(">H", 0) + b"".join(plane.tobytes() for plane in planes)


def test_a_fourth_channel_is_alpha_and_a_fifth_is_refused(folder):
    (folder / "four.psd").write_bytes(psd(4))
    check("four.psd")
    (folder / "five.psd").write_bytes(psd(5))
    check("five.psd", "PSD of 5 channels")
    Image.fromarray(hiding()).save(folder / "four.bmp")
    check("four.bmp")


def test_a_heic_photo_is_refused_only_where_it_has_alpha_that_nobody_can_look_into(folder):
    """As FFmpeg gives them: without alpha. Made of a film by another brand, as nothing here writes HEIC."""
    by_ffmpeg(folder / "film.mp4", "mpeg4", "yuv420p", "mp4")
    data = bytearray((folder / "film.mp4").read_bytes())
    data[8:12] = b"heic"
    (folder / "opaque.heic").write_bytes(data)
    save({"1": load("opaque.heic")}, ["1", 0])
    urn = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
    (folder / "hiding.heic").write_bytes(data + struct.pack(">I4s", 8 + len(urn), b"free") + urn)
    check("hiding.heic", "pip install pillow-heif")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_what_is_hidden_is_where_this_comfyui_turns_it_to(folder, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    for format in ("PNG", "WEBP", "TIFF"):
        name = f"turned{orientation}.{format.lower()}"
        Image.fromarray(hiding()).save(folder / name, format, exif=exif, **OPTIONS.get(format, {}))
        check(name)


def test_another_turn_than_the_format_says_is_found_by_the_picture(folder):
    """As of AVIF, whose alpha Pillow alone knows, and whose turns and mirrors hosts take or leave."""
    for way in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90):
        exif = Image.Exif()
        exif[0x112] = {Image.Transpose.FLIP_LEFT_RIGHT: 2, Image.Transpose.ROTATE_90: 8}[way]
        Image.fromarray(hiding()).save(folder / "turned.avif", exif=exif, quality=95)
        check("turned.avif")


def test_a_latent_of_a_file_is_refused_and_an_empty_one_is_not(folder):
    save_file({"latent_tensor": torch.zeros(1, 4, 6, 8)}, folder / "kept.latent")
    image = torch.rand(1, HEIGHT, WIDTH, 3)
    decoded = {"3": node("VAEDecode", samples=["1", 0])}
    for name, message in (("kept.latent", "kept.latent cannot be read"), ("gone.latent", "come from LoadLatent")):
        with pytest.raises(ValueError, match=f"{message}.*Save it without transparency first"):
            save(decoded | {"1": node("LoadLatent", latent=name)}, ["3", 0], given=image)
    save(decoded | {"1": node("EmptyLatentImage", width=64, height=48)}, ["3", 0], given=image)


def test_a_mask_beside_the_picture_does_not_show_what_it_hides(folder):
    (folder / "beside.png").write_bytes(written(Image.fromarray(hiding()), "PNG", "RGBA") or b"")
    mask = {"2": node("LoadImageMask", image="beside.png", channel="alpha")}
    prompt = {"1": load("beside.png"), **mask, "3": node("MaskToImage", mask=["2", 0])}
    (path,), _ = save(prompt, ["1", 0])
    assert not is_told(np.asarray(Image.open(path).convert("RGB"))).any()
    # where it is laid under the mask, nothing else is lost
    laid = {
        "4": node("EmptyImage", width=WIDTH, height=HEIGHT, batch_size=1, color=0x404040),
        "5": node("InvertMask", mask=["2", 0]),
        "6": node(
            "ImageCompositeMasked",
            **{"destination": ["4", 0], "source": ["1", 0], "mask": ["5", 0], "x": 0, "y": 0, "resize_source": False},
        ),
    }
    (path,), images = save(prompt | laid, ["6", 0])
    assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), (images[0] * 255).round().byte().numpy())
