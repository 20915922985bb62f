"""Files and folders that replace others whole, digests, and lists of JSON lines; new files stand in test_saving.py."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from face_anonymizer.modules import files


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_replaced_whole(tmp_path):
    target = tmp_path / "a.json"
    for data in (b"first", b"second"):
        files.replace_whole(target, data)
        assert content(tmp_path) == {"a.json": data}
    with pytest.raises(KeyboardInterrupt), files.replaced_whole(target) as part:
        part.write_bytes(b"half")
        assert content(tmp_path)["a.json"] == b"second"
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), files.replaced_whole(target):
        pass  # nothing was written
    assert content(tmp_path) == {"a.json": b"second"}


def test_what_a_kill_leaves_is_removed(tmp_path):
    for _ in range(2):  # under one name, so that it does not add up
        child = os.fork()
        if child == 0:
            with files.replaced_whole(tmp_path / "large") as part:
                part.write_bytes(b"half")
                os._exit(0)
        os.waitpid(child, 0)
        (part,) = tmp_path.iterdir()
        assert part.match(files.PART_PATTERN)
    files.remove_parts([tmp_path, tmp_path / "none"])
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "models" / "a"
    for data in (b"first", b"second"):
        with files.replaced_folder(folder) as part:
            (part / "unet").mkdir()
            (part / "unet" / "weights").write_bytes(data)
            (part / data.decode()).touch()
    expected = {"models/a/unet/weights": b"second", "models/a/second": b""}
    assert content(tmp_path) == expected
    with pytest.raises(OSError, match="full"), files.replaced_folder(folder) as part:
        (part / "half").touch()
        raise OSError("full")
    assert content(tmp_path) == expected and [path.name for path in folder.parent.iterdir()] == ["a"]


def test_what_a_kill_leaves_of_a_folder_does_not_get_in(tmp_path):
    for name in ("a.part", "a.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with files.replaced_folder(tmp_path / "a") as part:
        (part / "whole").touch()
    assert content(tmp_path) == {"a/whole": b""}


def test_digests(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"ab" * (5 << 20))  # more than is read at a time
    second.write_bytes(b"c")
    assert files.sha256_of(first) == hashlib.sha256(b"ab" * (5 << 20)).hexdigest()
    assert files.sha256_of(second, second) == hashlib.sha256(b"cc").hexdigest()


def test_json_lines(tmp_path):
    file = tmp_path / "log.jsonl"
    entries = [{"step": 1, "name": "é"}, {"step": 2, "loss": 0.1}]
    for entry in entries:
        files.append_json_line(file, entry)
    assert file.read_bytes() == files.json_lines(entries)
    assert list(files.read_json_lines(file)) == [(f"{file} line {i + 1}", entry) for i, entry in enumerate(entries)]
    for broken, words in (("[1]", "line 4 holds a list, not a JSON object"), ('{"step": 3, "lo', "line 4 is no JSON")):
        file.write_bytes(files.json_lines(entries) + f"\n{broken}".encode())
        with pytest.raises(ValueError, match=words):
            list(files.read_json_lines(file))
        assert [entry for _, entry in files.read_json_lines(file, skip_broken=True)] == entries


def test_a_working_folder_of_a_killed_process_goes_with_the_next(tmp_path, monkeypatch):
    """The frames of a film lie there: a process that is killed leaves them, and the next one removes them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = (
        f"import importlib.util; spec = importlib.util.spec_from_file_location('files', {files.__file__!r});"
        "files = importlib.util.module_from_spec(spec); spec.loader.exec_module(files)\n"
        "with files.working_folder() as folder:\n"
        "    (folder / 'frames').write_text('a face'); print(folder, flush=True); input()"
    )

    def start() -> tuple[subprocess.Popen, Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return process, Path(process.stdout.readline().strip())

    (tmp_path / "face_anonymizer_work_of_somebody").mkdir()  # without a lock it is none of ours
    (living, its), (killed, left) = start(), start()
    killed.kill()
    killed.wait()
    assert (left / "frames").read_text() == "a face"
    with files.working_folder() as mine:
        assert not left.exists() and (its / "frames").exists() and mine.parent == tmp_path
    living.communicate("\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face_anonymizer_work_of_somebody"]
