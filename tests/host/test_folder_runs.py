"""The command line on folders, against one running ComfyUI: trees, videos, bad files, kills and what stays behind."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import comfyui_version
import numpy as np
import photo_scanner as scanner
import planted_photos as planted
import pytest
from PIL import Image, PngImagePlugin

from face_anonymizer.modules.host.location import pack_version
from face_anonymizer.modules.video.files import copy_clean

ROOT = Path(__file__).resolve().parents[2]
JOURNAL, REPORT = "face_anonymizer_journal.jsonl", "face_anonymizer_report.json"
PAGE, TABLE = "face_anonymizer_report.html", "face_anonymizer_report.csv"
FACE = (slice(45, 150), slice(65, 150))  # rows and columns of the photo that are the face
FRAMES = 5


def command(*arguments) -> list[str]:
    script = str(ROOT / "scripts" / "anonymize.py")
    return [sys.executable, script, "--redact", "--thorough", "none", *map(str, arguments)]


def redact(*arguments, **more) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, **more)


def portrait() -> Image.Image:
    return Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").crop((120, 10, 344, 234))


def make_clip(path: Path) -> None:
    """A face in 5 frames of 29.97 a second, with sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(30000, 1001))
        video.width = video.height = 224
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=44100)
        for _ in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_image(portrait())))
        container.mux(video.encode())
        samples = (np.sin(np.arange(44100 * FRAMES // 30) * 0.05) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = 44100
        container.mux(audio.encode(frame))
        container.mux(audio.encode())


def sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, but for the journal and the reports."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (JOURNAL, REPORT, PAGE, TABLE))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def journal_lines(output: Path) -> int:
    journal = output / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Two folders with photos of all kinds, a clip, and files that are no pictures."""
    folder = tmp_path_factory.mktemp("run") / "photos"
    (folder / "Secret Place" / "deep").mkdir(parents=True)
    photo = portrait()
    exif = photo.getexif()
    exif[0x010E] = "Secret description"
    photo.save(folder / "same.jpg", exif=exif, quality=95)
    photo.save(folder / "same.png")
    photo.save(folder / "Secret Place" / "Secret Name.WEBP", lossless=True)
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "Secret Place" / "deep" / "turned.bmp")
    Image.new("RGB", (120, 80), (90, 120, 200)).save(folder / "sky.tif")
    make_clip(folder / "Secret Place" / "clip.mp4")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes((folder / "same.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def done(sources, server):
    """A run over the folder and two files that are cut off, with two workers; (input, output, the run)."""
    folder = sources.parent / "with bad files"
    shutil.copytree(sources, folder)
    (folder / "broken.jpg").write_bytes((folder / "same.jpg").read_bytes()[:3000])
    (folder / "broken.mp4").write_bytes((folder / "Secret Place" / "clip.mp4").read_bytes()[:2000])
    before = read(folder)
    run = redact(folder, "--output", folder / "out", "--server", server.url, "--workers", 2)
    out = shutil.move(folder / "out", sources.parent / "out")
    assert read(folder) == before, "an input was changed"
    return folder, out, run


def test_the_journal_says_what_the_server_made_them_with(done):
    """This server has the pack of the tests; a redaction has no model."""
    _, out, _ = done
    lines = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()[1:]]
    makers = {"comfyui": comfyui_version.__version__, "pack": pack_version()}
    assert lines and all(line["made_by"] == makers for line in lines)


def test_the_tree_is_kept_and_bad_files_do_not_stop_the_rest(done):
    _, out, run = done
    assert run.returncode == 1, run.stderr
    assert sorted(read(out)) == [
        "Secret Place/Secret Name_redacted.png",
        "Secret Place/clip_redacted.mp4",
        "Secret Place/deep/turned_redacted.png",
        "same.jpg_redacted.png",
        "same.png_redacted.png",
        "sky_redacted.png",
    ]
    assert "broken.jpg: It cannot be read: image file is truncated" in run.stderr
    assert "broken.mp4: FaceAnon" in run.stderr
    assert "6 done, 2 failed, 2 skipped" in run.stdout


def test_faces_are_covered_and_nothing_else_changes(done):
    folder, out, _ = done
    for source, result in {
        "same.png": "same.png_redacted.png",
        "same.jpg": "same.jpg_redacted.png",
        "Secret Place/Secret Name.WEBP": "Secret Place/Secret Name_redacted.png",
    }.items():
        before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (folder / source, out / result))
        changed = (before != after).any(axis=2)
        assert changed[FACE].mean() > 0.99 and not changed[195:].any() and not changed[:, 185:].any(), source
    sky = np.asarray(Image.open(out / "sky_redacted.png"))
    assert (sky == (90, 120, 200)).all()


def test_a_clip_keeps_its_frames_and_its_sound(done):
    folder, out, _ = done
    before, after = (path / f"Secret Place/clip{end}.mp4" for path, end in ((folder, ""), (out, "_redacted")))
    assert np.abs(sound(after)[: len(sound(before))] - sound(before)).max() < 0.02
    assert len(frames(after)) == FRAMES
    for one, other in zip(frames(before), frames(after), strict=True):
        difference = np.abs(one.astype(int) - other).mean(axis=2)
        assert difference[FACE].mean() > 40 and difference[200:].mean() < 4


def test_what_a_model_made_stays_marked_when_it_is_covered(tmp_path, server):
    """The server gets no text of a photo's file, but for that; a photo with alpha is finished here."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    clear = portrait().convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    said = PngImagePlugin.PngInfo()
    said.add_itxt("prompt", '{"1": {"class_type": "KSampler"}}', zip=True)
    for name, photo in {"opaque": portrait(), "clear": clear}.items():
        photo.save(folder / f"{name}.png")
        photo.save(folder / f"{name} made.png", pnginfo=said)
    make_clip(folder / "clip.mp4")
    copy_clean(str(folder / "clip.mp4"), folder / "clip made.mp4", mark=True)
    run = redact(folder, "--output", out, "--server", server.url)
    assert run.returncode == 0, run.stderr
    results = read(out)
    assert len(results) == 6 and not any(b"KSampler" in data for data in results.values())
    assert {name for name, data in results.items() if b"compositeWithTrainedAlgorithmicMedia" in data} == {
        *("clear made_redacted.png", "clip made_redacted.mp4", "opaque made_redacted.png")
    }


def test_results_carry_no_trace_of_the_source(done, server):
    _, out, _ = done
    for name, data in read(out).items():
        assert b"Secret" not in data and b"ecret" not in data.replace(b"secret", b""), name
    stored = [path.name for path in server.folder.rglob("*") if path.is_file()]
    assert not any("Secret" in name or "same" in name or "clip." in name for name in stored)
    assert not list((server.folder / "input").glob("*[0-9a-f]" * 16 + "*"))


def test_one_report_tells_of_every_file(done):
    _, out, _ = done
    report = json.loads((out / REPORT).read_text())
    files = {file["source"]: file for file in report["files"]}
    outcomes = {name: file["outcome"] for name, file in files.items()}
    assert outcomes["broken.jpg"] == outcomes["broken.mp4"] == "failed"
    assert outcomes["notes.txt"] == outcomes[".hidden.jpg"] == "skipped"
    assert sorted(outcomes.values()).count("done") == 6
    assert [face["action"] for face in files["same.png"]["faces"]] == ["redacted"]
    assert files["sky.tif"]["faces"] == []
    (person,) = files["Secret Place/clip.mp4"]["people"]
    assert person["actions"] == {"redacted": FRAMES} and files["Secret Place/clip.mp4"]["images"] == FRAMES


def test_page_and_table_name_no_source_and_tell_of_every_file(done):
    folder, out, _ = done
    page, table = ((out / name).read_text(encoding="utf-8") for name in (PAGE, TABLE))
    report = json.loads((out / REPORT).read_text())
    for text in (page, table):
        for word in ("Secret", "same.", "turned", "broken", "notes.txt", str(folder)):
            assert word not in text, word
        for file in report["files"]:
            if file["outcome"] == "done":
                digest = hashlib.sha256((out / file["result"]).read_bytes()).hexdigest()
                assert file["result_sha256"] == digest and digest in text
    assert page.count("covered</span>") == 6, "five faces and one person, and the word's meaning"
    assert "Files that need a look" in page and "no face was found" in page and "image file is truncated" in page
    assert "none: nothing was painted" in page and "No recogniser has compared any face" in page
    assert len(table.splitlines()) == 1 + len(report["files"])


def test_the_same_command_does_only_what_is_left_and_another_is_refused(done, server):
    folder, out, _ = done
    before, lines = read(out), journal_lines(out)
    other = redact(folder, "--output", out, "--server", server.url, "--mode", "blur")
    assert (
        other.returncode == 1 and "mode solid; this command: mode blur" in other.stderr and "--output" in other.stderr
    )
    for name in ("broken.jpg", "broken.mp4"):
        (folder / name).unlink()
    shutil.copy(folder / "same.png", folder / "new.png")
    run = redact(folder, "--output", out, "--server", server.url)
    assert run.returncode == 0, run.stderr
    assert read(out) == before | {"new_redacted.png": before["same.png_redacted.png"]}
    assert journal_lines(out) == lines + 1


def test_results_keep_depth_and_alpha_and_nothing_else_of_their_sources(tmp_path, server):
    """The server gets neither 16 bits nor what alpha hides nor what stands beside the pixels; the rest is named."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    gray = np.asarray(portrait().convert("L")).astype(np.uint16) * 16 + 5  # 12 bits
    Image.fromarray(gray).save(folder / "deep.tif")
    cut_out = portrait().convert("RGBA")
    cut_out.paste(planted.original(), (5, 170))
    alpha = Image.new("L", cut_out.size, 255)
    alpha.paste(0, (0, 165, 60, 224))
    cut_out.putalpha(alpha)
    cut_out.save(folder / ("cut out" + "x" * 237 + ".png"))
    (folder / "renamed.bin").write_bytes(planted.jpeg())
    (folder / "raw.dng").write_bytes(planted.tiff())
    run = redact(folder, "--output", out, "--server", server.url)
    assert run.returncode == 1 and "raw.dng: skipped, as it is a camera's raw file (.dng): develop it" in run.stderr
    report = {file["source"]: file for file in json.loads((out / REPORT).read_text())["files"]}
    assert [report[name]["outcome"] for name in sorted(report)] == ["done", "done", "skipped", "done"]
    for name, file in report.items():
        if file["outcome"] == "done":
            assert scanner.scan((out / file["result"]).read_bytes()) == [], name
            assert len(file["faces"]) == (0 if name == "renamed.bin" else 1), name
    with Image.open(out / report["deep.tif"]["result"]) as deep:
        levels = np.asarray(deep).astype(int)
    assert np.array_equal(levels[195:], gray[195:]) and (levels[FACE] == 0).mean() > 0.9
    with Image.open(out / next(file["result"] for name, file in report.items() if name.startswith("cut"))) as result:
        levels = np.asarray(result)
    assert (levels[165:, :60] == 0).all() and (levels[FACE] == (0, 0, 0, 255)).all(-1).mean() > 0.9
    assert np.array_equal(levels[195:, 60:], np.asarray(cut_out)[195:, 60:])


def test_an_output_folder_that_cannot_be_made_is_refused_before_any_work(sources, tmp_path):
    (tmp_path / "file").touch()
    run = redact(sources, "--output", tmp_path / "file" / "out", "--server", "http://127.0.0.1:1")
    assert run.returncode == 2
    assert run.stderr.splitlines() == [
        f"Cannot write into {tmp_path}/file/out: Not a directory. Allow writing there or take another --output."
    ]


def test_a_server_that_does_not_answer_is_told(sources, tmp_path):
    run = redact(sources, "--output", tmp_path / "out", "--server", "http://127.0.0.1:1")
    assert run.returncode == 2 and "http://127.0.0.1:1 does not answer" in run.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_results_that_do_not_fit_leave_nothing(sources, tmp_path, server):
    """A limit on the size of files stands in for a disk that is full: the same call fails in the same place."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

    files = (sources / "same.png", sources / "sky.tif")
    run = redact(*files, "--output", tmp_path, "--server", server.url, preexec_fn=limit)
    assert run.returncode == 1
    assert sorted(read(tmp_path)) == ["sky_redacted.png"]
    assert "No space for same_redacted.png" in run.stderr and "1 done, 1 failed" in run.stdout
    Image.open(tmp_path / "sky_redacted.png").load()
    assert journal_lines(tmp_path) == 2


@pytest.mark.long
def test_a_run_that_is_killed_and_interrupted_ends_as_an_unbroken_one(done, sources, tmp_path, server):
    before = read(sources)
    arguments = (sources, "--output", tmp_path, "--server", server.url)
    unbroken = read(done[1])
    for lines, sign in ((2, signal.SIGKILL), (4, signal.SIGINT), (5, signal.SIGKILL)):
        process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True)
        while journal_lines(tmp_path) < lines:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(sign)
        _, said = process.communicate(timeout=120)
        if sign == signal.SIGINT:
            assert process.returncode == 130 and "the same command goes on" in said
        else:
            assert process.returncode == -signal.SIGKILL
        visible = {name: data for name, data in read(tmp_path).items() if not os.path.basename(name).startswith(".")}
        assert visible == {name: unbroken[name] for name in visible} and len(visible) <= lines
    run = redact(*arguments)
    assert run.returncode == 0, run.stderr
    assert read(tmp_path) == {name: data for name, data in unbroken.items() if name != "new_redacted.png"}
    assert read(sources) == before
