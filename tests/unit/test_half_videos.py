"""Folder runs: what is done and yet not all right (half a video, a face left open) is told, and ends with status 1."""

import contextlib
import json

import pytest
from PIL import Image

from face_anonymizer.modules.faces.report import Report
from face_anonymizer.modules.runs import anonymize_folder, folder_report
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.modules.runs.jobs import VIDEO_SUFFIXES, find_sources
from face_anonymizer.tools.attacks import stand_in

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


@pytest.mark.parametrize(
    "action, status", [("redacted", True), ("kept", False), ("broken", False), ("kept by the user", True)]
)
def test_a_face_left_open_is_not_all_done(tmp_path, monkeypatch, action, status):
    """Photos through a whole run, with a stand-in for the server that says what became of the face."""
    (tmp_path / "in").mkdir()
    Image.new("RGB", (48, 48), "white").save(tmp_path / "in" / "a.png")
    face = stand_in.FACE | {"action": action, "reason": "a reason"}
    monkeypatch.setattr(stand_in, "REPORT", stand_in.REPORT | {"actions": {action: 1}, "faces": [face]})
    monkeypatch.setattr(anonymize_folder, "use_servers", lambda urls, say: contextlib.nullcontext([stand_in.StandIn()]))
    monkeypatch.setattr(anonymize_folder, "check_server", lambda *_: None)
    options = FolderOptions(paths=[tmp_path / "in"], output=tmp_path / "out", redact=True, servers=["http://stand-in"])
    shown = []
    for _ in range(2):  # the second time all is done already
        assert anonymize_folder.anonymize_folder(options, shown.append, lambda text: None) is status
    assert folder_report.left_open(shown[0]) == ([] if status else ["a.png"])
    assert folder_report.left_open(shown[0], kept_on_purpose=True) == (["a.png"] if action == "broken" else [])


@pytest.mark.parametrize("suffix", ["mts", "m2ts", "3gp", "ogv", "MTS", "mpg", "wmv", "flv"])
def test_videos_of_camcorders_and_phones_are_sources(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a.{suffix}").write_bytes(b"x")
    (source,) = find_sources([tmp_path / "in"], tmp_path / "out").sources
    assert source.kind == "video" and f".{suffix.lower()}" in VIDEO_SUFFIXES
