"""What verify names in files and what it does not: nested parts, tables, words, tracks, what an edit list cuts off."""

import base64
import hashlib
import struct
import time
import zlib
from pathlib import Path

import av
import numpy as np
import planted_photos as planted
import pytest
from clips import make_clip, picture
from PIL import Image
from test_beside import NOISE, ROOT, THUMBNAIL, avif, element, jpeg, png, webp

from face_anonymizer.modules.contents.boxes import walk_boxes
from face_anonymizer.modules.contents.parts import Part
from face_anonymizer.modules.contents.photos import _rows
from face_anonymizer.modules.photos.beside import pictures_beside as beside_photo
from face_anonymizer.modules.video.beside import pictures_beside as beside_video


def _film(file: Path, data: bytes = b"", frames: int = 20, **metadata: str) -> bytes:
    """Of one picture that needs no other, and, where data is given, a track of it."""
    with av.open(str(file), "w") as output:
        output.metadata.update(metadata)
        stream = output.add_stream("libx264", rate=10, options={"g": "100", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        track = output.add_data_stream() if data else None
        for number in range(frames):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, 160, 96), "rgb24")))
            if number == 2 and track is not None:
                packet = av.Packet(data)
                packet.stream, packet.pts, packet.dts, packet.time_base = track, 2, 2, stream.codec_context.time_base
                output.mux(packet)
        output.mux(stream.encode(None))
    return file.read_bytes()


def test_tracks_that_are_neither_pictures_nor_sound_are_looked_at(tmp_path):
    """Those of a camera's time codes hold nothing."""
    for data, words in ((planted.thumbnail(), THUMBNAIL), (NOISE, "5,000 bytes in a track of another kind")):
        _film(tmp_path / "a.ts", data)
        assert beside_video(tmp_path / "a.ts") == (words,)
    _film(tmp_path / "a.mov", timecode="01:00:00:00")
    assert beside_video(tmp_path / "a.mov") == ()


def test_pictures_that_an_edit_list_cuts_off_are_named(tmp_path):
    """As a copy from the middle leaves them: they are decoded, and not shown."""
    data = bytearray(_film(tmp_path / "a.mp4"))
    assert beside_video(tmp_path / "a.mp4") == ()
    ticks = int.from_bytes(data[(place := data.index(b"mdhd")) + 16 : place + 20], "big")
    struct.pack_into(">Ii", data, data.index(b"elst") + 12, 1000, ticks)  # a second, from the second second
    (tmp_path / "a.mp4").write_bytes(data)
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 10
    assert beside_video(tmp_path / "a.mp4") == ("pictures that an edit list cuts off",)


def test_films_are_known_by_what_reads_them_not_by_their_first_box(tmp_path):
    clip = Path(make_clip(tmp_path / "a.mov")).read_bytes()
    for number, (first, words) in enumerate((
        (planted.box(b"junk", NOISE), "5,000 bytes in box junk"),
        (planted.box(b"uuid", bytes(16) + NOISE), "5,000 bytes in box uuid"),
        (planted.box(b"udta", planted.box(b"abcd", planted.thumbnail())), THUMBNAIL),
    )):  # fmt: skip
        (tmp_path / f"{number}.mov").write_bytes(first + clip)
        assert words in beside_video(tmp_path / f"{number}.mov")


def test_a_film_of_many_fragments_does_not_take_hours():
    """Of 20,000, all stretches were sorted again for each; what no track uses is found in any of them."""
    count = 20_000
    fragment = planted.box(b"moof", b"") + planted.box(b"mdat", bytes(range(100)))
    used = [(16 + len(fragment) * number, 16 + len(fragment) * number + 100) for number in reversed(range(count))]
    started = time.process_time()
    assert [part for part in walk_boxes(fragment * count, list(used)) if part.content] == []
    del used[4711]
    (part,) = [part for part in walk_boxes(fragment * count, used) if part.content]
    assert part == Part("that nothing in it refers to", bytes(range(100)))
    assert time.process_time() - started < 10


def test_parts_in_parts_without_end_are_told_as_bytes(tmp_path):
    """Thousands deep, they ended in Python's own words about recursion."""
    boxes, lists, elements, exif = b"", b"", b"", b"Exif\0\0II*\0\x08\0\0\0"
    for number in range(3000):
        boxes = planted.box(b"udta", boxes)
        lists = b"LIST" + struct.pack("<I", len(lists) + 4) + b"abcd" + lists
        elements = element("67c8", elements)
        exif += struct.pack("<HHHIII", 1, 0x014A, 4, 1, 26 + 18 * number, 0)
    clip = Path(make_clip(tmp_path / "a.mkv")).read_bytes()
    for number, (data, beside, where) in enumerate((
        (avif(boxes), beside_photo, "in box udta"), (webp(b"LIST", b"abcd" + lists), beside_photo, "in part LIST"),
        (jpeg(planted.segment(0xE1, exif)), beside_photo, "that nothing in it refers to"),
        (clip + element("1254c367", elements), beside_video, "in element 67C8"),
    )):  # fmt: skip
        file = tmp_path / str(number)
        file.write_bytes(data)
        (words,) = beside(file)
        count, _, rest = words.partition(" bytes ")
        assert rest == where and 20_000 < int(count.replace(",", "")) <= 60_000, words


def test_a_further_track_of_unknown_codec_is_named(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        for _ in range(2):
            stream = output.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for stream in output.streams.video:
            output.mux([*stream.encode(av.VideoFrame.from_ndarray(picture(0, 160, 96), "rgb24")), *stream.encode(None)])
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(b"V_XXXXX".join(data.rsplit(b"V_MPEG4", 1)))
    assert beside_video(tmp_path / "a.mkv") == ("further video track",)


def test_words_paths_and_check_sums_are_no_bytes_in_letters(tmp_path):
    hashes = [hashlib.sha256(bytes([number])).hexdigest() for number in range(30)]
    for number, text in enumerate((
        "\n".join(hashes), "\n".join(each[:32] for each in hashes), " ".join(["semi-transparent-glass_of_water"] * 40),
        "\n".join(f"models/checkpoints/some_long_folder/realistic_vision_v{i}" for i in range(30)), "ACGT" * 300,
        " ".join(["Donaudampfschifffahrtsgesellschaft"] * 30), "hello" * 300,
    )):  # fmt: skip
        (tmp_path / "a").write_bytes(png((b"tEXt", b"note\0" + text.encode())))
        assert beside_photo(tmp_path / "a") == (), number
    levels = np.asarray(Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").resize((48, 48)))
    dark, letters = (levels // 8).tobytes(), base64.b64encode
    for number, text in enumerate((
        letters(levels.tobytes()), letters(dark), base64.encodebytes(dark), dark.hex().encode(),
        dark.hex("\n", 36).encode(), letters(levels.astype("f4").tobytes()[:6912]),
    )):  # fmt: skip
        (tmp_path / "a").write_bytes(png((b"tEXt", b"note\0" + text)))
        assert beside_photo(tmp_path / "a") == ("6,912 bytes in part tEXt",), number


@pytest.mark.parametrize("format", ["BMP", "DIB", "TGA"])
def test_the_table_of_colours_is_no_part_of_unknown_kind(tmp_path, format):
    photo = planted.photo()
    for mode in ("1", "L", "P", "RGB", "LA", "RGBA"):
        if (format != "TGA") == (mode == "LA"):
            continue
        (tmp_path / "a").write_bytes(data := planted.encoded(photo.convert(mode), format))
        assert beside_photo(tmp_path / "a") == (), mode
        if format == "BMP":  # and what stands behind it is
            (start,) = struct.unpack_from("<I", data, 10)
            (tmp_path / "a").write_bytes(
                data[:10] + struct.pack("<I", start + 5000) + data[14:start] + NOISE + data[start:]
            )
            assert any(words.endswith("before its pixels") for words in beside_photo(tmp_path / "a")), mode


def test_coded_pixels_with_starts_of_pictures_by_chance_are_no_thumbnail(tmp_path):
    pixels = np.frombuffer(b"\x80\xc8\xff\xd8\xff\xc0", np.uint8).reshape(1, 3, 2)  # each of a level and its alpha
    levels = np.ascontiguousarray(np.tile(pixels, (64, 22, 1)))
    data = planted.encoded(Image.fromarray(levels, "LA"), "TGA", compression="tga_rle")
    assert data.count(b"\xff\xd8\xff\xc0") > 64
    (tmp_path / "a").write_bytes(data)
    assert beside_photo(tmp_path / "a") == ()


def test_keywords_of_texts_and_second_pictures_of_webp_are_looked_at(tmp_path):
    letters, plain = base64.b64encode(planted.thumbnail()), planted.encoded(planted.photo(), "WEBP")
    second = plain[20:]

    def behind(name: bytes, content: bytes) -> bytes:
        part = name + struct.pack("<I", len(content)) + content
        return b"RIFF" + struct.pack("<I", len(plain) - 8 + len(part)) + plain[8:] + part

    for number, (data, words) in enumerate((
        (png((b"tEXt", letters)), THUMBNAIL), (png((b"tEXt", letters + b"\0x")), THUMBNAIL),
        (png((b"iTXt", b"a\0\0\0en\0" + letters + b"\0hello")), THUMBNAIL), (png((b"zTXt", letters)), THUMBNAIL),
        (png((b"iCCP", letters + b"\0\0" + zlib.compress(bytes(9)))), THUMBNAIL),
        (behind(b"VP8 ", second), f"{len(second):,} bytes in part VP8"),
        (behind(b"ALPH", NOISE), "5,000 bytes in part ALPH"),
        (behind(b"ANMF", bytes(16) + second), f"{len(second) + 16:,} bytes in part ANMF"),
        (webp(b"00dc", NOISE), "5,000 bytes in part 00dc"), (webp(b"idx1", NOISE), "5,000 bytes in part idx1"),
    )):  # fmt: skip
        (tmp_path / "a").write_bytes(data)
        assert beside_photo(tmp_path / "a") == (words,), number
    frames = [planted.photo(), planted.photo().rotate(90)]
    for alpha in (False, True):
        shown = [frame.convert("RGBA" if alpha else "RGB") for frame in frames]
        shown[0].save(tmp_path / "a", "WEBP", save_all=True, append_images=shown[1:])
        assert beside_photo(tmp_path / "a") == ("1 more picture",)


def test_rows_below_the_height_that_a_png_names_are_told(tmp_path):
    """Pillow shows the upper rows, a repaired head all of them; whole pictures have none, of any depth or order."""
    whole = planted.encoded(Image.fromarray(np.random.default_rng(3).integers(0, 256, (160, 90, 3), np.uint8)), "PNG")
    (tmp_path / "a").write_bytes(
        whole[:8] + planted.png_chunk(b"IHDR", whole[16:23] + b"\x50" + whole[24:29]) + whole[33:]
    )
    assert beside_photo(tmp_path / "a") == (f"{80 * 271:,} bytes behind its pixels",)
    for width, height in ((160, 120), (1, 1), (3, 7), (9, 5)):
        for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"):
            planted.photo().convert("I;16" if mode == "I;16" else mode).resize((width, height)).save(
                tmp_path / "a", "PNG"
            )
            assert beside_photo(tmp_path / "a") == (), (width, height, mode)


def test_the_rows_of_an_interlaced_png_are_counted():
    """By the seven passes of the PNG specification: of 9x5 pixels of 8 bits, as each pass has them."""
    passes = ((2, 1), (1, 1), (3, 1), (2, 2), (5, 1), (4, 3), (9, 2))  # columns and rows
    assert sum(columns * rows for columns, rows in passes) == 9 * 5
    assert _rows(struct.pack(">II5B", 9, 5, 8, 0, 0, 0, 1)) == sum((columns + 1) * rows for columns, rows in passes)


def test_what_stands_behind_the_end_of_the_pixels_of_a_gif_is_told(tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (120, 160), np.uint8)  # fills the table of codes, again and again
    for colours in (2, 16, 256):
        for levels in (noise, np.asarray(planted.photo().convert("L"))):
            data = planted.encoded(Image.fromarray(levels // (256 // colours)).quantize(colours), "GIF")
            (tmp_path / "a").write_bytes(data)
            assert beside_photo(tmp_path / "a") == (), colours
            pieces = b"".join(bytes([250]) + NOISE[start : start + 250] for start in range(0, 5000, 250))
            (tmp_path / "a").write_bytes(data[:-2] + pieces + data[-2:])
            (words,) = beside_photo(tmp_path / "a")
            assert words == "5,000 bytes behind its pixels", colours
