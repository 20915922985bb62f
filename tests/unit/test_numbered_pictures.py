"""Pictures of MPEG-1 and MPEG-2 that are gone are told by the numbers of those that are left."""

from pathlib import Path

import av
import pytest
from clips import make_clip

from face_anonymizer.modules.video import files
from face_anonymizer.modules.video.numbered_pictures import NumberedPictures

CODECS = ["mpeg1video", "mpeg2video"]
OPTIONS = {"one after the other": {"g": "12"}, "to later ones": {"g": "12", "bf": "2"}, "long": {"g": "60", "bf": "1"}}


def same(frames, first):
    return frames


def packets_of(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def told(packets: list[bytes]) -> list[int]:
    numbers = NumberedPictures()
    return [place for place, data in enumerate([*packets, b""]) if numbers.refuses(av.Packet(data))]


def starts(packets: list[bytes]) -> list[int]:
    """Where groups begin."""
    return [place for place, data in enumerate(packets) if b"\0\0\1\xb8" in data]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.mkv", "a.avi"])
def test_whole_clips_are_not_damaged(tmp_path, name, codec, options):
    source = make_clip(tmp_path / name, 40, codec=codec, sound=(), options=options)
    assert told(packets_of(source)) == []
    windows = (files.WHOLE,) if options == OPTIONS["long"] else (files.WHOLE, (0.5, 0.4), (0.7, 0.0))
    for number, window in enumerate(windows):
        assert files.rewrite(source, tmp_path / f"{number}.mp4", same, window=window).problems == ()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("codec", CODECS)
def test_pictures_that_are_gone_are_told_where_the_group_ends(tmp_path, codec, options):
    packets = packets_of(make_clip(tmp_path / "a.ts", 40, codec=codec, sound=(), options=options))
    second = next(iter(starts(packets)[1:]), len(packets))
    for place in range(1, second - 3):  # what is gone at the end does not show
        assert told([*packets[:place], *packets[place + 1 :]]) == [second - 1]
    assert told([*packets[:2], *packets[5:]]) == [second - 3]


@pytest.mark.parametrize("options", [*OPTIONS.values(), {"g": "60", "bf": "2"}], ids=[*OPTIONS, "long, to later ones"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_track_may_be_cut_off_anywhere(tmp_path, codec, options):
    """What is missing then is stored behind a picture that is shown later. What is gone before that is told."""
    packets = packets_of(make_clip(tmp_path / "a.ts", 40, codec=codec, sound=(), options=options))
    for end in range(2, len(packets)):
        assert told(packets[:end]) == [], end
    assert told([*packets[:3], *packets[4:9]]), "a picture in the middle"


@pytest.mark.parametrize("codec", CODECS)
def test_the_start_of_a_group_that_is_gone_is_told(tmp_path, codec):
    packets = packets_of(
        make_clip(tmp_path / "a.ts", 40, codec=codec, sound=(), options=OPTIONS["one after the other"])
    )
    second = starts(packets)[1]
    assert told([*packets[: second - 2], *packets[second + 1 :]])
    assert told([*packets[:second], *packets[second + 1 :]])


def test_fields_and_cut_starts_are_no_damage():
    def picture(number, head=b"", kind=2):
        return head + b"\0\0\1\0" + bytes([number >> 2 & 255, number << 6 & 255 | kind << 3]) + b"rest"

    group = b"\0\0\1\xb8"
    fields = [picture(0, group), picture(0), picture(2), picture(2), picture(1), picture(1), picture(0, group)]
    both = [picture(0, group) + picture(0), picture(1) + picture(1)]
    assert told(fields) == told(both) == []
    assert told(fields[:4] + fields[6:]) == [4]
    cut = [picture(2, group), picture(5), picture(3), picture(4)]  # 0 and 1 refer to what an editor cut away
    assert told([*cut, *cut]) == []
    headless = [picture(number % 12, kind=1 if number % 12 == 0 else 2) for number in range(36)]
    assert told([picture(0, group), *headless[1:]]) == [], "groups may have no header"
    assert told([picture(0, group), *(picture(number % 1024) for number in range(1, 3000))]) == []
    assert told([picture(7), picture(9), *cut]) == [], "it began in the middle of a group"


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_a_track_that_begins_in_the_middle_is_named(tmp_path, codec):
    """As the sound of a recording that starts in another programme."""
    first, second = (make_clip(tmp_path / f"{len(sound)}.ts", 30, codec=codec, sound=sound) for sound in ((), ("aac",)))
    source = tmp_path / "a.ts"
    alone = Path(first).read_bytes()
    nothing = (b"\x47\x1f\xff\x10" + bytes(184)) * 45_000  # more than FFmpeg looks at before it says what there is
    source.write_bytes(alone + nothing + Path(second).read_bytes() + alone * (400_000 // len(alone)))
    with av.open(str(source)) as container:
        assert len(container.streams) == 1, "it is not known where the file begins"
    written = files.rewrite(str(source), tmp_path / "b.mp4", same)
    assert written.frames >= 60 and written.left_out == ("a track that begins in the middle of the file",)


def test_a_broadcast_with_wiped_packets_is_not_whole(tmp_path):
    source = Path(make_clip(tmp_path / "a.ts", 60, codec="mpeg2video", sound=()))
    assert files.rewrite(source, tmp_path / "b.mp4", same).problems == ()
    data = bytearray(source.read_bytes())
    for place in range(5, 15):  # what is in them is gone, they themselves are in turn
        data[place * 188 + 12 : (place + 1) * 188] = bytes(176)
    source.write_bytes(data)
    written = files.rewrite(source, tmp_path / "c.mp4", same)
    assert written.frames < 60 and "damaged at 2 places" in " ".join(written.problems)
