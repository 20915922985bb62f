"""What files hold beside the picture that they show, at which nobody looks who verifies them."""

import base64
import io
import struct
import time
from pathlib import Path

import av
import numpy as np
import planted_photos as planted
import pytest
from clips import make_clip, picture
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from face_anonymizer.modules.output.encoding import encode_picture
from face_anonymizer.modules.output.xmp import xmp_packet
from face_anonymizer.modules.photos.beside import pictures_beside as beside_photo
from face_anonymizer.modules.video import files, own_files
from face_anonymizer.modules.video.beside import pictures_beside as beside_video

ROOT = Path(__file__).parents[2]
THUMBNAIL, SECOND, HIDDEN = "a small copy (thumbnail)", "1 more picture", "colours under what is transparent"
NOISE = np.random.default_rng(4711).bytes(5000)  # is nothing that anybody reads
WITHOUT_MARKS = NOISE.replace(b"\xff", b"")
SEGMENT = bytes.fromhex("18538067")  # of Matroska
FOUND = {
    "a.jpg": (THUMBNAIL, "2,894 bytes behind its end"),
    "b.mpo": (SECOND, THUMBNAIL, "7,082 bytes behind its end"),
    "c.png": (THUMBNAIL, "2,407 bytes behind its end"),
    "d.webp": (THUMBNAIL, "2,407 bytes behind its end"),
    "e.tif": (SECOND, THUMBNAIL),
    "f.gif": (THUMBNAIL, "2,407 bytes behind its end"),
    "i.bmp": (THUMBNAIL, "2,407 bytes behind its end"),
    "j.ppm": ("2,340 bytes behind its end",),
    "k.tga": ("2,407 bytes behind its end",),
    **dict.fromkeys(("hidden.png", "hidden.webp", "hidden.tif"), (HIDDEN,)),
}


def jpeg(*parts: bytes, behind: bytes = b"") -> bytes:
    data = planted.encoded(planted.photo(), "JPEG")
    return data[:2] + b"".join(parts) + data[20:] + behind


def exif_of(*chain: list) -> bytes:
    return b"Exif\0\0" + planted.tiff_blocks([[(0x010F, 2, b"Maker")], *chain], {})


def pixels_of(picture: Image.Image, compression: int = 1) -> list:
    raw = picture.tobytes()
    sizes = [(0x0100, 3, picture.width), (0x0101, 3, picture.height), (0x0102, 3, struct.pack("<3H", 8, 8, 8))]
    return [
        *sizes, (0x0103, 3, compression), (0x0106, 3, 2), (0x0111, 4, raw), (0x0115, 3, 3),
        (0x0116, 3, picture.height), (0x0117, 4, len(raw)),
    ]  # fmt: skip


def jpeg_in_ifd(data: bytes) -> list:
    return [(0x0103, 3, 6), (0x0201, 4, data), (0x0202, 4, len(data))]


def xmp_with_lines(picture: bytes) -> bytes:
    lines = base64.encodebytes(picture).decode().replace("\n", "&#xA;")
    return f"<x:xmpmeta><rdf:Description><xmpGImg:image>{lines}</xmpGImg:image></rdf:Description></x:xmpmeta>".encode()


def png(*parts: tuple[bytes, bytes], behind: bytes = b"", **texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("_", " "), text, zip=len(text) > 5000)
    data = planted.encoded(planted.photo(), "PNG", pnginfo=info)
    return data[:33] + b"".join(planted.png_chunk(*part) for part in parts) + data[33:] + behind


def png_with_pixels_behind() -> bytes:
    """As an editor leaves it that writes over a larger file: the stream of pixels ends in the middle of a part."""
    data = png()
    place = data.index(b"IDAT")
    size = int.from_bytes(data[place - 4 : place], "big")
    coded = data[place + 4 : place + 4 + size] + NOISE
    return data[: place - 4] + planted.png_chunk(b"IDAT", coded) + data[place + 8 + size :]


def webp(name: bytes, content: bytes) -> bytes:
    data = planted.encoded(planted.photo(), "WEBP", exif=exif_of()[6:])
    part = name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(part)) + data[8:] + part


def gif(kind: bytes, content: bytes) -> bytes:
    data = planted.encoded(planted.photo().quantize(64), "GIF")
    place = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    pieces = b"".join(bytes([len(p)]) + p for p in (content[i : i + 255] for i in range(0, len(content), 255)))
    return data[:place] + b"\x21" + kind + pieces + b"\0" + data[place:]


def tiff(*entries: tuple, behind: bytes = b"", below: dict | None = None) -> bytes:
    return planted.tiff_blocks([[*pixels_of(planted.photo()), *entries]], below or {}) + behind


def avif(*boxes: bytes) -> bytes:
    return planted.encoded(planted.photo(), "AVIF") + b"".join(boxes)


SMALL, OTHER = planted.original(), planted.encoded(planted.original(), "PNG", compress_level=0)
BYTES = len(OTHER)
TOLD = {
    "pixels as they are in EXIF": (jpeg(planted.segment(0xE1, exif_of(pixels_of(SMALL)))), THUMBNAIL),
    "a JPEG in EXIF": (jpeg(planted.segment(0xE1, exif_of(jpeg_in_ifd(planted.thumbnail())))), THUMBNAIL),
    "pixels in the head of JFIF": (
        jpeg(planted.segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\x30\x30" + SMALL.tobytes())), THUMBNAIL,
    ),
    "pixels in JFXX": (jpeg(planted.segment(0xE0, b"JFXX\0\x13\x30\x30" + SMALL.tobytes())), THUMBNAIL),
    "a JPEG in JFXX": (jpeg(planted.segment(0xE0, b"JFXX\0\x10" + planted.thumbnail())), THUMBNAIL),
    "base64 in lines in XMP": (
        jpeg(planted.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_with_lines(planted.thumbnail()))), THUMBNAIL,
    ),
    "Photoshop's blocks": (jpeg(planted.segment(0xED, b"Photoshop 3.0\0" + planted.photoshop())), THUMBNAIL),
    "a segment of somebody": (jpeg(planted.segment(0xE9, NOISE)), "5,000 bytes in part APP9"),
    "bytes between segments": (
        jpeg(planted.segment(0xFE, b"x"), WITHOUT_MARKS), f"{len(WITHOUT_MARKS):,} bytes between its parts",
    ),
    "a whole file behind the end": (jpeg(behind=OTHER), f"{BYTES:,} bytes behind its end"),
    "no end, then another": (jpeg()[:-2] + jpeg(), f"{len(jpeg()):,} bytes behind its end"),
    "base64 in a text of PNG": (
        png(prompt=f'{{"image": "data:image/png;base64,{base64.b64encode(OTHER).decode()}"}}'), THUMBNAIL,
    ),
    "EXIF in letters in PNG": (
        png(Raw_profile_type_exif="\nexif\n 9\n" + exif_of(pixels_of(SMALL)).hex("\n", 36)), THUMBNAIL,
    ),
    "letters that are no picture": (png(note=base64.b64encode(NOISE).decode()), "5,000 bytes in part zTXt"),
    "a part of PNG that nobody knows": (png((b"prVt", NOISE)), "5,000 bytes in part prVt"),
    "many short parts of PNG": (
        png(*[(b"prVt", NOISE[i : i + 100]) for i in range(0, 5000, 100)]), "5,000 bytes in part prVt",
    ),
    "behind the pixels of PNG": (png_with_pixels_behind(), "5,000 bytes behind its pixels"),
    "EXIF of PNG": (png((b"eXIf", exif_of(pixels_of(SMALL))[6:])), THUMBNAIL),
    "a file behind PNG": (png(behind=OTHER), f"{BYTES:,} bytes behind its end"),
    "a part of WEBP": (webp(b"THMB", NOISE), "5,000 bytes in part THMB"),
    "a file behind WEBP": (webp(b"XMP ", xmp_packet()) + OTHER, f"{BYTES:,} bytes behind its end"),
    "an application's part of GIF": (gif(b"\xff\x0bSOMEBODY1.0", OTHER), THUMBNAIL),
    "a file behind GIF": (gif(b"\xfe", b"made by hand") + OTHER, f"{BYTES:,} bytes behind its end"),
    "a directory below that of TIFF": (tiff(below={0x014A: pixels_of(SMALL)}), THUMBNAIL),
    "Photoshop's blocks in TIFF": (tiff((0x8649, 1, planted.photoshop())), THUMBNAIL),
    "a tag of somebody": (tiff((0xFDE8, 7, NOISE)), "5,000 bytes in its tags"),
    "a file behind TIFF": (tiff(behind=OTHER), THUMBNAIL),
    "bytes behind TIFF": (tiff(behind=NOISE), "5,000 bytes that nothing in it refers to"),
    "free space of AVIF": (avif(planted.box(b"free", NOISE)), "5,000 bytes in box free"),
    "more data of AVIF": (avif(planted.box(b"mdat", NOISE)), "5,000 bytes that nothing in it refers to"),
    "a file behind BMP": (planted.encoded(planted.photo(), "BMP") + NOISE, "5,000 bytes behind its end"),
}  # fmt: skip


@pytest.mark.parametrize("name", planted.PLANTED)
def test_every_hidden_picture_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(planted.PLANTED[name]())
    assert beside_photo(tmp_path / name) == FOUND.get(name, (THUMBNAIL,))


@pytest.mark.parametrize("name", TOLD)
def test_each_place_that_a_format_offers_is_named(tmp_path, name):
    data, words = TOLD[name]
    (tmp_path / "a").write_bytes(data)
    assert beside_photo(tmp_path / "a") == (words,)


def test_what_shows_nothing_is_no_picture(tmp_path):
    """A thumbnail of 22 bytes that is broken, space that is only filled, and texts."""
    broken = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\x02\xff\xd9\0"
    for number, data in enumerate((
        jpeg(planted.segment(0xE1, exif_of(jpeg_in_ifd(broken)))), tiff((0xFDE8, 7, b"\xff" * 5000)),
        *(png((b"prVt", bytes(5000))), png(behind=bytes(5000)), png(Comment="all rights reserved " * 400)),
    )):  # fmt: skip
        (tmp_path / str(number)).write_bytes(data)
        assert beside_photo(tmp_path / str(number)) == ()
    (tmp_path / "large").write_bytes(jpeg(planted.segment(0xE1, exif_of(jpeg_in_ifd(broken + NOISE)))))
    assert beside_photo(tmp_path / "large") == ("5,022 bytes in part APP1",)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "PPM", "TGA", "JPEG2000"])
def test_a_photo_alone_holds_nothing_else(tmp_path, format):
    (tmp_path / "a").write_bytes(planted.encoded(planted.photo(), format))
    assert beside_photo(tmp_path / "a") == ()


def test_what_programs_write_of_a_photo_is_no_second_picture(tmp_path):
    """Profiles, EXIF, XMP and texts, progressive and tiled, as Pillow writes them with the libraries of each format."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = planted.photo().getexif()
    exif[0x010F], exif[0x0131], exif[0x9286] = "Maker", "Program 1.2", b"ASCII\0\0\0" + b"a comment " * 90
    comfy = PngInfo()
    comfy.add_text("workflow", '{"nodes": [{"id": 1, "type": "LoadImage", "widgets_values": ["a.png"]}]}' * 300)
    comfy.add_itxt("XML:com.adobe.xmp", xmp_packet().decode(), zip=True)
    kept = {"icc_profile": profile, "exif": exif}
    for number, (format, options) in enumerate([
        *(("JPEG", kept | {"progressive": on, "comment": "made by hand"}) for on in (True, False)),
        ("JPEG", {"xmp": xmp_packet(), "quality": 100, "restart_marker_rows": 1}),
        ("PNG", kept | {"pnginfo": comfy}),
        *(("WEBP", kept | {"xmp": xmp_packet()}), ("AVIF", kept | {"xmp": xmp_packet()})),
        *(("TIFF", kept | {"compression": how}) for how in (None, "raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        ("GIF", {"comment": b"made by hand"}),
    ]):  # fmt: skip
        (tmp_path / str(number)).write_bytes(planted.encoded(planted.photo(), format, **options))
        assert beside_photo(tmp_path / str(number)) == (), (format, options)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_our_own_photos_hold_nothing_else(tmp_path, format):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = np.asarray(planted.photo())
    deep = photo.astype(np.uint16) * 257
    clear = np.concatenate([photo, np.full((*photo.shape[:2], 1), 255, np.uint8)], -1)
    clear[20:40, 20:40, 3] = 0
    for number, levels in enumerate((photo, deep, clear, photo[..., :1])):
        for more in ({}, {"mark": True}, {"profile": profile, "mark": True}, {"cicp": (9, 16, 0, 1)}):
            file = tmp_path / f"{number}{len(more)}"
            file.write_bytes(encode_picture(levels, format, **more))
            assert beside_photo(file) == (), (number, more)


@pytest.mark.parametrize("quality", [50, 80, 95])
def test_lossy_webp_is_told_from_what_a_cut_out_of_it_hides(tmp_path, quality):
    """What is seen reaches a few pixels into what is not: our own results were said to hide something."""
    photo = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").crop((100, 0, 400, 300))
    levels = np.dstack([np.asarray(photo), np.full((300, 300), 255, np.uint8)])
    y, x = np.mgrid[:300, :300]
    for hole in ((y - 100) ** 2 + (x - 120) ** 2 < 80**2, y % 40 < 2, (y // 16 + x // 16) % 2 == 0):
        levels[..., 3] = np.where(hole, 0, 255)
        (tmp_path / "a.webp").write_bytes(encode_picture(levels, "webp", quality))
        assert beside_photo(tmp_path / "a.webp") == ()
        dim = levels.copy()
        dim[hole, :3] //= 6
        for hiding in (levels, dim):
            Image.fromarray(hiding).save(tmp_path / "b.webp", quality=quality, exact=True)
            assert beside_photo(tmp_path / "b.webp") == (HIDDEN,)


def test_a_page_stored_as_jpeg_and_an_emptied_cut_out_are_no_second_picture(tmp_path):
    planted.photo().save(tmp_path / "a.tif", compression="jpeg")
    clear = Image.new("L", planted.SIZE, 255)
    clear.paste(0, (10, 20, 80, 90))
    empty = planted.photo()
    empty.paste((255, 255, 255), (10, 20, 80, 90))
    empty.putalpha(clear)
    empty.save(tmp_path / "b.png")
    assert beside_photo(tmp_path / "a.tif") == beside_photo(tmp_path / "b.png") == ()


def test_tracks_of_pictures_are_named_and_sound_is_not(tmp_path):
    assert beside_video(make_clip(tmp_path / "a.mp4")) == ()
    size = (160, 96)
    with av.open(str(tmp_path / "b.mkv"), "w") as output:
        for codec in ("libx264", "libx264", "mjpeg"):
            stream = output.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for stream in output.streams.video:
            frame = av.VideoFrame.from_ndarray(picture(0, *size), format="rgb24").reformat(format=stream.pix_fmt)
            output.mux([*stream.encode(frame), *stream.encode(None)])
    assert beside_video(tmp_path / "b.mkv") == ("further video track", "cover picture")


CONTAINERS = {
    **{".mp4": {}, ".mov": {}, ".mkv": {}, ".webm": {"codec": "libvpx", "sound": ("libopus",)}},
    ".avi": {"sound": ("mp3",)},
}


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("mark", [False, True])
def test_clips_of_ffmpeg_and_our_own_hold_nothing_else(tmp_path, suffix, mark):
    source = make_clip(tmp_path / f"a{suffix}", **CONTAINERS[suffix])
    assert beside_video(source) == ()
    if suffix == ".avi":
        return
    files.copy_clean(source, tmp_path / f"b{suffix}", mark)
    own_files.remember(tmp_path / f"b{suffix}")
    files.copy_clean(str(tmp_path / f"b{suffix}"), tmp_path / f"c{suffix}", mark)
    assert beside_video(tmp_path / f"b{suffix}") == beside_video(tmp_path / f"c{suffix}") == ()


def test_a_clip_in_fragments_holds_nothing_else(tmp_path):
    make_clip(tmp_path / "a.mp4", sound=())
    with (
        av.open(str(tmp_path / "a.mp4")) as source,
        av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "frag_keyframe+empty_moov"}) as output,
    ):
        copy = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    assert b"moof" in (tmp_path / "b.mp4").read_bytes()
    assert beside_video(tmp_path / "b.mp4") == ()


def element(code: str, content: bytes) -> bytes:
    """Of Matroska."""
    return bytes.fromhex(code) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def with_box_in_moov(data: bytes, box: bytes) -> bytes:
    """The index is the last box of what FFmpeg writes by itself."""
    place = data.rindex(b"moov") - 4
    size = int.from_bytes(data[place : place + 4], "big")
    assert place + size == len(data)
    return data[:place] + struct.pack(">I", size + len(box)) + data[place + 4 :] + box


def test_each_place_that_a_container_offers_is_named(tmp_path):
    mp4, mkv = (tmp_path / name for name in ("a.mp4", "a.mkv"))
    make_clip(mp4)
    make_clip(mkv)
    mp4, mkv = mp4.read_bytes(), mkv.read_bytes()
    named = base64.b64encode(planted.thumbnail())
    tag = element("67c8", element("45a3", b"COVER") + element("4487", named))
    block = element("a3", b"\x85\0\0\x80" + NOISE)
    attached = element(
        "61a7", element("466e", b"a.jpg") + element("4660", b"x/y") + element("46ae", b"\1") + element("465c", NOISE)
    )
    for number, (suffix, data, words) in enumerate((
        (".mp4", mp4 + planted.box(b"free", NOISE), "5,000 bytes in box free"),
        (".mp4", mp4 + planted.box(b"skip", OTHER), THUMBNAIL),
        (".mp4", mp4 + planted.box(b"uuid", bytes(16) + NOISE), "5,000 bytes in box uuid"),
        (".mp4", mp4 + planted.box(b"some", NOISE), "5,000 bytes in box some"),
        (".mp4", mp4 + planted.box(b"mdat", NOISE), "5,000 bytes that nothing in it refers to"),
        (".mp4", mp4 + OTHER, f"{BYTES:,} bytes behind its end"),
        (".mp4", mp4 + mkv, f"{len(mkv):,} bytes behind its end"),
        (".mp4", with_box_in_moov(mp4, planted.box(b"udta", planted.box(b"some", NOISE))), "5,000 bytes in box some"),
        (".mkv", mkv + element("ec", NOISE), "5,000 bytes in element EC"),
        (".mkv", mkv + OTHER, f"{BYTES:,} bytes behind its end"),
        (".mkv", mkv + mkv, f"{len(mkv) - mkv.index(SEGMENT):,} bytes behind its end"),
        (".mkv", _in_segment(mkv, element("ec", NOISE)), "5,000 bytes in element EC"),
        (".mkv", _in_segment(mkv, element("1254c367", element("7373", tag))), THUMBNAIL),
        (".mkv", _in_segment(mkv, element("1941a469", attached)), "5,000 bytes in element 465C"),
        (".mkv", _in_segment(mkv, element("1f43b675", element("e7", b"\0") + block)), "5,004 bytes of no track"),
    )):  # fmt: skip
        file = tmp_path / f"{number}{suffix}"
        file.write_bytes(data)
        assert words in beside_video(file), number
        assert set(beside_video(file)) <= {words, "attachment"}, number


def _in_segment(data: bytes, more: bytes) -> bytes:
    place = data.index(SEGMENT) + 4
    size = int.from_bytes(data[place : place + 8], "big") - (1 << 56)
    assert place + 8 + size == len(data)
    return data[:place] + (1 << 56 | size + len(more)).to_bytes(8, "big") + data[place + 8 :] + more


def test_bytes_that_only_look_like_pictures_do_not_take_hours(tmp_path):
    """Each start was read to the end of the file; a megabyte of them took 15 seconds."""
    starts, noise = b"\xff\xd8\xff\xe0" * 2_000_000, np.random.default_rng(1).bytes(100 << 20)
    words = b"a\0" + (b"A" * 15 + b" ") * (1 << 19)  # each is nearly long enough to be bytes in letters
    started = time.process_time()
    for number, (data, told) in enumerate((
        (jpeg(behind=starts), "8,000,000 bytes behind its end"), (png((b"prVt", starts[: 4 << 20])), THUMBNAIL),
        (png(behind=noise), "104,857,600 bytes behind its end"), (png((b"tEXt", words)), None),
        (png((b"prVt", noise)), "104,857,600 bytes in part prVt"),
    )):  # fmt: skip
        (tmp_path / "a").write_bytes(data)
        assert beside_photo(tmp_path / "a") == (() if told is None else (told,)), number
    clip = io.BytesIO()
    with av.open(clip, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture(0, 160, 96), format="rgb24")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    (tmp_path / "a.mp4").write_bytes(clip.getvalue() + noise)
    assert beside_video(tmp_path / "a.mp4") == (f"{len(noise):,} bytes behind its end",)
    assert time.process_time() - started < 20
