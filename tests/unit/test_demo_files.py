"""Files that the demonstration model paints without being asked for by name: the pack's samples, by their contents."""

import shutil
from pathlib import Path

import pytest

from face_anonymizer.modules.photos.sample_files import CLIP, PICTURES
from face_anonymizer.modules.runs.demo import check_demo
from face_anonymizer.modules.runs.jobs import PHOTO, VIDEO, PlanRefused, Source

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = [ROOT / name for name in (*PICTURES.values(), CLIP)]


def test_samples_are_known_by_their_contents_whatever_they_are_called(tmp_path):
    copied = [tmp_path / "holiday.jpg", tmp_path / "clip.mp4"]
    for target, sample in zip(copied, (SAMPLES[0], SAMPLES[-1]), strict=True):
        shutil.copy(sample, target)
    sources = [Source(path.name, path, kind) for path, kind in zip(copied, (PHOTO, VIDEO), strict=True)]
    check_demo(sources, [*SAMPLES, tmp_path / "not there.jpg"])
    check_demo([], [])


@pytest.mark.parametrize(
    "change", [lambda whole: b"", lambda whole: whole[:-1] + bytes([whole[-1] ^ 1])], ids=["other", "a bit"]
)
def test_any_other_file_is_refused_with_the_ways_out(tmp_path, change):
    own = tmp_path / "synthetic_group.jpg"
    own.write_bytes(change(SAMPLES[0].read_bytes()) or b"else")
    sources = [Source("sample", SAMPLES[0], PHOTO), Source(own.name, own, PHOTO)]
    with pytest.raises(PlanRefused, match=r"synthetic_group[.]jpg is a file of your own") as refused:
        check_demo(sources, SAMPLES)
    for way in ("--redact covers faces and needs no model", "get_models.py` downloads it once", "--demo takes demo"):
        assert way in str(refused.value)
