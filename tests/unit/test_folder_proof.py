"""Page and table of a folder run: no names in them, the same after a stop, and nobody else's file is overwritten."""

import json
import os

import pytest
from test_proof import HOSTILE, cells, face, verification

from face_anonymizer.modules.runs import folder_proof
from face_anonymizer.modules.runs import folder_report as reports
from face_anonymizer.modules.runs.anonymous_report import without_names
from face_anonymizer.modules.runs.journal_lines import check_summary

SETTINGS = {"task": "anonymize", "degree": 1.25, "model": "demo", "model_sha256": "c" * 64, "pack": "0.1.0"}
NODE = {"images": 1, "width": 64, "height": 48, "actions": {"anonymized": 2}}


def line(name: str, *faces: dict, kind: str = "photo", day: str = "2026-03-01", **more) -> dict:
    """A file of a report that is done."""
    summary = reports.summarize(NODE | {"faces": list(faces)}, kind)
    known = {"source": name, "result": f"{name}_x.png", "result_sha256": name[0] * 64, "date": day, "seconds": 1.0}
    return {"outcome": "done", "kind": kind, **known, **summary, **more}


def files() -> list[dict]:
    clip = [face(image=i, track=0, verification=verification(0.9 - i / 100)) for i in range(5)]
    return [
        line("Karin Mueller.jpg", face(), face(number=2, verification=verification(0.3)), elsewhere=1),
        line("b.mp4", *clip, kind="video", day="2026-03-02", notes=["2 subtitle tracks left out"]),
        {"source": "Karin Mueller/c.jpg", "outcome": "failed", "error": "OSError: cannot write KARIN MUELLER_x.png"},
        {"source": "d.jpg", "outcome": "failed", "error": "PermissionError: '/home/mueller/d'"},
        {"source": "e.txt", "outcome": "skipped", "error": "neither one nor the other"},
        {"source": "f.jpg", "outcome": "pending"},
    ]


def test_page_and_table_name_nobody_and_have_every_face(tmp_path):
    report = reports.make_report(SETTINGS, files())
    folder_proof.write(folder_proof.prove(report), tmp_path)
    page, table = ((tmp_path / name).read_bytes() for name in (folder_proof.PAGE_NAME, folder_proof.TABLE_NAME))
    for told in (page, table):
        lower = told.decode().casefold()
        assert not [word for word in ("karin", "mueller", ".jpg", ".mp4", "/home") if word in lower]
    assert [row[1].split()[1] for row in cells(page)] == ["same", "seen", "stranger", "stranger"]
    assert b"2026-03-01 to 2026-03-02" in page and b"K" * 64 in page and b"c" * 64 in page
    assert b"2 subtitle tracks left out" in page and b"<dt>degree<dd>1.25" in page and b"person 1" in page
    assert [one["name"] for one in report["recognisers"]] == ["dlib ResNet", "FaceRes"]
    number = next(file["number"] for file in report["files"] if file["source"] == "b.mp4")
    assert f"file {number}, frames 1 to 5" in page.decode()


def test_a_run_that_was_stopped_gives_the_same_page_and_so_does_an_anonymous_one():
    """Whatever order the files came in, and whatever time they took."""
    whole = reports.make_report(SETTINGS, files())
    again = json.loads(json.dumps(files()[::-1]))
    for file in again:
        file |= {"seconds": 9.0} if "seconds" in file else {}
    for other in (reports.make_report(SETTINGS, again), without_names(whole, {"b.mp4": "0" * 64})):
        for make in (folder_proof.to_html, folder_proof.to_csv):
            assert make(folder_proof.prove(other)) == make(folder_proof.prove(whole))


def test_only_what_an_earlier_run_wrote_is_replaced(tmp_path):
    proof = folder_proof.prove(reports.make_report(SETTINGS, files()))
    for name, is_ours in folder_proof.NAMES.items():
        path = tmp_path / name
        assert is_ours(path)
        folder_proof.write(proof, tmp_path)
        assert is_ours(path) and not list(tmp_path.glob(".*"))
        path.write_text("<!doctype html><title>mine</title>")
        assert not is_ours(path)
        path.unlink()
        path.symlink_to(tmp_path / "nowhere")
        assert not is_ours(path)
        path.unlink()
        os.mkfifo(path)
        assert not is_ours(path)
        path.unlink()


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    before = reports.make_report(SETTINGS, files()[:1])
    folder_proof.write(folder_proof.prove(before), tmp_path)
    old = (tmp_path / folder_proof.PAGE_NAME).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("face_anonymizer.modules.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder_proof.write(folder_proof.prove(reports.make_report(SETTINGS, files())), tmp_path)
    assert (tmp_path / folder_proof.PAGE_NAME).read_bytes() == old and len(list(tmp_path.iterdir())) == 2


def test_a_forged_journal_stays_text():
    forged = line("a.jpg", face(action=HOSTILE, reason=HOSTILE, verification=HOSTILE), notes=[HOSTILE])
    forged["result_sha256"] = "a" * 64
    check_summary(forged)
    page = folder_proof.to_html(folder_proof.prove(reports.make_report(SETTINGS, [forged]))).decode()
    assert "<script" not in page and page.count("&lt;script") == 3
    with pytest.raises(ValueError, match="date is"):
        check_summary(forged | {"date": HOSTILE})


def test_what_a_report_says_against_its_result_reaches_page_and_table():
    doubt = {"kind": "not compared", "images": [0], "words": "the picture is another one"}
    told = line("a.jpg", face())
    told |= reports.summarize(NODE | {"faces": [face()], "notes": [doubt["words"]], "doubts": [doubt]}, "photo")
    check_summary(told)
    made = folder_proof.prove(reports.make_report(SETTINGS, [told]))
    assert made.judgement == "look" and b"the picture is another one" in folder_proof.to_csv(made)
    for wrong in ("x", ["x"], [{"kind": 1, "words": "x"}]):
        with pytest.raises(ValueError, match="doubts is"):
            check_summary(told | {"doubts": wrong})


def test_what_a_run_does_not_know_is_said():
    settings = {name: value for name, value in SETTINGS.items() if name != "model_sha256"}  # of a model of a server
    undated = [{key: value for key, value in file.items() if key != "date"} for file in files()]
    page = folder_proof.to_html(
        folder_proof.prove(reports.make_report(settings, undated), ("a demonstration",))
    ).decode()
    assert page.count("not known to this report") == 2 and "<li>a demonstration" in page
    redacted = folder_proof.prove(reports.make_report({"task": "redact"}, []))
    assert redacted.made_with.model == () and "There is no result yet." in folder_proof.to_html(redacted).decode()


def test_what_a_server_made_is_by_its_pack_and_model_not_by_ours():
    makers = {"comfyui": "0.33.0", "pack": "9.9.9", "model_sha256": "ab" * 32}
    settings = {"task": "anonymize", "model": "face-anon-simple", "pack": "0.1.0"}

    def prove(*made_by):
        done = [file | {"made_by": made} for file, made in zip(files(), made_by, strict=False)]
        return folder_proof.prove(reports.make_report(settings, done)).made_with

    assert (prove(makers, makers).version, prove(makers).model_sha256) == ("9.9.9", ("ab" * 32,))
    for other in ({**makers, "pack": "not known"}, {**makers, "pack": "9.9.8"}, {"pack": 7}):
        assert prove(makers, other).version == "not known to this report"
    assert prove({"pack": "not known", "model_sha256": "not known"}).model_sha256 == (None,)
