"""Lists of triples: both forms, both sets of names, and everything that can be wrong with them."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from training_sets import OFFICIAL, make_set, write_list, write_pictures

from face_anonymizer.modules.training.triples import UnusablePicture, load_picture, read_triples


def write_shard(file, folder, lines, names=None):
    with tarfile.open(file, "w") as shard:
        for number, line in enumerate(lines):
            for role, path in line.items():
                shard.add(folder / path, f"set/{number:04d}.{(names or {}).get(role, role)}.png")
            extra = tarfile.TarInfo(f"set/{number:04d}.json")
            extra.size = 2
            shard.addfile(extra, io.BytesIO(b"{}"))
    return file


def test_pictures_of_a_list_are_kept_once(tmp_path):
    lines = write_pictures(tmp_path, 2)
    lines.append({**lines[0], "driving": lines[1]["truth"], "person": 3})
    triples = read_triples([write_list(tmp_path / "list.jsonl", lines)])
    assert len(triples) == 3
    assert len(triples.pictures) == 6
    assert triples.indices.tolist() == [[0, 1, 2], [3, 4, 5], [0, 5, 2]]
    assert triples.pictures[4].path == str(tmp_path / "01_driving.png")


def test_names_of_the_official_code(tmp_path):
    lines = write_pictures(tmp_path, 2)
    official = [{OFFICIAL[role]: path for role, path in line.items()} for line in lines]
    ours, theirs = (read_triples([write_list(tmp_path / "list.jsonl", form)]) for form in (lines, official))
    assert ours.pictures == theirs.pictures
    assert (ours.indices == theirs.indices).all()


@pytest.mark.parametrize("names", [None, OFFICIAL], ids=["own names", "official names"])
def test_shards_hold_the_same_pictures(tmp_path, names):
    lines = write_pictures(tmp_path, 3)
    listed = read_triples([write_list(tmp_path / "list.jsonl", lines)])
    parts = {"a.tar": lines[:2], "b.tar": lines[2:]}
    sharded = read_triples([write_shard(tmp_path / name, tmp_path, part, names) for name, part in parts.items()])
    assert (sharded.indices == listed.indices).all()
    for ours, theirs in zip(sharded.pictures, listed.pictures, strict=True):
        assert (load_picture(ours, 32) == load_picture(theirs, 32)).all()


def test_missing_picture(tmp_path):
    data = make_set(tmp_path)
    (tmp_path / "07_driving.png").unlink()
    (tmp_path / "09_truth.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"07_driving.png is missing \(.*triples.jsonl line 8 .* 1 more"):
        read_triples([data])


def test_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.jsonl is missing"):
        read_triples([tmp_path / "nowhere.jsonl"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"source": "a.png", "driving": "b.png"}', r"line 2 has no truth or ground_truth"),
        ('{"source": "a.png", ', r"line 2 is no JSON"),
        ('["a.png", "b.png", "c.png"]', r"line 2 holds a list"),
        ('{"source": 1, "driving": "b.png", "truth": "c.png"}', r"line 2 has no source"),
    ],
)
def test_bad_line(tmp_path, line, message):
    data = make_set(tmp_path, 1)
    data.write_text(f"{data.read_text()}{line}\n")
    with pytest.raises(ValueError, match=message):
        read_triples([data])


def test_empty_list(tmp_path):
    with pytest.raises(ValueError, match=r"No triple in .*empty.jsonl"):
        read_triples([write_list(tmp_path / "empty.jsonl", [])])


def test_bad_shards(tmp_path):
    lines = write_pictures(tmp_path, 2)
    del lines[1]["truth"]
    with pytest.raises(ValueError, match=r"sample set/0001 has no truth image.*0001.truth.png"):
        read_triples([write_shard(tmp_path / "a.tar", tmp_path, lines)])
    (tmp_path / "b.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(ValueError, match=r"b.tar is no tar file"):
        read_triples([tmp_path / "b.tar"])


@pytest.mark.parametrize("content", [b"", b"no picture", "half"], ids=["empty", "text", "half"])
def test_unreadable_picture(tmp_path, content):
    data = make_set(tmp_path, 1)
    file = tmp_path / "00_truth.png"
    file.write_bytes(file.read_bytes()[:200] if content == "half" else content)
    picture = read_triples([data]).pictures[2]
    with pytest.raises(UnusablePicture, match=r"00_truth.png is unreadable .*triples.jsonl line 1 names it"):
        load_picture(picture, 32)


@pytest.mark.parametrize("size", [(32, 24), (40, 40)])
def test_another_size(tmp_path, size):
    data = make_set(tmp_path, 1)
    Image.new("RGB", size).save(tmp_path / "00_driving.png")
    picture = read_triples([data]).pictures[1]
    with pytest.raises(UnusablePicture, match=rf"is {size[0]}x{size[1]} pixels, but all are 32x32.*line 1"):
        load_picture(picture, 32)


def test_first_picture_decides_the_size(tmp_path):
    data = make_set(tmp_path, 1)
    pictures = read_triples([data]).pictures
    assert load_picture(pictures[0], None).shape == (32, 32, 3)
    Image.new("RGB", (36, 36)).save(pictures[0].path)
    with pytest.raises(UnusablePicture, match=r"36x36 pixels, but a square with a multiple of 8"):
        load_picture(pictures[0], None)


def test_gray_and_transparent_pictures(tmp_path):
    data = make_set(tmp_path, 1)
    Image.new("L", (32, 32), 80).save(tmp_path / "00_source.png")
    Image.new("RGBA", (32, 32), (1, 2, 3, 0)).save(tmp_path / "00_driving.png")
    pictures = read_triples([data]).pictures
    assert np.unique(load_picture(pictures[0], 32)).tolist() == [80]
    assert load_picture(pictures[1], 32)[0, 0].tolist() == [1, 2, 3]


def test_fingerprint_follows_the_files(tmp_path):
    data = make_set(tmp_path, 2)
    before = read_triples([data]).fingerprint()
    assert read_triples([data]).fingerprint() == before
    Image.new("RGB", (32, 32)).save(tmp_path / "01_truth.png")
    assert read_triples([data]).fingerprint() != before
