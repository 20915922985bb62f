"""--anonymous-report, --allow-uncovered and the defaults of a run over folders."""

import json
from pathlib import Path

import pytest

from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.runs import anonymize_folder
from face_anonymizer.modules.runs.anonymous_report import without_names
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.modules.runs.jobs import Found, Source
from face_anonymizer.modules.runs.journal import Journal

ROOT = Path(__file__).resolve().parents[2]


def options(**more) -> FolderOptions:
    return FolderOptions(paths=[Path("photos")], output=Path("out"), **more)


def test_a_photo_called_1_takes_no_reason_from_others():
    error = "It cannot be read: it is no photo, or not one of 8 or 16 bits"
    files = [{"source": "1.jpg", "outcome": "done"}, {"source": "b.jpg", "outcome": "failed", "error": error}]
    told = without_names({"files": files}, {})["files"]
    assert [file["error"] for file in told if "error" in file] == [error]
    files[1]["error"] = "OSError: 1_redacted.png"
    told = without_names({"files": files}, {})["files"]
    assert ["names files" in file["error"] for file in told if "error" in file] == [True]


def test_no_name_is_left_in_an_anonymous_report(tmp_path):
    """Not of a source, not of a result, not of a folder, and not in the text of an error."""
    photos = tmp_path / "photos"
    (photos / "Station 7").mkdir(parents=True)
    (photos / "Station 7" / "Karin Mueller.jpg").write_bytes(b"picture")
    (photos / "Karin notes.txt").write_bytes(b"notes")
    done = {"outcome": "done", "kind": "photo", "seconds": 1.0, "faces": [], "actions": {}}
    report = {
        "schema": "x",
        "settings": {},
        "totals": {},
        "files": [
            {"source": "Station 7/Karin Mueller.jpg", "result": "Station 7/Karin Mueller_redacted.png", **done},
            {"source": "Station 7/b.jpg", "outcome": "failed", "error": "OSError: /x/KARIN MUELLER_redacted.png"},
            {"source": "Karin notes.txt", "outcome": "skipped", "error": "neither a photo nor a video"},
            {"source": "Karin closed", "outcome": "failed", "error": "The folder cannot be read: Permission denied"},
        ],
    }
    sources = [Source("Station 7/Karin Mueller.jpg", photos / "Station 7" / "Karin Mueller.jpg", "photo")]
    found = Found(sources, {"Karin notes.txt": "neither"}, {}, {"Karin closed": "x"})
    with Journal(tmp_path / "out", {}) as journal:
        line = {"source": sources[0].name, "sha256": "1" * 64, "result": report["files"][0]["result"]}
        journal.append({**line, "result_sha256": "2" * 64})
        digests = anonymize_folder.find_digests(FolderOptions(paths=[photos], output=tmp_path / "out"), found, journal)
    told = without_names(report, digests)
    text = json.dumps(told).casefold()
    assert not [word for word in ("karin", "mueller", "station", ".jpg", ".txt", str(tmp_path)) if word in text]
    files = {file["source"]: file for file in told["files"]}
    assert files["sha256:" + "1" * 64]["result"] == "sha256:" + "2" * 64
    assert [file["outcome"] for file in files.values()].count("skipped") == 1 and len(files) == 4
    notes = next(file for file in files.values() if file["outcome"] == "skipped")
    assert notes["source"].startswith("sha256:") and notes["error"] == "neither a photo nor a video"
    assert report["files"][0]["source"] == "Station 7/Karin Mueller.jpg", "what is printed has the names"


def test_leaving_faces_open_needs_a_second_word():
    with pytest.raises(ValueError, match="--allow-uncovered"):
        options(fallback="keep")
    assert options(fallback="keep", allow_uncovered=True).fallback == "keep"
    assert options(fallback="mosaic", allow_uncovered=True).fallback == "mosaic"


def test_the_command_looks_as_closely_as_the_nodes():
    assert options().min_score == DetectSettings().min_score == 0.3


def test_thorough_and_min_score_are_the_same_in_all_graphs():
    """And as the command line has them, so that nobody who changes from one to the other finds fewer faces: photos are
    searched thoroughly, clips are not, where tracks fill what is lost for some frames."""
    prompts = {path.stem: json.loads(path.read_text()) for path in (ROOT / "workflows" / "api").glob("*.json")}
    assert len(prompts) >= 9
    for name, prompt in prompts.items():
        thorough = options().thorough == ("photos" if "video" not in name else "all")
        for node in prompt.values():
            if node["class_type"] in ("FaceAnonDetectFaces", "FaceAnonTrackVideo"):
                assert node["inputs"]["thorough"] is thorough, name
                assert node["inputs"]["min_score"] == options().min_score == DetectSettings().min_score, name
