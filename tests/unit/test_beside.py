"""What files hold beside the picture that they show, at which nobody looks who verifies them."""

import av
import planted_photos as planted
import pytest
from clips import make_clip, picture
from PIL import Image

from face_anonymizer.modules.photos.beside import pictures_beside as beside_photo
from face_anonymizer.modules.video.beside import pictures_beside as beside_video

THUMBNAIL, SECOND, HIDDEN = "a small copy (thumbnail)", "1 more picture", "colours under what is transparent"
FOUND = {"b.mpo": SECOND, "e.tif": SECOND, **dict.fromkeys(("hidden.png", "hidden.webp", "hidden.tif"), HIDDEN)}


@pytest.mark.parametrize("name", planted.PLANTED)
def test_every_hidden_picture_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(planted.PLANTED[name]())
    assert beside_photo(tmp_path / name) == (FOUND.get(name, THUMBNAIL),)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_a_photo_alone_holds_nothing_else(tmp_path, format):
    (tmp_path / "a").write_bytes(planted.encoded(planted.photo(), format))
    assert beside_photo(tmp_path / "a") == ()


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


def test_bytes_that_only_look_like_pictures_do_not_take_hours(tmp_path):
    """Each start was read to the end of the file; a megabyte of them took 15 seconds."""
    (tmp_path / "a.jpg").write_bytes(planted.encoded(planted.photo(), "JPEG") + b"\xff\xd8\xff\xe0" * 2_000_000)
    assert beside_photo(tmp_path / "a.jpg") == (THUMBNAIL,)
