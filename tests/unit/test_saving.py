"""Files written whole or not at all; pictures that carry their pixels, a colour profile and a mark, nothing else."""

import errno
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from face_anonymizer.modules import files
from face_anonymizer.modules.output import formats, icc, provenance, xmp
from face_anonymizer.modules.output import pictures as saving

XMP_OF = {"png": "XML:com.adobe.xmp", "jpeg": "xmp", "webp": "xmp"}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CMYK = SRGB[:16] + b"CMYK" + SRGB[20:]
GRAY = icc.Profile(icc.GRAY, (icc.gamma_curve(1.8),)).encoded()


def levels(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).float() / 255


def saved(tmp_path, image, format, **options):
    path = tmp_path / f"a{formats.EXTENSIONS[format]}"
    saving.save_image(image, path, format, **options)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    return path


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def chunks(path):
    """Names of the parts of a picture file, in their order."""
    data = path.read_bytes()
    names = []
    if path.suffix == ".png":
        place = 8
        while place < len(data):
            (size,) = struct.unpack(">I", data[place : place + 4])
            names.append(data[place + 4 : place + 8].decode())
            place += 12 + size
    elif path.suffix == ".webp":
        place = 12
        while place < len(data):
            (size,) = struct.unpack("<I", data[place + 4 : place + 8])
            names.append(data[place : place + 4].decode())
            place += 8 + size + size % 2
    else:
        place = 2
        while data[place + 1] != 0xDA:
            names.append(f"{data[place + 1]:02X}")
            place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    return names


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("format", ["png", "webp"])
def test_lossless_formats_keep_every_level_and_alpha(tmp_path, format, channels):
    image = levels(37, 53, channels)
    got = pixels(saved(tmp_path, image, format, quality=100))
    want = (image * 255).round().to(torch.uint8).numpy()
    if channels == 1:
        want = want[..., 0] if format == "png" else np.repeat(want, 3, axis=-1)
    if channels == 4:
        want[want[..., 3] == 0] = 0  # what is hidden there is not written
    assert np.array_equal(got, want)


def test_jpeg_and_lossy_webp_follow_their_quality(tmp_path):
    y, x = np.mgrid[:64, :64]
    image = torch.from_numpy(np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1) / 2 + 0.5).float()
    for format in ("jpeg", "webp"):
        sizes, errors = [], []
        for quality in (20, 95):
            path = tmp_path / f"{quality}{formats.EXTENSIONS[format]}"
            saving.save_image(image, path, format, quality)
            sizes.append(path.stat().st_size)
            errors.append(np.abs(pixels(path) / 255 - image.numpy()).mean())
        assert sizes[0] < sizes[1] and errors[0] > errors[1] and errors[1] < 0.012


def test_a_jpeg_shows_transparent_parts_on_white(tmp_path):
    image = torch.zeros(32, 64, 4)
    image[:, 32:, 3] = 1
    got = pixels(saved(tmp_path, image, "jpeg"))
    assert got.shape == (32, 64, 3) and got[:, :24].min() > 250 and got[:, 40:].max() < 5


def test_values_outside_are_cut_off(tmp_path):
    got = pixels(saved(tmp_path, torch.tensor([[[-0.5, 0.5, 7.0]]]), "png"))
    assert got.tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("format", "plain", "full"),
    [
        ("png", {"IHDR", "IDAT", "IEND"}, {"IHDR", "iCCP", "iTXt", "IDAT", "IEND"}),
        ("jpeg", {"E0", "DB", "C0", "C4"}, {"E0", "E1", "E2", "DB", "C0", "C4"}),
        ("webp", {"VP8 "}, {"VP8X", "ICCP", "VP8 ", "XMP "}),
    ],
)
def test_the_file_has_no_other_parts(tmp_path, format, plain, full):
    assert set(chunks(saved(tmp_path, levels(20, 30, 3), format))) == plain
    (tmp_path / f"a{formats.EXTENSIONS[format]}").unlink()
    path = saved(tmp_path, levels(20, 30, 3), format, icc_profile=SRGB, mark=True)
    assert set(chunks(path)) == full
    with Image.open(path) as picture:
        assert picture.info["icc_profile"] == icc.clean_profile(SRGB, 3) and not picture.getexif()
        assert set(picture.info) <= {
            "icc_profile",
            XMP_OF[format],
            "xmp",
            "jfif",
            "jfif_version",
            "jfif_unit",
            *[
                "jfif_density",
                "dpi",
                "loop",
                "background",
                "timestamp",
                "duration",
            ],
        }


@pytest.mark.parametrize("format", formats.FORMATS)
def test_the_mark_says_that_a_model_made_a_part(tmp_path, format):
    path = saved(tmp_path, levels(20, 30, 3), format, mark=True)
    with Image.open(path) as picture:
        packet = picture.info[XMP_OF[format]]
    packet = packet.decode() if isinstance(packet, bytes) else packet
    assert packet.encode() == xmp.xmp_packet()
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    assert f"<Iptc4xmpExt:DigitalSourceType>{source}</" in packet
    assert "<xmp:CreatorTool>Face Anonymizer for ComfyUI</" in packet
    assert re.findall(r'xmlns:Iptc4xmpExt="(.*?)"', packet) == ["http://iptc.org/std/Iptc4xmpExt/2008-02-29/"]
    assert path.read_bytes().count(xmp.xmp_packet()) == 1


def test_a_profile_of_other_channels_is_left_out(tmp_path):
    gray = SRGB[:16] + b"GRAY" + SRGB[20:]
    for name, profile, channels, kept in (
        ("rgb", SRGB, 3, True),
        ("rgba", SRGB, 4, True),
        ("cmyk", CMYK, 3, False),
        ("gray", GRAY, 1, True),
        ("gray_as_rgb", GRAY, 3, True),  # R = G = B by the one curve
        ("rgb_as_gray", SRGB, 1, True),  # its three curves are one
        ("broken", gray, 1, False),
    ):
        path = tmp_path / f"{name}.png"
        saving.save_image(levels(5, 5, channels), path, icc_profile=profile)
        assert (b"iCCP" in path.read_bytes()) is kept, name


def test_pictures_that_cannot_be_saved(tmp_path):
    for image, format, words in (
        (levels(4, 4, 3), "gif", "png, jpeg, webp, not as gif"),
        (levels(1, 4, 4, 3), "png", r"\[1, 4, 4, 3\]"),
        (levels(4, 4, 2), "png", "3 or 4 channels"),
        (torch.zeros(1, 16384, 3), "webp", "16384x1 pixels, but webp holds at most 16383.*png"),
        (torch.zeros(65501, 1, 3), "jpeg", "1x65501 pixels, but jpeg holds at most 65500.*png"),
    ):
        with pytest.raises(ValueError, match=words):
            saving.save_image(image, tmp_path / "a", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "side"), [("webp", 16383), ("jpeg", 65500)])
def test_the_largest_sides_can_be_saved(tmp_path, format, side):
    assert pixels(saved(tmp_path, torch.zeros(1, side, 3), format)).shape == (1, side, 3)


def test_an_existing_file_is_never_replaced(tmp_path):
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"a\.png is in .* already and is not replaced"):
        saving.save_image(levels(4, 4, 3), tmp_path / "a.png")

    def appears_meanwhile():
        with files.written_whole(tmp_path / "b.txt") as part:
            part.write_text("ours")
            (tmp_path / "b.txt").write_text("theirs")

    with pytest.raises(FileExistsError):
        appears_meanwhile()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.png": "mine", "b.txt": "theirs"}


def test_without_hard_links_a_file_still_appears_whole(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    files.write_whole(tmp_path / "a.txt", b"whole")
    with pytest.raises(FileExistsError):
        files.write_whole(tmp_path / "a.txt", b"other")
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(PermissionError):
        files.write_whole(tmp_path / "b.txt", b"whole")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "whole"}


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (errno.ENOSPC, OSError, r"No space for a\.png in .*; nothing was left there\. Free some space or"),
        (errno.EROFS, OSError, r"a\.png cannot be written into .*: it is read-only\. Allow writing"),
        (errno.EACCES, PermissionError, r"a\.png cannot be written into .*: it is read-only\. Allow writing"),
    ],
)
def test_a_folder_that_takes_nothing(tmp_path, monkeypatch, code, error, words):
    step = "write_bytes" if code == errno.ENOSPC else "open"

    def refused(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path if step == "write_bytes" else os, step, refused)
    with pytest.raises(error, match=words) as raised:
        saving.save_image(levels(4, 4, 3), tmp_path / "a.png")
    monkeypatch.undo()
    assert raised.value.errno == code and str(tmp_path) in str(raised.value) and not list(tmp_path.iterdir())


def test_a_full_device_leaves_nothing(tmp_path):
    """/dev/full takes no byte: what the disk says when it is full."""
    with pytest.raises(OSError, match="No space for a") as raised, files.written_whole(tmp_path / "a") as part:
        part.unlink()
        part.symlink_to("/dev/full")
        part.write_bytes(b"x" * 100)
    assert raised.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())


def test_a_missing_folder_and_errors_of_others(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .*none does not exist\. Make it"):
        files.write_whole(tmp_path / "none" / "a", b"")
    with pytest.raises(PermissionError, match=r"^not ours$"), files.written_whole(tmp_path / "a"):
        raise PermissionError("not ours")
    with pytest.raises(KeyboardInterrupt), files.written_whole(tmp_path / "a") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_files_are_as_open_as_others(tmp_path):
    files.write_whole(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_the_walk_to_the_source():
    def node(**inputs):
        return {"inputs": inputs}

    prompt = {
        "1": node(image="photo.png"),
        "2": node(image="mask.png"),
        "3": node(pixels=["1", 0], vae=["9", 0]),
        "4": node(model=["9", 0], latent_image=["3", 0]),
        "5": node(samples=["4", 0], vae=["9", 0]),
        "6": node(crops=["2", 0], image=["1", 0], mask=["2", 1]),
        "7": node(images=["5", 0]),
        "8": node(image1=["1", 0], image2=["2", 0]),
        "9": node(model="name.safetensors"),
        "10": node(image=["11", 0]),
        "11": node(image=["10", 0]),
        "12": node(samples=["5", 0], image=["8", 0]),
    }

    def found(last):
        return provenance.source_image(prompt | {"0": node(images=last)}, "0")

    assert found(["6", 0]) == Path("photo.png")
    assert found(["7", 0]) == Path("photo.png")  # by VAE Decode, KSampler and VAE Encode
    assert found(["12", 0]) == Path("photo.png")  # the first way ends, the second does not
    assert found(["8", 0]) is None  # of two pictures, which profile?
    assert found(["10", 0]) is None  # a loop
    assert found(["99", 0]) is None and found("text") is None
    assert provenance.source_image(prompt, "77") is None


def test_a_mask_that_the_user_drew_hides_nothing():
    assert provenance.is_drawn(Path("input/clipspace/clipspace-painted-masked-1.png"))
    assert not provenance.is_drawn(Path("input/a.png"))


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("quality", [80, 100])
def test_what_lies_under_alpha_0_is_not_written(tmp_path, format, quality):
    image = levels(40, 60, 4)
    image[:20, :, 3] = 0.001  # rounded to 0
    image[20:, :, 3] = 1
    got = pixels(saved(tmp_path, image, format, quality=quality))
    assert (got[:20, :, 3] == 0).all() and (got[20:, :, 3] == 255).all()
    assert got[:16, :, :3].max() <= (0 if quality == 100 or format == "png" else 4)
    assert got[20:, :, :3].std() > 50


def test_a_folder_that_cannot_be_renamed_leaves_the_one_that_was_there(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    rename = Path.rename

    def refuse(self, target):
        if self.suffix == ".part":
            raise PermissionError("in use")  # as on Windows, where a file of it is open
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), files.replaced_folder(tmp_path / "model") as part:
        (part / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and (tmp_path / "model" / "old").is_file()
