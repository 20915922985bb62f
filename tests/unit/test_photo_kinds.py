"""What a file is, by its bytes and its name; which files a folder run takes, and how it names the others."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_photo_traces import StandIn, run_folder

from face_anonymizer.modules.photos import kinds
from face_anonymizer.modules.runs import anonymize_folder, folder_options, jobs
from face_anonymizer.modules.runs import folder_report as reports

VIDEOS = frozenset((".mp4", ".mkv", ".ts"))


def saved(format: str, size=(60, 40), **options) -> bytes:
    y, x = np.mgrid[: size[1], : size[0]]
    picture = Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def ftyp(*brands: bytes) -> bytes:
    body = brands[0] + bytes(4) + b"".join(brands)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + bytes(40)


MP4 = ftyp(b"isom", b"mp42")
FILES = {  # name -> content, kind, words of the reason
    "a.jfif": (saved("JPEG"), "photo", ""),
    "a.jpe": (saved("JPEG"), "photo", ""),
    "a.avif": (saved("AVIF"), "photo", ""),
    "a.gif": (saved("GIF"), "photo", ""),
    "a.jp2": (saved("JPEG2000"), "photo", ""),
    "a.mpo": (saved("JPEG"), "photo", ""),
    "a.apng": (saved("PNG"), "photo", ""),
    "a.qoi": (saved("QOI"), "photo", ""),
    "a.tga": (saved("TGA"), "photo", ""),
    "a.ppm": (saved("PPM"), "photo", ""),
    "avif_as.jpg": (saved("AVIF"), "photo", ""),
    "png_as.mp4": (saved("PNG"), "photo", ""),
    "no suffix": (saved("WEBP"), "photo", ""),
    "a.jpg_original": (saved("JPEG"), "photo", ""),
    "a.thm": (saved("JPEG"), "photo", ""),
    "broken.jpg": (b"hello", "photo", ""),  # which fails, and is told so
    "empty.png": (b"", "photo", ""),
    "film.mp4": (MP4, "video", ""),
    "film.jpg": (MP4, "video", ""),
    "film.webp": (b"\x1aE\xdf\xa3" + bytes(60), "video", ""),
    "film": (b"RIFF\0\0\0\0AVI LIST", "video", ""),
    "broken.mkv": (b"hello", "video", ""),
    "page.ts": (b"export const a = 1", None, "neither a photo nor a video"),
    "a.dng": (saved("TIFF"), None, "a camera's raw file"),
    "a.NEF": (b"MM\0*", None, "develop it"),
    "a.cr3": (ftyp(b"crx ", b"isom"), None, "a camera's raw file"),
    "cr3.jpg": (ftyp(b"crx ", b"isom"), None, "a picture that is not read"),
    "a.psd": (b"8BPS\0\1", None, "a picture that is not read (Photoshop)"),
    "a.jxl": (b"\xff\n" + bytes(60), None, "a picture that is not read (JPEG XL)"),
    "jxl.jpg": (b"\0\0\0\x0cJXL \r\n\x87\n", None, "save it as PNG, TIFF or JPEG"),
    "a.svg": (b"<svg/>", None, "a picture that is not read (SVG)"),
    "notes.txt": (b"BM, he said", None, "neither a photo nor a video"),
    "a.json": (b"{}", None, "neither a photo nor a video"),
    "a.pdf": (b"%PDF-1.7", None, "neither a photo nor a video"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_first_bytes_say_what_a_file_is_and_then_its_name(tmp_path, name):
    content, kind, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    found = kinds.kind_of(tmp_path / name, VIDEOS)
    assert found.kind == kind and words in found.why and bool(words) is (kind is None)
    assert found.picture is (words != "neither a photo nor a video")


def test_a_name_that_films_and_programs_share(tmp_path):
    (tmp_path / "film.ts").write_bytes(b"G" + bytes(187) + b"G")
    assert kinds.kind_of(tmp_path / "film.ts", VIDEOS).kind == "video"


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_needs_its_decoder_and_says_so(tmp_path, monkeypatch, brand):
    for name in ("a.heic", "renamed.jpg"):
        (tmp_path / name).write_bytes(ftyp(brand, b"mif1", b"heic"))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        found = kinds.kind_of(tmp_path / name, VIDEOS)
        assert found.kind is None and "pip install pillow-heif, or save it as JPEG" in found.why and found.picture
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
        assert kinds.kind_of(tmp_path / name, VIDEOS) == kinds.Kind("photo")
        monkeypatch.undo()
    (tmp_path / "b.heif").write_bytes(ftyp(b"mif1", b"avif"))
    assert kinds.kind_of(tmp_path / "b.heif", VIDEOS) == kinds.Kind("photo")  # that is AVIF


def test_a_run_takes_photos_by_content_and_tells_the_rest_apart(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (content, _, _) in FILES.items():
        (folder / name).write_bytes(content)
    found = jobs.find_sources([folder], tmp_path / "out")
    assert {source.name for source in found.sources} == {name for name, (_, kind, _) in FILES.items() if kind}
    assert set(found.skipped) == {name for name, (_, _, words) in FILES.items() if words.startswith("neither")}
    assert set(found.undone) == {name for name, (_, kind, _) in FILES.items() if not kind} - set(found.skipped)


def test_a_picture_that_cannot_be_done_is_named_and_the_run_is_not_all_done(tmp_path, monkeypatch):
    """The command itself, up to the server: exit status, report and screen."""
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(saved("JPEG"))
    (folder / "notes.txt").write_text("no picture")
    monkeypatch.setattr(
        anonymize_folder, "do_jobs", lambda options, run, left, errors, say: run.do(left, [StandIn()], note)
    )
    note = lambda outcome: None  # noqa: E731
    shown, said = [], []
    options = folder_options.FolderOptions(paths=[folder], output=output, redact=True)
    assert anonymize_folder.anonymize_folder(options, shown.append, said.append) is True
    (folder / "b.dng").write_bytes(saved("TIFF"))
    assert anonymize_folder.anonymize_folder(options, shown.append, said.append) is False
    files = {file["source"]: file for file in shown[-1]["files"]}
    assert {name: file["outcome"] for name, file in files.items()} == {
        **{"a.jpg": "done", "b.dng": "skipped", "notes.txt": "skipped"}
    }
    lines = reports.format_remarks(shown[-1])
    assert lines[0].startswith("b.dng: skipped, as it is a camera's raw file (.dng): develop it")
    assert lines[1] == "notes.txt: skipped, as it is neither a photo nor a video" and len(lines) == 2
    alone = folder_options.FolderOptions(paths=[folder / "b.dng"], output=tmp_path / "other", redact=True)
    with pytest.raises(jobs.PlanRefused, match=r"No photo or video that can be done in .*\nb\.dng: a camera's"):
        anonymize_folder.anonymize_folder(alone, shown.append, said.append)


def test_notes_and_errors_of_files_are_lines():
    entry = {
        "outcome": "done",
        "kind": "photo",
        "notes": ["its 16 bits a channel became 8"],
        "faces": [
            {"action": "redacted", "reason": "still the original: 0.98, 0.93 is the most"},
            {"action": "redacted", "reason": "still the original: 0.98, 0.93 is the most"},
            {"action": "anonymized", "reason": ""},
        ],
        "actions": {},
    }
    files = [{"source": "a.tif", **entry}, {"source": "b.jpg", "outcome": "failed", "error": "It is broken."}]
    lines = reports.format_remarks(reports.make_report({}, files))
    assert lines == [
        "a.tif: redacted: still the original: 0.98, 0.93 is the most (2)",
        "a.tif: its 16 bits a channel became 8",
        "b.jpg: It is broken.",
    ]


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_results_of_long_names_have_names_that_fit(tmp_path, letter):
    long = letter * (250 // len(letter.encode()))
    names = [*(f"{long}{end}.jpg" for end in ("", "a", "b")), f"sub/{long}.jpg", "short.jpg"]
    sources = [jobs.Source(name, tmp_path / name, "photo") for name in names]
    results = [job.result for job in jobs.plan_jobs(sources, "_anonymized", {"photo": ".png"})]
    assert len(set(results)) == len(results) and results[-1] == "short_anonymized.png"
    for result in results[:-1]:
        name = result.rpartition("/")[2]
        assert len(name.encode()) <= 255 and name.endswith("_anonymized.png") and name.startswith(letter * 50)
    again = [job.result for job in jobs.plan_jobs(list(reversed(sources)), "_anonymized", {"photo": ".png"})]
    assert again == list(reversed(results))


def test_a_long_name_is_done(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ("x" * 244 + ".jpg")).write_bytes(saved("JPEG"))
    (outcome,) = run_folder(tmp_path / "in", tmp_path / "out", "png", StandIn())
    assert outcome.error is None and (tmp_path / "out" / outcome.job.result).is_file()


def read(folder: Path, outcome) -> np.ndarray:
    with Image.open(folder / outcome.job.result) as image:
        return np.asarray(image)


def test_a_run_keeps_depth_and_alpha_and_says_what_it_does_not(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    levels = (np.mgrid[:40, :60][1] * 1000).astype(np.uint16)
    Image.fromarray(levels).save(folder / "a.tif")
    rgba = np.dstack([np.full((40, 60, 3), 90, np.uint8), np.full((40, 60), 255, np.uint8)])
    rgba[:10, :10] = (1, 2, 3, 0)
    Image.fromarray(rgba).save(folder / "b.png")

    def redact(seen):
        seen = seen.copy()
        seen[20:30, 20:30] = 0
        return seen

    a, b = run_folder(folder, tmp_path / "png", "png", StandIn(redact))
    result = read(tmp_path / "png", a)
    assert result.dtype == np.uint16 and (result[20:30, 20:30] == 0).all()
    levels[20:30, 20:30] = 0
    assert np.array_equal(result, levels) and not a.entry.get("notes")
    result = read(tmp_path / "png", b)
    assert (result[:10, :10] == 0).all() and (result[20:30, 20:30] == (0, 0, 0, 255)).all()
    assert (result[30:] == (90, 90, 90, 255)).all()
    server = StandIn(redact)
    a, b = run_folder(folder, tmp_path / "jpeg", "jpeg", server)
    assert a.entry["notes"] == ["its 16 bits a channel became 8: save it as png to keep them"]
    assert b.entry["notes"] == ["what is transparent in it was joined on white"]
    assert read(tmp_path / "jpeg", b)[:6, :6].min() > 245
    # the server saves without loss what is finished here
    formats = [[node["inputs"].get("format") for node in prompt.values()] for prompt in server.prompts]
    assert "jpeg" in formats[0] and "png" in formats[1]


def test_a_server_that_changes_the_size_fails_alone(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((40, 60), np.uint16)).save(tmp_path / "in" / "a.png")
    (outcome,) = run_folder(tmp_path / "in", tmp_path / "out", "png", StandIn(lambda seen: seen[:20]))
    assert "The graph made 60x20 pixels of 60x40" in outcome.error
    assert not list((tmp_path / "out").glob("*.png"))
