"""modules/runs/jobs.py and modules/runs/journal.py: what is read, how results are called, and what survives a kill."""

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from face_anonymizer.modules import files
from face_anonymizer.modules.host.location import PACK, pack_version
from face_anonymizer.modules.runs import anonymize_folder, jobs
from face_anonymizer.modules.runs import journal as journals
from face_anonymizer.modules.runs.journal_lines import check_summary

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
    return {"source": source, "sha256": "1" * 64, "result": f"{source}.png", "result_sha256": "2" * 64, **more}


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


LINE = {
    **entry(kind="photo", seconds=1.5, images=1, width=8, height=8, actions={"redacted": 1}),
    "faces": [{"box": [1, 2, 3, 4], "score": 0.5}],
}


def write_journal(output: Path, *lines, header: dict | None = None) -> bytes:
    """A journal as somebody else may have left it; a line that is bytes stays as it is."""
    header = header or {"schema": journals.SCHEMA, "settings": SETTINGS}
    data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in (header, *lines))
    output.mkdir(parents=True, exist_ok=True)
    (output / journals.JOURNAL_NAME).write_bytes(data)
    return data


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("result", value) for value in ("../x.png", "a/../../x.png", "/x.png", "", "a//b.png", "./a.png", "a\0.png")),
        *(("result", value) for value in (5, ["x"], None, "\ud800.png")),
        *(("sha256", value) for value in ([1], "1", "G" * 64, "../" * 20, "1" * 65)),
        *(("result_sha256", value) for value in (None, 3, "2" * 63, "2" * 64 + "\n")),
        *(("source", value) for value in (5, [1], "", None)),
        *(("seconds", value) for value in ("x", -1, None, True, 10**400)),
        *(("kind", value) for value in ("film", 1, ["photo"])),
        *(("actions", value) for value in ([], {"redacted": "1"}, {"redacted": True}, {"kept": 10**400}, None)),
        *(
            ("faces", value)
            for value in ("x", [1], [{}], [{"box": [1, 2, 3], "score": 1}], [{"box": "abcd", "score": 1}])
        ),
        *(("images", value) for value in ("x", None)),
        *(("elsewhere", "x"), ("notes", "x"), ("notes", [1]), ("incomplete", 5)),
    ],
)
def test_a_line_with_a_value_that_no_run_writes_is_named(tmp_path, field, value):
    before = write_journal(tmp_path, LINE | {field: value})
    with pytest.raises(journals.JournalRefused, match=f"line 2: {field} ") as refused:
        journals.Journal(tmp_path, SETTINGS, check_summary)
    assert "another --output" in str(refused.value)
    assert (tmp_path / journals.JOURNAL_NAME).read_bytes() == before


@pytest.mark.parametrize("field", LINE)
def test_a_line_without_a_field_is_named(tmp_path, field):
    write_journal(tmp_path, {name: value for name, value in LINE.items() if name != field})
    with pytest.raises(journals.JournalRefused, match=f"line 2: {field} is missing"):
        journals.Journal(tmp_path, SETTINGS, check_summary)


DEEP = b"[" * 100_000
ODD_LINES = [b"[1,2]\n", b"5\n", DEEP + b"\n", b"\xff\xfe\n", b'{"seconds": NaN}\n', b"\n", b"9" * 5000 + b"\n"]


@pytest.mark.parametrize("line", ODD_LINES)
def test_a_line_that_is_no_line_is_refused(tmp_path, line):
    before = write_journal(tmp_path, line, LINE)
    with pytest.raises(journals.JournalRefused, match="line 2: "):
        journals.Journal(tmp_path, SETTINGS, check_summary)
    assert (tmp_path / journals.JOURNAL_NAME).read_bytes() == before
    write_journal(tmp_path, LINE)
    journals.Journal(tmp_path, SETTINGS, check_summary).close()


def test_two_sources_of_one_result_are_refused(tmp_path):
    write_journal(tmp_path, LINE, LINE, LINE | {"source": "b.jpg"})
    with pytest.raises(journals.JournalRefused, match=r"line 4: result is that of a\.jpg"):
        journals.Journal(tmp_path, SETTINGS, check_summary)


NOT_OURS = {
    "notes": b"these are my notes, without a line's end",
    "notes, then an open line": b"first line\nsecond line without an end",
    "an object": b"{}\n",
    "a list": b"[]\n",
    "no settings": b'{"schema": "face-anonymizer/journal/2", "settings": null}\n',
    "a list as schema": b'{"schema": [], "settings": {}}\n',
    "another schema": b'{"schema": "x", "settings": {}}\n{"sour',
    "nested": DEEP,
    "nested, whole": DEEP + b"\n",
    "binary": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_file_of_that_name_is_not_cut_before_it_is_known(tmp_path, name):
    path = tmp_path / journals.JOURNAL_NAME
    path.write_bytes(NOT_OURS[name])
    with pytest.raises(journals.JournalRefused, match=r"no journal of this.*stays as it is"):
        journals.Journal(tmp_path, SETTINGS)
    assert path.read_bytes() == NOT_OURS[name]


@pytest.mark.parametrize("content", ["", "one line without an end", "journal"])
def test_a_link_is_neither_followed_nor_replaced(tmp_path, content):
    victim, path = tmp_path / "victim", tmp_path / "out" / journals.JOURNAL_NAME
    write_journal(path.parent, LINE)
    path.rename(victim) if content == "journal" else victim.write_text(content)
    before = victim.read_bytes()
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    with pytest.raises(journals.JournalRefused, match="is a link"):
        journals.Journal(path.parent, SETTINGS)
    assert victim.read_bytes() == before and path.is_symlink()


@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", None)])
def test_a_folder_and_a_pipe_of_that_name_are_refused(tmp_path, make):
    make(tmp_path / journals.JOURNAL_NAME)
    with pytest.raises(journals.JournalRefused, match="is a link or no file"):
        journals.Journal(tmp_path, SETTINGS)
    assert (tmp_path / journals.JOURNAL_NAME).exists()


def test_an_empty_file_of_somebody_stays(tmp_path):
    (tmp_path / journals.JOURNAL_NAME).touch()
    journals.Journal(tmp_path, SETTINGS).close()
    assert (tmp_path / journals.JOURNAL_NAME).exists()


def test_a_journal_of_the_first_version_is_never_begun_anew(tmp_path):
    first = {"schema": "face-anonymizer/journal/1", "settings": SETTINGS}
    before = write_journal(tmp_path, LINE, b'{"cut', header=first)
    with pytest.raises(journals.JournalRefused, match=r"0\.1\.0.*stay as they are.*another --output"):
        journals.Journal(tmp_path, SETTINGS)
    assert (tmp_path / journals.JOURNAL_NAME).read_bytes() == before


def test_another_version_and_another_model_are_other_settings(tmp_path, monkeypatch):
    model = make_files(tmp_path / "model", "unet/config.json", "unet/a.safetensors")
    made_with = anonymize_folder.find_makers(model)
    assert made_with["pack"] == pack_version() and re.fullmatch(r"\d+\.\d+\.\d+", made_with["pack"])
    with journals.Journal(tmp_path / "out", made_with) as journal:
        journal.append(entry())
    journals.Journal(tmp_path / "out", anonymize_folder.find_makers(model)).close()
    (model / "unet/a.safetensors").write_text("other weights")
    with pytest.raises(journals.JournalRefused, match="model_sha256"):
        journals.Journal(tmp_path / "out", anonymize_folder.find_makers(model))
    with pytest.raises(journals.JournalRefused, match=r"pack .*this command: pack 9\.9\.9"):
        journals.Journal(tmp_path / "out", made_with | {"pack": "9.9.9"})


def test_results_never_leave_the_output_folder(tmp_path):
    """Not by a name and not by a link that somebody put on the way."""
    outside = make_files(tmp_path / "outside", "a_redacted.png", ".face_anonymizer-1.part")
    with journals.Journal(tmp_path / "out", SETTINGS) as journal:
        (journal.output / "sub").symlink_to(outside, target_is_directory=True)
        for name in ("sub/a_redacted.png", "../x.png", str(tmp_path / "x.png")):
            with pytest.raises(journals.JournalRefused, match="leads out of"):
                journal.place(name)
        assert journal.place("deep/a.png") == journal.output / "deep" / "a.png"
        job = jobs.Job(jobs.Source("sub/a.jpg", tmp_path / "a.jpg", "photo"), "sub/a_redacted.png")
        with pytest.raises(journals.JournalRefused, match="leads out of"):
            jobs.unfinished([job], journal)
    assert sorted(path.name for path in outside.iterdir()) == [".face_anonymizer-1.part", "a_redacted.png"]


def test_a_journal_names_no_result_that_its_source_cannot_have():
    for name in ("b_redacted.png", "sub/a_redacted.png", "a_anonymized.png", journals.JOURNAL_NAME):
        with pytest.raises(journals.JournalRefused, match="no name of a result"):
            plan("a.jpg", known={"a.jpg": name})


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


def test_the_original_under_the_results_name_is_not_done(run):
    """Its digest in the journal makes it no result; where no face was found the two may be equal."""
    journal, planned = run
    result, line = journal.place(planned[0].result), journal.entries["done.jpg"]
    result.write_bytes(planned[0].source.path.read_bytes())
    line |= {"result_sha256": line["sha256"], "actions": {"redacted": 1}}
    with pytest.raises(journals.JournalRefused, match=r"their sources, unchanged.*done_redacted\.png"):
        jobs.unfinished(planned, journal)
    line["actions"] = {}
    assert planned[0] not in jobs.unfinished(planned, journal)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_no_result(run, tmp_path, kind):
    journal, planned = run
    result = journal.place(planned[0].result)
    result.rename(tmp_path / "moved.png")
    if kind == "link":
        result.symlink_to(tmp_path / "moved.png")
    else:
        os.mkfifo(result) if kind == "pipe" else result.mkdir()
    with pytest.raises(journals.JournalRefused, match=r"overwritten.*done_redacted\.png"):
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
