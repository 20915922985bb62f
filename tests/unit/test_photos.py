"""Photos as the world has them, turned, deep, of several pages, in odd colours: what is seen, and what comes back."""

import io
import struct
import warnings
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from face_anonymizer.modules.output import icc, png
from face_anonymizer.modules.output.encoding import encode_picture
from face_anonymizer.modules.output.pictures import emptied
from face_anonymizer.modules.photos import alpha as transparency
from face_anonymizer.modules.photos.hidden import read_pages
from face_anonymizer.modules.photos.reading import UnreadablePhoto, read_photo, upright
from face_anonymizer.modules.video.priority import ordinary_priority

SIZE = (60, 40)


def hidden_pixels(file):
    """Of each picture of a file, where it hides anything."""
    pages = [page.hidden for page in read_pages(file)]
    return pages if any(page.any() for page in pages) else []


def picture(size=SIZE) -> np.ndarray:
    """uint8 [H, W, 3] of soft waves, which lossy formats keep, and which is like none of its own turns."""
    y, x = np.mgrid[: size[1], : size[0]]
    waves = (np.sin(x / 9 + y / 31), np.cos(y / 7), np.sin((x + 2 * y) / 23))
    return np.stack([128 + 110 * wave for wave in waves], -1).astype(np.uint8)


def saved(image: Image.Image | np.ndarray, format: str, **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, format, **options)
    return file.getvalue()


def deep_tiff(levels: np.ndarray, *tags: tuple[int, int]) -> bytes:
    """An uncompressed TIFF of levels [H, W, C] of uint8, uint16 or float32, with tags of one number each."""
    height, width, channels = levels.shape
    kind = {"u": 1, "i": 2, "f": 3}[levels.dtype.kind]
    entries = {256: width, 257: height, 258: None, 259: 1, 262: 2 if channels >= 3 else 1, 273: None, 277: channels}
    entries |= {278: height, 279: levels.nbytes, 339: kind, **({338: 2} if channels in (2, 4) else {})} | dict(tags)
    entries = dict(sorted(entries.items()))
    start = 8 + 2 + 12 * len(entries) + 4
    bits = struct.pack(f"<{channels}H", *[8 * levels.dtype.itemsize] * channels)
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, value in entries.items():
        if tag == 258:
            body += struct.pack("<HHI", tag, 3, channels) + (
                bits.ljust(4, b"\0") if channels < 3 else struct.pack("<I", start)
            )
        elif tag == 273:
            body += struct.pack("<HHII", tag, 4, 1, start + 8)
        else:
            body += struct.pack("<HHII", tag, 4 if value > 65535 else 3, 1, value)
    return body + bytes(4) + bits.ljust(8, b"\0") + levels.astype(levels.dtype.newbyteorder("<")).tobytes()


def png_with(data: bytes, *parts: tuple[bytes, bytes]) -> bytes:
    for name, content in reversed(parts):
        data = png.with_chunk(data, name, content)
    return data


def unchanged(photo) -> np.ndarray:
    return photo.finish(photo.seen)


# Upright ----------------------------------------------------------------------------------------------------------

TURNS = {  # orientation -> how a viewer's picture becomes the file's
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_every_format_is_looked_at_as_viewers_show_it(orientation):
    shown = Image.fromarray(picture())
    turn = TURNS[orientation]
    lying = shown if turn is None else shown.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format, options in (
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    ):
        photo = read_photo(saved(lying, format, exif=exif, **options))
        assert photo.seen.shape == (40, 60, 3), format
        assert np.abs(photo.seen.astype(int) - picture()).mean() < 2, format
    assert np.array_equal(upright(np.asarray(lying), orientation), picture())


@pytest.mark.parametrize("orientation", TURNS)
def test_deep_pictures_are_turned_too(orientation):
    deep = picture().astype(np.uint16) * 257 + 3
    turn = TURNS[orientation]

    def lying(levels: np.ndarray) -> np.ndarray:
        channels = [Image.fromarray(np.ascontiguousarray(levels[..., i])) for i in range(levels.shape[-1])]
        return np.stack([np.asarray(c if turn is None else c.transpose(turn)) for c in channels], -1)

    exif = Image.Exif()
    exif[0x0112] = orientation
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    for data, levels in (
        (png.deep_png(lying(deep), [(b"eXIf", block)]), deep),
        (png.deep_png(lying(deep[..., :1]), [(b"eXIf", block)]), deep[..., :1]),
        (deep_tiff(lying(deep), (274, orientation)), deep),
        (deep_tiff(lying(deep[..., :1]), (274, orientation)), deep[..., :1]),
    ):
        assert np.array_equal(unchanged(read_photo(data)), levels)


def test_what_says_nothing_of_a_turn_is_not_turned():
    exif = Image.Exif()
    exif[0x0112] = 9
    for data in (saved(picture(), "PNG", exif=exif), png_with(saved(picture(), "PNG"), (b"eXIf", b"II*\0 broken"))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.array_equal(read_photo(data).seen, picture())


# Depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_deep_gray_is_looked_at_stretched_and_kept(bits, format):
    levels = (picture()[..., 0].astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    photo = read_photo(saved(levels, format))
    assert np.abs(photo.seen.astype(int) - picture()[..., :1]).max() <= 1
    assert np.array_equal(unchanged(photo)[..., 0], levels) and photo.said("png") == ()
    assert "16 bits a channel became 8: save it as png" in photo.said("jpeg")[-1]


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param(picture()[..., 0].astype(np.int32) * 257, id="int32"),
        pytest.param(picture()[..., 0].astype(np.int32), id="int32 of bytes"),
        pytest.param(picture()[..., 0].astype(np.int32) * 70000, id="int32 beyond 16 bits"),
        pytest.param(picture()[..., 0].astype(np.int32) * 100 - 9000, id="int32 with a sign"),
        pytest.param(picture()[..., 0].astype(np.float32) / 255, id="float of 0..1"),
        pytest.param(picture()[..., 0].astype(np.float32), id="float of 0..255"),
        pytest.param(picture()[..., 0].astype(np.float32) * 1e6 - 3e7, id="float of anything"),
        pytest.param(picture()[..., 0].astype(np.float32) / 1000 + 290, id="heat"),
    ],
)
def test_numbers_of_32_bits_show_their_picture(levels):
    photo = read_photo(saved(levels, "TIFF"))
    gray = photo.seen[..., 0].astype(float)
    assert gray.std() > 60 and np.corrcoef(gray.ravel(), picture()[..., 0].ravel())[0, 1] > 0.999
    result = unchanged(photo)
    assert result.dtype == np.uint16 and np.corrcoef(result.ravel(), picture()[..., 0].ravel())[0, 1] > 0.9999
    exact = levels.dtype.kind != "f" and levels.min() >= 0 and levels.max() <= 65535
    assert np.array_equal(result[..., 0], levels) if exact else "became 16 bits" in photo.said("png")[0]


def test_numbers_that_are_none_count_as_the_least():
    levels = picture()[..., 0].astype(np.float32) / 255
    levels[:5] = np.nan
    levels[5, :9] = np.inf
    photo = read_photo(saved(levels, "TIFF"))
    assert photo.seen[:5].max() < 20 and np.abs(photo.seen[8:, :, 0].astype(int) - picture()[8:, :, 0]).max() <= 1


@pytest.mark.parametrize("white", [0, 1])
def test_a_negative_of_16_bits_is_looked_at_as_it_is_shown(white):
    levels = picture()[..., :1].astype(np.uint16) * 257
    shown = picture()[..., :1] if white else 255 - picture()[..., :1]
    photo = read_photo(deep_tiff(levels, (262, white)))
    assert np.abs(photo.seen.astype(int) - shown).max() <= 1
    assert np.abs(unchanged(photo).astype(int) - shown.astype(int) * 257).max() <= 257


def test_a_few_hot_pixels_do_not_darken_the_rest():
    levels = picture()[..., 0].astype(np.uint16) * 16
    levels[3, 7] = 65535
    photo = read_photo(saved(levels, "PNG"))
    assert np.abs(photo.seen[..., 0].astype(int) - picture()[..., 0])[5:].max() <= 1
    assert np.array_equal(unchanged(photo)[..., 0], levels)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("make", [png.deep_png, deep_tiff], ids=["png", "tiff"])
def test_colours_of_16_bits_keep_them(make, channels):
    deep = np.random.default_rng(1).integers(0, 65536, (40, 60, 4), dtype=np.uint16)
    deep[..., 3] = 65535
    deep[:9, :9, 3] = 0
    photo = read_photo(make(np.ascontiguousarray(deep[..., :channels])))
    result = unchanged(photo)
    assert result.dtype == np.uint16 and result.shape[-1] == channels
    hidden = deep[..., 3] == 0 if channels == 4 else np.zeros((40, 60), bool)
    assert np.array_equal(result[~hidden], deep[~hidden][..., :channels])
    assert np.array_equal(photo.seen[~hidden], ((deep[..., :3].astype(int) + 128) // 257)[~hidden])
    written = encode_picture(result, "png")
    assert np.array_equal(unchanged(read_photo(written))[~hidden], deep[~hidden][..., :channels])
    if channels == 4:
        assert (result[hidden][:, 3] == 0).all() and (photo.seen[hidden] == 255).all()


def test_a_colour_of_16_bits_that_counts_as_clear_is_clear():
    deep = picture().astype(np.uint16) * 257
    deep[:10] = (1, 2, 3)
    photo = read_photo(png.deep_png(deep, [(b"tRNS", struct.pack(">3H", 1, 2, 3))]))
    assert (unchanged(photo)[:10, :, 3] == 0).all() and (unchanged(photo)[10:, :, 3] == 65535).all()
    gray = np.ascontiguousarray(deep[..., :1])
    photo = read_photo(png.deep_png(gray, [(b"tRNS", struct.pack(">H", 1))]))
    assert (unchanged(photo)[:10, :, -1] == 0).all()


def test_what_nodes_change_comes_back_at_the_depth_of_the_photo():
    deep = picture().astype(np.uint16) * 257 + 3
    photo = read_photo(png.deep_png(deep))
    changed = photo.seen.copy()
    changed[10:20, 10:30] = (200, 100, 50)
    changed[0, 0] += 1  # what rounding may do
    result = photo.finish(changed)
    assert (result[10:20, 10:30] == np.array([200, 100, 50]) * 257).all()
    result[10:20, 10:30] = deep[10:20, 10:30]
    assert np.array_equal(result, deep)
    # 12 bits in 16: black and white of the nodes are those of its 12 bits
    gray = read_photo(saved(picture()[..., 0].astype(np.uint16) * 16, "PNG"))
    changed = gray.seen.copy()
    changed[:5], changed[5:9] = 0, 255
    result = gray.finish(changed)
    assert result.shape[-1] == 1 and (result[:5] == 0).all() and (result[5:9] == 4095).all()
    changed[:5] = (250, 10, 10)
    assert gray.finish(changed).shape[-1] == 3  # a painted face has colours
    with pytest.raises(ValueError, match="30x40 pixels of 60x40"):
        gray.finish(changed[:, :30])


@pytest.mark.parametrize("boxes", ["both", "the codec's alone"])
@pytest.mark.parametrize("bits", [8, 10])
def test_the_depth_of_avif_is_said(tmp_path, bits, boxes):
    """Written by FFmpeg, as Pillow writes 8 bits alone."""
    path, pixels = tmp_path / "a.avif", "yuv420p10le" if bits == 10 else "yuv420p"
    with av.open(str(path), "w", format="avif") as output:
        stream = output.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        frame = av.VideoFrame.from_ndarray(picture((64, 64)), format="rgb24").reformat(format=pixels)
        frame.pts, frame.time_base = 0, Fraction(1)
        with ordinary_priority():
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"pixi" in data and b"av1C" in data
    photo = read_photo(data if boxes == "both" else data.replace(b"pixi", b"free"))
    assert photo.said("png") == (("its 10 bits a channel became 8",) if bits == 10 else ())
    assert np.abs(photo.seen.astype(int) - picture((64, 64))).mean() < 12


def test_depth_that_cannot_be_kept_is_said():
    assert read_photo(saved(Image.fromarray(picture()), "AVIF")).said("png") == ()
    deep = b"P6 60 40 65535\n" + (picture().astype(">u2") * 257).tobytes()
    photo = read_photo(deep)
    assert (photo.levels is not None) or any("16 bits a channel became 8" in text for text in photo.said("png"))


# Transparency -----------------------------------------------------------------------------------------------------


def cut_out() -> np.ndarray:
    """RGBA whose upper left is erased, with an edge of two half-transparent pixels."""
    rgba = np.dstack([picture(), np.full((40, 60), 255, np.uint8)])
    rgba[:20, :30, 3] = 0
    rgba[20:22, :30, 3] = (100, 200)[0]
    return rgba


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "LA", "palette", "clear colour", "GIF", "TGA"])
def test_a_cut_out_keeps_its_alpha_and_nothing_that_it_hides(format):
    rgba = cut_out()
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    if format == "LA":
        data = saved(Image.fromarray(rgba).convert("LA"), "PNG")
    elif format in ("palette", "GIF"):
        levels = (picture()[..., 0] // 16).astype(np.uint8)
        levels[:20, :30] = 255
        indexed = Image.fromarray(levels, "P")
        indexed.putpalette([value for i in range(256) for value in (i * 16 % 256, 40, 255 - i)])
        data = saved(indexed, "GIF" if format == "GIF" else "PNG", transparency=255)
    elif format == "clear colour":
        rgb = picture()
        rgb[:20, :30] = (1, 2, 3)
        data = saved(rgb, "PNG", transparency=(1, 2, 3))
    else:
        data = saved(rgba, format, **options)
    photo = read_photo(data)
    assert (photo.seen[:20, :30] == 255).all()
    result = unchanged(photo)
    assert (result[:20, :30, 3] == 0).all() and (result[24:, :, 3] == 255).all()
    for format in ("png", "webp"):
        with Image.open(io.BytesIO(encode_picture(result, format, 100))) as image:
            levels = np.asarray(image)
        assert (levels[:20, :30] == 0).all() and np.array_equal(levels[24:], result[24:])
    with Image.open(io.BytesIO(encode_picture(result, "jpeg", 95))) as image:
        assert np.asarray(image)[:16, :24].min() > 245
    assert photo.said("jpeg") == ("what is transparent in it was joined on white",)


def test_what_nodes_change_is_not_transparent():
    photo = read_photo(saved(cut_out(), "PNG"))
    changed = photo.seen.copy()
    changed[10:30, 20:40] = 0
    result = photo.finish(changed)
    assert (result[10:30, 20:40] == (0, 0, 0, 255)).all() and (result[:10, :30, 3] == 0).all()


def test_alpha_that_is_a_picture_of_its_own_is_joined():
    y, x = np.mgrid[:64, :64]
    face = ((np.hypot(x - 32, y - 32) < 20) * 200 + 20).astype(np.uint8)
    for rgb, behind in (((0, 0, 0), 255), ((255, 255, 255), 0)):  # a stencil is seen on the other colour alone
        rgba = np.dstack([np.full((64, 64, 3), rgb, np.uint8), face])
        photo = read_photo(saved(rgba, "PNG"))
        assert photo.alpha is None and photo.seen.std() > 40 and "joined on" in photo.said("png")[0]
        assert abs(int(photo.seen[0, 0, 0]) - behind) < 30
    dithered = np.random.default_rng(0).integers(0, 255, (64, 64)) < face  # all or nothing, and yet a picture
    rgba = np.dstack([np.zeros((64, 64, 3), np.uint8), dithered.astype(np.uint8) * 255])
    assert read_photo(saved(rgba, "PNG")).alpha is None


def test_opaque_alpha_is_none_and_all_clear_pictures_are_done():
    rgba = np.dstack([picture(), np.full((40, 60), 255, np.uint8)])
    assert read_photo(saved(rgba, "PNG")).alpha is None
    rgba[..., 3] = 0
    photo = read_photo(saved(rgba, "PNG"))
    assert (photo.seen == photo.seen[0, 0]).all() and (unchanged(photo)[..., 3] == 0).all()
    small_one = transparency.separate(picture()[:3, :2], np.zeros((3, 2), np.uint8))  # smaller than a window
    assert small_one[1] is not None


@pytest.mark.parametrize("top", [255, 65535])
def test_what_alpha_nearly_hides_is_emptied_too(tmp_path, top):
    rgb = picture().astype(np.uint16) * (top // 255)
    alpha = np.full(rgb.shape[:2], top, np.uint16)
    alpha[:20, :30] = top // 100  # one hundredth: nobody sees what is there, everybody can read it
    dtype = np.uint8 if top == 255 else np.uint16
    seen, kept, _ = transparency.separate(rgb.astype(dtype), alpha.astype(dtype))
    assert len(np.unique(seen[:20, :30])) == 1 and (kept == alpha).all() and (seen[20:] == rgb[20:]).all()
    (tmp_path / "a.png").write_bytes(saved(np.dstack([picture(), (alpha // (top // 255)).astype(np.uint8)]), "PNG"))
    (hidden,) = hidden_pixels(tmp_path / "a.png")
    assert hidden[:20, :30].all() and hidden.sum() == 600


@pytest.mark.parametrize("factor", [1, 0.5, 0.37, 1.9])
@pytest.mark.parametrize("mode", ["BILINEAR", "BICUBIC", "LANCZOS", "BOX", "NEAREST"])
def test_what_is_hidden_is_gone_from_a_picture_that_was_resized_since(factor, mode):
    """Whatever was hidden, the same picture is saved."""
    hidden = np.zeros((160, 240), bool)
    hidden[45:92, 28:128] = True
    results = []
    for badge in (0, 255):
        levels = picture((240, 160))
        levels[hidden] = badge
        size = (round(240 * factor), round(160 * factor))
        resized = np.array(Image.fromarray(levels).resize(size, Image.Resampling[mode]))
        results.append(emptied(torch.from_numpy(resized).float() / 255, hidden))
    assert torch.equal(*results) and results[0].shape[1::-1] == size
    assert (results[0] < 1).any(-1).float().mean() > 0.7, "and the rest is still there"


def test_what_is_hidden_in_a_photo_that_was_cropped_since_is_an_error_that_says_what_to_do():
    hidden = np.zeros((40, 60), bool)
    assert emptied(torch.zeros(30, 30, 3), hidden).shape == (30, 30, 3), "nothing is hidden"
    hidden[3, 4] = True
    with pytest.raises(ValueError, match=r"60x40, the picture that is saved 30x30.*Join Image with Alpha"):
        emptied(torch.zeros(30, 30, 3), hidden)


@pytest.mark.parametrize(("most", "bits"), [(255, 8), (1023, 10)])
def test_a_comment_in_a_ppm_is_no_number_of_levels(most, bits):
    head = f"P6\n# made with 900 programs, 1 hour\n4 # wide\n2\n# 70000\n{most}\n".encode()
    assert read_photo(head + bytes(4 * 2 * 3 * (2 if bits > 8 else 1))).bits == bits


def test_where_a_file_hides_something(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(saved(cut_out(), "PNG", exif=exif))
    (hidden,) = hidden_pixels(tmp_path / "a.png")
    assert np.array_equal(hidden, np.rot90(cut_out()[..., 3] == 0, -1))
    (tmp_path / "b.jpg").write_bytes(saved(picture(), "JPEG"))
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / "d.png").write_bytes(saved(np.dstack([picture(), picture()[..., 0] | 1]), "PNG"))
    assert [hidden_pixels(tmp_path / name) for name in ("b.jpg", "d.png")] == [[]] * 2
    for name in ("c.png", "none.png"):
        with pytest.raises(OSError):  # and not: it hides nothing
            read_pages(tmp_path / name)
    frames = [Image.fromarray(cut_out()), Image.fromarray(np.ascontiguousarray(cut_out()[::-1]))]
    (tmp_path / "e.webp").write_bytes(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    info = PngInfo()
    info.add_text("prompt", "x" * 1_500_000, zip=True)  # more than Pillow reads
    (tmp_path / "f.png").write_bytes(saved(cut_out(), "PNG", pnginfo=info))
    assert hidden_pixels(tmp_path / "f.png")[0][:20, :30].all()
    first, second = hidden_pixels(tmp_path / "e.webp")
    assert first[:20, :30].all() and second[20:, :30].all() and not first[20:].any()


# Colours ----------------------------------------------------------------------------------------------------------

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = icc.profile_of((0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), icc.SRGB_CURVE)


def as_srgb(levels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """What a viewer with colour management shows, by LittleCMS."""
    image = Image.fromarray(levels)
    if profile is None:
        return levels.astype(int)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))).astype(int)


@pytest.mark.parametrize(
    ("parts", "profile"),
    [
        ([(b"gAMA", struct.pack(">I", 100000))], icc.profile_of(icc.SRGB_CHROMATICITIES, icc.gamma_curve(1))),
        ([(b"gAMA", struct.pack(">I", 55556))], icc.profile_of(icc.SRGB_CHROMATICITIES, icc.gamma_curve(1.8))),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], icc.SRGB),
        (
            [(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))],
            icc.profile_of((0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), icc.SRGB_CURVE),
        ),
        ([(b"cICP", bytes((12, 13, 0, 1))), (b"sRGB", b"\0")], P3),
        ([(b"iCCP", png.profile_chunk(P3.encoded())), (b"gAMA", struct.pack(">I", 100000))], P3),
        ([(b"gAMA", bytes(4))], None),
        ([(b"cHRM", bytes(32))], None),
        ([(b"iCCP", b"broken\0\0nothing packed")], None),
    ],
    ids=["linear", "1.8", "2.2", "sRGB", "primaries", "cICP", "ICC", "gamma 0", "no primaries", "broken ICC"],
)
def test_a_png_looks_as_before(parts, profile):
    """Kept or applied: what a viewer shows of the result is what it shows of the source."""
    levels = picture((48, 32))
    photo = read_photo(png_with(saved(levels, "PNG"), *parts))
    shown = as_srgb(levels, profile and profile.encoded())
    for format in ("png", "jpeg", "webp"):
        with Image.open(
            io.BytesIO(encode_picture(unchanged(photo), format, 100, profile=photo.colour.profile))
        ) as image:
            result = as_srgb(np.asarray(image.convert("RGB")), image.info.get("icc_profile"))
        assert np.abs(result - shown).mean() < (1 if format == "png" else 2), format
    assert np.abs(photo.seen.mean() - shown.mean()) < 12  # and is looked at about so


def test_high_dynamic_range_keeps_its_mark():
    photo = read_photo(png_with(saved(picture(), "PNG"), (b"cICP", bytes((9, 16, 0, 1)))))
    assert photo.colour.cicp == (9, 16, 0, 1) and not photo.is_finished_by_nodes("png")
    written = encode_picture(unchanged(photo), "png", cicp=photo.colour.cicp)
    assert dict(png.read_chunks(written))[b"cICP"] == bytes((9, 16, 0, 1))
    assert "high dynamic range" in photo.said("webp")[-1] and photo.said("png") == ()


def test_linear_light_of_16_bits_is_looked_at_light_and_kept_deep():
    deep = np.rint((picture() / 255.0) ** 2.2 * 65000).astype(np.uint16)
    deep += np.random.default_rng(0).integers(0, 200, deep.shape, dtype=np.uint16)
    linear = icc.profile_of(icc.SRGB_CHROMATICITIES, icc.gamma_curve(1)).encoded()
    for part in ((b"gAMA", struct.pack(">I", 100000)), (b"iCCP", png.profile_chunk(linear))):
        photo = read_photo(png.deep_png(deep, [part]))
        assert np.abs(photo.seen.astype(int) - picture()).max() < 10
        assert unchanged(photo).dtype == np.uint16 and len(np.unique(unchanged(photo))) > 1000  # of some 5000


def test_a_profile_of_any_size_is_kept_without_what_it_carries():
    big = SRGB + b"\0" * 3_000_000
    big = struct.pack(">I", len(big)) + big[4:]
    for data in (saved(picture(), "JPEG", icc_profile=big), saved(picture(), "PNG", icc_profile=big)):
        photo = read_photo(data)
        assert photo.colour.profile and len(photo.colour.profile) < 1000 and photo.said("png") == ()


def test_a_broken_profile_is_left_out_and_said():
    for broken in (SRGB[:200], SRGB[:16] + b"CMYK" + SRGB[20:], b"x" * 400, SRGB.replace(b"rTRC", b"xTRC")):
        photo = read_photo(saved(picture(), "TIFF", icc_profile=broken))
        assert photo.colour.profile is None and "its colour profile is" in photo.said("png")[0]
        assert np.array_equal(photo.seen, picture())


def table_profile(space: bytes, channels: int, to_rgb, grid: int) -> bytes:
    """A profile whose colours go by a table alone (ICC.1:2022, 10.10, lut16Type): levels of 0..1 -> RGB of sRGB."""
    steps = np.stack(np.meshgrid(*[np.linspace(0, 1, grid)] * channels, indexing="ij"), -1).reshape(-1, channels)
    rgb = np.rint(np.clip(to_rgb(steps), 0, 1) * 255).astype(np.uint8)[None]
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    colours = np.asarray(ImageCms.profileToProfile(Image.fromarray(rgb), srgb, lab, outputMode="LAB"))[0].astype(int)
    colours[:, 1:] = (colours[:, 1:] + 128) % 256  # Pillow has a and b with their signs
    table = b"mft2\0\0\0\0" + bytes([channels, 3, grid, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table += struct.pack(">HH", 2, 2) + struct.pack(">2H", 0, 65535) * channels
    table += (colours * 256).astype(">u2").tobytes() + struct.pack(">2H", 0, 65535) * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    head = bytearray(icc.SRGB.encoded()[:128])
    head[8:12], head[12:16], head[16:20], head[20:24] = (
        b"\2\x40\0\0",
        b"scnr" if channels == 3 else b"prtr",
        space,
        b"Lab ",
    )
    start = 132 + 24
    body = struct.pack(">I", 2) + struct.pack(">4sII", b"A2B0", start, len(table))
    body += struct.pack(">4sII", b"wtpt", start + len(table), len(white)) + table + white
    return struct.pack(">I", 128 + len(body)) + bytes(head[4:]) + body


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_profile_that_is_a_table_is_applied(format):
    """This one exchanges red and blue."""
    table = table_profile(b"RGB ", 3, lambda levels: levels[:, ::-1], 17)
    with pytest.raises(icc.TableProfile):
        icc.parse_profile(table)
    photo = read_photo(saved(picture(), format, icc_profile=table, **({"quality": 95} if format == "JPEG" else {})))
    assert photo.colour.profile is None and photo.said("png") == ()
    assert np.abs(photo.seen.astype(int) - picture()[..., ::-1]).mean() < 4
    written = encode_picture(picture(), "png", profile=table)  # as Save Image (clean), which gets levels of the source
    assert b"iCCP" not in written
    assert np.abs(read_photo(written).seen.astype(int) - picture()[..., ::-1]).mean() < 4
    deep = read_photo(png.deep_png(picture().astype(np.uint16) * 257, [(b"iCCP", png.profile_chunk(table))]))
    assert np.abs(deep.seen.astype(int) - picture()[..., ::-1]).mean() < 4
    assert deep.said("png")[0] == "its colours were turned into sRGB, in 8 bits"


def test_print_colours_go_by_their_profile():
    table = table_profile(b"CMYK", 4, lambda inks: (1 - inks[:, 2::-1]) * (1 - inks[:, 3:]), 7)
    image = Image.fromarray(picture()).convert("CMYK")
    photo = read_photo(saved(image, "TIFF", icc_profile=table))
    assert np.abs(photo.seen.astype(int) - picture()[..., ::-1]).mean() < 5
    assert photo.colour.profile is None and photo.said("png") == ()


def test_gray_with_a_profile_of_gray_looks_as_before():
    gray = np.ascontiguousarray(picture()[..., 0])
    profile = icc.Profile(icc.GRAY, (icc.gamma_curve(1.5),)).encoded()
    photo = read_photo(saved(gray, "JPEG", icc_profile=profile, quality=100))
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(Image.fromarray(gray), source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    result = as_srgb(photo.seen, icc.clean_profile(photo.colour.profile, 3))
    assert np.abs(result - np.asarray(shown).astype(int)).max() <= 3


def test_cameras_that_say_adobe_rgb_in_exif_alone():
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    photo = read_photo(saved(picture(), "JPEG", exif=exif))
    assert photo.colour.profile is not None
    assert icc.parse_profile(photo.colour.profile).curves[0].parameters == (round(2.19921875 * 65536),)
    exif[0x8769] = {0xA001: 1, 0xA005: {1: "R98"}}
    assert read_photo(saved(picture(), "JPEG", exif=exif)).colour.profile is None


def test_print_colours_lab_and_single_bits_are_read():
    image = Image.fromarray(picture())
    for data in (
        saved(image.convert("CMYK"), "JPEG", quality=95),
        saved(image.convert("CMYK"), "JPEG", quality=95, icc_profile=SRGB[:12] + b"prtrCMYKLab " + SRGB[24:]),
        saved(image.convert("CMYK"), "TIFF"),
        saved(image.convert("YCbCr"), "JPEG", quality=95),
        saved(
            ImageCms.profileToProfile(
                image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
            ),
            "TIFF",
        ),
    ):
        assert np.abs(read_photo(data).seen.astype(int) - picture()).mean() < 4
    one = image.convert("1")
    for format in ("PNG", "TIFF", "BMP"):
        assert np.array_equal(read_photo(saved(one, format)).seen[..., 0], np.asarray(one) * np.uint8(255))


# Pages and animations ---------------------------------------------------------------------------------------------


def pages(*images: np.ndarray, flags: dict[int, int] | None = None) -> bytes:
    """A TIFF of several pages, each with its tag NewSubfileType."""
    made = [Image.fromarray(image) for image in images]
    data = bytearray(saved(made[0], "TIFF", save_all=True, append_images=made[1:], tiffinfo={254: 0}))
    place, number = struct.unpack("<I", data[4:8])[0], 0
    while place:
        (count,) = struct.unpack("<H", data[place : place + 2])
        for i in range(count):
            entry = place + 2 + 12 * i
            if struct.unpack("<H", data[entry : entry + 2])[0] == 254:
                data[entry + 8 : entry + 12] = struct.pack("<I", (flags or {}).get(number, 0))
        (place,) = struct.unpack("<I", data[place + 2 + 12 * count : place + 6 + 12 * count])
        number += 1
    return bytes(data)


def small(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((15, 10), Image.Resampling.LANCZOS))


def test_the_page_is_taken_that_the_others_are_copies_of():
    other = np.ascontiguousarray(picture()[::-1, ::-1])
    for data in (
        pages(picture(), small(picture())),
        pages(small(picture()), picture()),
        pages(picture(), small(other), flags={1: 1}),
        pages(small(picture()), picture(), flags={0: 1}),
    ):
        photo = read_photo(data)
        assert np.array_equal(photo.seen, picture()) and "2 pictures" in photo.said("png")[0]
    for data in (pages(picture(), other), pages(picture(), small(other)), pages(picture(), picture(), flags={1: 4})):
        with pytest.raises(UnreadablePhoto, match=r"holds 2 pictures\. Save each"):
            read_photo(data)


def test_of_a_phones_file_the_first_picture_is_taken():
    photo = read_photo(
        saved(picture(), "MPO", save_all=True, append_images=[Image.fromarray(picture()[::-1])], quality=95)
    )
    assert np.abs(photo.seen.astype(int) - picture()).mean() < 4
    assert photo.said("png") == ("it holds 2 pictures, of which the first was taken",)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_are_refused_by_name_and_single_frames_are_done(format):
    frames = [Image.fromarray(np.roll(picture(), 7 * i, axis=1)) for i in range(3)]
    with pytest.raises(UnreadablePhoto, match="animated, 3 pictures: make a video of it"):
        read_photo(saved(frames[0], format, save_all=True, append_images=frames[1:]))
    assert read_photo(saved(frames[0], format)).seen.shape == (40, 60, 3)


# Files ------------------------------------------------------------------------------------------------------------


def test_texts_of_any_size_are_passed_over():
    info = PngInfo()
    info.add_text("prompt", "x" * 1_500_000, zip=True)
    info.add_itxt("workflow", "y" * 1_500_000, zip=True)
    info.add_text("plain", "z" * 1_500_000)
    info.add_itxt("XML:com.adobe.xmp", "z" * 1_500_000, zip=True)
    assert np.array_equal(read_photo(saved(picture(), "PNG", pnginfo=info)).seen, picture())
    bomb = b"prompt\0\0" + zlib.compress(bytes(20_000_000), 1)
    assert np.array_equal(read_photo(png_with(saved(picture(), "PNG"), (b"zTXt", bomb))).seen, picture())


@pytest.mark.parametrize(
    "format",
    ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM", "TGA", "QOI", "MPO", "SGI", "PCX"],
)
def test_a_file_that_is_cut_off_is_refused(format):
    data = saved(picture((200, 160)), format, **({"save_all": True} if format == "MPO" else {}))
    assert read_photo(data).seen.shape == (160, 200, 3)
    for share in (0.05, 0.4, 0.7, 0.95):
        with pytest.raises(UnreadablePhoto, match="cannot be read"):
            read_photo(data[: int(len(data) * share)])


def test_a_png_of_which_one_bit_is_flipped_is_refused():
    """Pillow reads another picture of it, in which the detector may find nobody."""
    data = saved(picture((200, 160)), "PNG")
    first, end = data.index(b"IDAT") + 4, data.index(b"IEND") - 8
    for place in np.random.default_rng(0).integers(first, end, 40):
        for bit in (0, 7):
            spoiled = bytearray(data)
            spoiled[place] ^= 1 << bit
            with pytest.raises(UnreadablePhoto, match=r"damaged: a check sum|cannot be read"):
                read_photo(bytes(spoiled))
    text = saved(picture(), "PNG", pnginfo=noted("prompt", "a text"))
    place = text.index(b"a text")
    assert np.array_equal(read_photo(text[:place] + b"b" + text[place + 1 :]).seen, picture())  # a text is no picture
    assert np.array_equal(read_photo(text[: text.index(b"IEND") - 4]).seen, picture())  # nor is the end


def noted(key: str, text: str) -> PngInfo:
    info = PngInfo()
    info.add_text(key, text)
    return info


def test_decoders_that_are_missing_are_named(monkeypatch):
    avif, heic = saved(picture(), "AVIF"), struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(UnreadablePhoto, match="AVIF photo, which this Pillow does not read"):
        read_photo(avif)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnreadablePhoto, match="HEIC photo, which needs a decoder: pip install pillow-heif"):
        read_photo(heic)


def test_too_many_pixels_come_with_a_next_step():
    head = struct.pack(">IIBBBBB", 16320, 12240, 1, 0, 0, 0, 0)
    data = png.SIGNATURE + png.chunk(b"IHDR", head) + png.chunk(b"IDAT", zlib.compress(bytes(1000)))
    with pytest.raises(UnreadablePhoto, match="200 megapixels, and 179 at most are read: make it smaller, or cut"):
        read_photo(data)


def test_what_is_no_photo_is_told_with_a_next_step():
    for data in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF", b"\x89PNG\r\n\x1a\n", b"II*\0" + bytes(20)):
        with pytest.raises(UnreadablePhoto, match=r"It cannot be read: it is no photo.*save it as PNG"):
            read_photo(data)


@pytest.mark.parametrize(
    ("channels", "kind", "numbers"), [(3, "f4", "floating point"), (4, "f4", "floating point"), (3, "u4", "whole")]
)
def test_levels_that_are_not_read_are_refused_by_their_name(channels, kind, numbers):
    levels = (np.random.default_rng(0).random((20, 30, channels)) * 1000).astype(kind)
    words = f"TIFF of {channels} channels of {numbers} numbers of 32 bits, which are not read: save it as .*16 bits"
    with pytest.raises(UnreadablePhoto, match=words):
        read_photo(deep_tiff(levels))
