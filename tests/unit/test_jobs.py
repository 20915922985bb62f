"""modules/runs/jobs.py and modules/runs/journal.py: what is read, how results are called, and what survives a kill."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from face_anonymizer.modules import files
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs import jobs
from face_anonymizer.modules.runs import journal as journals

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


SETTINGS = {"task": "redact", "mode": "solid"}
SUFFIXES = {"photo": ".png", "video": ".mp4"}
HOLD_LOCK = (
    "import _pack, sys, time; from face_anonymizer.modules.runs import journal; "
    "j = journal.Journal(sys.argv[1], {}); print('held', flush=True); time.sleep(60)"
)


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@contextlib.contextmanager
def not_root() -> Iterator[None]:
    """Whom chmod holds off: the tests' user, or `nobody` where that is root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def plan(*names: str, known: dict | None = None) -> dict[str, str]:
    sources = [
        jobs.Source(name, Path(name), "video" if name.lower().endswith(".mp4") else "photo") for name in sorted(names)
    ]
    return {job.source.name: job.result for job in jobs.plan_jobs(sources, "_redacted", SUFFIXES, known)}


# What is read ----------------------------------------------------------------------------------------------------


def test_folders_are_read_with_all_below(tmp_path):
    photos = make_files(
        tmp_path / "photos",
        *("b.JPG", "a.png", "sub/deep/c.webp", "clip.MOV", "notes.txt", ".hidden.jpg", ".git/d.jpg"),
        *("out/a_redacted.png", "earlier/face_anonymizer_journal.jsonl", "earlier/a_redacted.png"),
    )
    (photos / "sub" / "loop").symlink_to(photos, target_is_directory=True)
    (photos / "linked.jpg").symlink_to(photos / "b.JPG")
    (photos / "gone.jpg").symlink_to(photos / "nothing.jpg")
    single = make_files(tmp_path, "one.tiff") / "one.tiff"
    found = jobs.find_sources([photos, single], photos / "out")
    assert [(source.name, source.kind) for source in found.sources] == [
        ("a.png", "photo"),
        ("b.JPG", "photo"),
        ("clip.MOV", "video"),
        ("linked.jpg", "photo"),
        ("one.tiff", "photo"),
        ("sub/deep/c.webp", "photo"),
    ]
    assert found.skipped == {
        ".git/": "hidden",
        ".hidden.jpg": "hidden",
        "earlier/": "an output folder of an earlier run",
        "gone.jpg": "a broken link",
        "notes.txt": "neither a photo nor a video",
        "out/": "the output folder",
        "sub/loop/": "a link to a folder",
    }
    assert not found.unreadable


def test_a_folder_that_cannot_be_read_is_told(public_folder):
    make_files(public_folder, "a.jpg", "closed/b.jpg")
    (public_folder / "closed").chmod(0)
    with not_root():
        found = jobs.find_sources([public_folder], public_folder / "out")
    assert [source.name for source in found.sources] == ["a.jpg"]
    assert found.unreadable == {"closed": "The folder cannot be read: Permission denied"}


@pytest.mark.parametrize("output", ["photos", "."])
def test_results_must_not_land_in_a_folder_that_is_read(tmp_path, output):
    photos = make_files(tmp_path / "photos", "a.jpg")
    with pytest.raises(jobs.PlanRefused, match="--output outside"):
        jobs.find_sources([photos], tmp_path / output)


def test_missing_paths_and_sources_of_one_name_are_refused(tmp_path):
    make_files(tmp_path, "one/a.jpg", "two/a.jpg")
    with pytest.raises(jobs.PlanRefused, match=r"none\.jpg"):
        jobs.find_sources([tmp_path / "none.jpg"], tmp_path / "out")
    with pytest.raises(jobs.PlanRefused, match=r"one/a\.jpg, .*two/a\.jpg"):
        jobs.find_sources([tmp_path / "one", tmp_path / "two"], tmp_path / "out")


# How results are called ------------------------------------------------------------------------------------------


def test_results_keep_the_tree_and_sources_of_one_stem_are_told_apart():
    assert plan("sub/x.jpg", "x.jpg", "x.mp4", "y.a.jpg") == {
        "sub/x.jpg": "sub/x_redacted.png",
        "x.jpg": "x_redacted.png",
        "x.mp4": "x_redacted.mp4",
        "y.a.jpg": "y.a_redacted.png",
    }
    assert plan("d/a.jpg", "d/a.png", "d/a.jpg.png") == {
        "d/a.jpg": "d/a.jpg_redacted.png",
        "d/a.png": "d/a.png_redacted.png",
        "d/a.jpg.png": "d/a.jpg.png_redacted.png",
    }


def test_a_result_of_an_earlier_run_keeps_its_name():
    known = {"a.jpg": "a_redacted.png"}
    assert plan("a.jpg", "a.png", known=known) == {"a.jpg": "a_redacted.png", "a.png": "a.png_redacted.png"}
    assert plan("a.png", known=known) == {"a.png": "a.png_redacted.png"}


@pytest.mark.parametrize("before", ["a.jpg", "a.png"])
def test_names_do_not_depend_on_what_was_done_before_a_kill(before):
    whole = plan("a.jpg", "a.png", "b.png")
    assert plan("a.jpg", "a.png", "b.png", known={before: whole[before]}) == whole


# The journal -----------------------------------------------------------------------------------------------------


def entry(source: str = "a.jpg", **more) -> dict:
    return {"source": source, "sha256": "1", "result": f"{source}.png", "result_sha256": "2", **more}


def test_lines_come_back(tmp_path):
    with journals.Journal(tmp_path / "new" / "out", SETTINGS) as journal:
        journal.append(entry())
        journal.append(entry("b.jpg"))
        journal.append(entry(seconds=2.5))
    with journals.Journal(tmp_path / "new" / "out", SETTINGS) as journal:
        assert journal.entries == {"a.jpg": entry(seconds=2.5), "b.jpg": entry("b.jpg")}


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path):
    with journals.Journal(tmp_path, SETTINGS) as journal:
        journal.append(entry())
        journal.append(entry("b.jpg"))
    whole = journal.path.read_bytes()
    ends = [place for place, byte in enumerate(whole, 1) if byte == ord("\n")]
    for cut in range(len(whole)):
        journal.path.write_bytes(whole[:cut])
        with journals.Journal(tmp_path, SETTINGS) as again:
            assert len(again.entries) == max(sum(end <= cut for end in ends) - 1, 0)
            again.append(entry("c.jpg"))
        with journals.Journal(tmp_path, SETTINGS) as again:
            assert again.entries["c.jpg"] == entry("c.jpg")


def test_a_damaged_journal_is_refused(tmp_path):
    with journals.Journal(tmp_path, SETTINGS) as journal:
        journal.append(entry())
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"source"', b'"sou'))
    with pytest.raises(journals.JournalRefused, match="damaged"):
        journals.Journal(tmp_path, SETTINGS)


def test_other_settings_are_refused_once_something_is_done(tmp_path):
    journals.Journal(tmp_path, SETTINGS).close()
    assert list(tmp_path.iterdir()) == []
    with journals.Journal(tmp_path, {**SETTINGS, "mode": "blur"}) as journal:
        journal.append(entry())
    with pytest.raises(journals.JournalRefused, match="mode blur; this command: mode solid"):
        journals.Journal(tmp_path, SETTINGS)


def test_one_run_at_a_time_and_a_kill_leaves_no_lock(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(tmp_path)], cwd=PACK / "scripts", stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(journals.JournalRefused, match="Another run"):
        journals.Journal(tmp_path, {})
    process.kill()
    process.communicate()
    journals.Journal(tmp_path, {}).close()


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2])

    with journals.Journal(tmp_path, SETTINGS) as journal:
        journal.append(entry())
        before = journal.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space"):
                journal.append(entry("b.jpg"))
        assert journal.path.read_bytes() == before and "b.jpg" not in journal.entries
        journal.append(entry("c.jpg"))
    assert [json.loads(line).get("source") for line in journal.path.open()] == [None, "a.jpg", "c.jpg"]


@pytest.mark.parametrize("has_journal", [False, True])
def test_a_folder_that_cannot_be_written_is_an_error(public_folder, has_journal):
    if has_journal:
        (public_folder / journals.JOURNAL_NAME).touch()
        (public_folder / journals.JOURNAL_NAME).chmod(0o666)
    public_folder.chmod(0o555)
    with not_root(), pytest.raises(PermissionError):
        journals.Journal(public_folder, SETTINGS)


# What is left to do ----------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path) -> Iterator[tuple]:
    """A journal, and three jobs: done, killed before its result had its name, and not begun."""
    photos = make_files(tmp_path / "photos", "done.jpg", "killed.jpg", "new.jpg")
    planned = jobs.plan_jobs(jobs.find_sources([photos], tmp_path / "out").sources, "_redacted", SUFFIXES)
    with journals.Journal(tmp_path / "out", SETTINGS) as journal:
        result = make_files(journal.output, "done_redacted.png") / "done_redacted.png"
        for job in planned[:2]:
            sums = (files.sha256_of(job.source.path), files.sha256_of(result))
            journal.append(
                dict(
                    zip(
                        ("source", "sha256", "result", "result_sha256"),
                        (job.source.name, sums[0], job.result, sums[1]),
                        strict=True,
                    )
                )
            )
        yield journal, planned


def test_what_has_no_result_is_left(run):
    journal, planned = run
    assert [job.source.name for job in jobs.unfinished(planned, journal)] == ["killed.jpg", "new.jpg"]


@pytest.mark.parametrize("name", ["new_redacted.png", "done_redacted.png"])
def test_files_of_others_are_named(run, name):
    journal, planned = run
    (journal.output / name).write_text("something else")
    with pytest.raises(journals.JournalRefused, match=f"overwritten.*{name}"):
        jobs.unfinished(planned, journal)


def test_a_source_that_changed_is_named(run):
    journal, planned = run
    planned[0].source.path.write_text("another picture")
    with pytest.raises(journals.JournalRefused, match=r"Not what it was.*done\.jpg"):
        jobs.unfinished(planned, journal)
    (journal.output / planned[0].result).unlink()
    assert jobs.unfinished(planned, journal) == planned


def test_parts_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    make_files(tmp_path, ".face_anonymizer-12.part", "sub/.face_anonymizer-34.part", "a.part", ".other.part")
    files.remove_parts({tmp_path, tmp_path / "sub", tmp_path / "none"})
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == [".other.part", "a.part"]
