"""Folder runs: a video that could not be read to its end is done, is told, and ends the command with status 1."""

import json

import pytest

from face_anonymizer.modules.faces.report import Report
from face_anonymizer.modules.runs import folder_report
from face_anonymizer.modules.runs.jobs import VIDEO_SUFFIXES, find_sources

HALF = Report(4, 90, 160, incomplete="4 of 24 frames", notes=("left out: subtitle track",))
WHOLE = Report(24, 90, 160)


def listed(name: str, report: Report) -> dict:
    summary = folder_report.summarize(json.loads(report.to_json()), "video")
    return {"source": name, "outcome": "done", "kind": "video", "result": "x.mp4", "seconds": 1.0, **summary}


def test_half_a_video_is_named_in_report_and_table():
    report = folder_report.make_report({}, [listed("a.mp4", HALF), listed("b.mp4", WHOLE)])
    assert report["files"][0]["incomplete"] == "4 of 24 frames"
    assert report["files"][0]["notes"] == ["left out: subtitle track"]
    assert "incomplete" not in report["files"][1]
    assert folder_report.incomplete(report) == ["a.mp4"]
    table = folder_report.format_table(report)
    assert "NOT WHOLE: 4 of 24 frames" in table and table.count("NOT WHOLE") == 1
    many = folder_report.make_report({}, [listed("a.mp4", HALF), *(listed(f"{i}.mp4", WHOLE) for i in range(40))])
    assert "a.mp4" in folder_report.format_table(many)


@pytest.mark.parametrize("suffix", ["mts", "m2ts", "3gp", "ogv", "MTS", "mpg", "wmv", "flv"])
def test_videos_of_camcorders_and_phones_are_sources(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a.{suffix}").write_bytes(b"x")
    (source,) = find_sources([tmp_path / "in"], tmp_path / "out").sources
    assert source.kind == "video" and f".{suffix.lower()}" in VIDEO_SUFFIXES
