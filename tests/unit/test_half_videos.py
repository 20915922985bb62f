"""Folder runs: what is done and yet not all right (half a video, a face left open) is told, and ends with status 1."""

import contextlib
import json

import pytest
from PIL import Image
from test_proof import verification

from face_anonymizer.modules.faces.report import Report
from face_anonymizer.modules.runs import anonymize_folder, folder_proof, folder_report
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.modules.runs.jobs import VIDEO_SUFFIXES, find_sources
from face_anonymizer.tools.attacks import stand_in

FACE = stand_in.FACE
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


SEEN = {"images": [], "words": "as another face of the picture"}


@pytest.mark.parametrize(
    ("action", "more", "status", "said"),
    [
        ("redacted", {}, True, ""),
        ("kept", {}, False, "RED: a.png: 1 left as it is"),
        ("broken", {}, False, "RED: a.png: 1 left as it is"),
        ("kept by the user", {}, True, "amber: a.png: 1 kept by the user"),
        ("anonymized", {}, True, "amber: a.png: 1 not verified"),
        ("anonymized", {"verification": verification(0.9)}, True, ""),
        ("anonymized", {"verification": verification(0.3)}, False, "RED: a.png: 1 same person"),
        ("anonymized", {"verification": {"verdict": "failed", "reason": ""}}, False, "RED: a.png: 1 failed"),
        ("anonymized", {"verification": {"verdict": "not measurable"}}, True, "amber: a.png: 1 not measurable"),
        ("kept by the user", {"verdict": "unchanged"}, False, "RED: a.png: 1 shown as it was, kept by the user"),
        ("redacted", {"elsewhere": [FACE]}, False, "RED: a.png: 1 seen elsewhere"),
        ("redacted", {"doubts": [SEEN | {"kind": "another person"}]}, False, "RED: a.png: as another face"),
        ("redacted", {"doubts": [SEEN | {"kind": "not one person"}]}, True, "amber: a.png: as another face"),
    ],
)
def test_what_the_headline_shows_red_is_not_all_done(tmp_path, monkeypatch, action, more, status, said):
    """Photos through a whole run, with a stand-in for the server that says what became of the face."""
    (tmp_path / "in").mkdir()
    Image.new("RGB", (48, 48), "white").save(tmp_path / "in" / "a.png")
    whole = {name: more[name] for name in ("elsewhere", "doubts") if name in more}
    of_face = {name: value for name, value in more.items() if name not in whole}
    told = stand_in.FACE | {"action": action, "reason": "a reason", **of_face}
    monkeypatch.setattr(stand_in, "REPORT", stand_in.REPORT | {"actions": {action: 1}, "faces": [told]} | whole)
    monkeypatch.setattr(anonymize_folder, "use_servers", lambda urls, say: contextlib.nullcontext([stand_in.StandIn()]))
    monkeypatch.setattr(anonymize_folder, "check_server", lambda *_: None)
    options = FolderOptions(paths=[tmp_path / "in"], output=tmp_path / "out", redact=True, servers=["http://stand-in"])
    shown, lines = [], []
    for _ in range(2):  # the second time all is done already
        assert anonymize_folder.anonymize_folder(options, shown.append, lines.append) is status
        assert [line for line in lines if line.startswith(("RED", "amber"))] == [s for s in lines if said and said in s]
        assert said in "\n".join(lines) and (said or not any("look" in line for line in lines))
        lines.clear()
    left = action in ("kept", "broken")
    assert folder_report.left_open(shown[0]) == (["a.png"] if left else [])
    assert folder_report.left_open(shown[0], kept_on_purpose=True) == (["a.png"] if action == "broken" else [])


def test_many_files_that_need_a_look_are_cut_red_ones_first_and_what_is_kept_on_purpose_is_no_red():
    def photo(name, action):
        told = Report(1, 48, 48).to_dict() | {"faces": [FACE | {"action": action}], "actions": {action: 1}}
        summary = folder_report.summarize(told, "photo")
        return {"source": name, "outcome": "done", "kind": "photo", "result": "x", "seconds": 1.0, **summary}

    files = [photo(f"{i:02}.png", "anonymized") for i in range(33)] + [photo("z.png", "kept")]
    made = folder_report.make_report({}, files)
    proof = folder_proof.prove(made)
    lines = folder_proof.lines_of(proof, made)
    assert lines[0].startswith("1 of 34 faces needs a look") and lines[1] == "RED: z.png: 1 left as it is"
    assert len(lines) == 32 and lines[-1] == "and 4 more files, in face_anonymizer_report.html"
    assert folder_proof.red_files(proof) == [34] and folder_proof.red_files(proof, kept_on_purpose=True) == []


@pytest.mark.parametrize("suffix", ["mts", "m2ts", "3gp", "ogv", "MTS", "mpg", "wmv", "flv"])
def test_videos_of_camcorders_and_phones_are_sources(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a.{suffix}").write_bytes(b"x")
    (source,) = find_sources([tmp_path / "in"], tmp_path / "out").sources
    assert source.kind == "video" and f".{suffix.lower()}" in VIDEO_SUFFIXES
