"""Nothing of the original comes out of photos with an original in every place of their formats, in folder runs."""

import contextlib
import io
import json
import threading
from pathlib import Path

import numpy as np
import photo_scanner as scanner
import planted_photos as planted
import pytest
from PIL import Image

from face_anonymizer.modules.output.encoding import encode_picture
from face_anonymizer.modules.output.formats import EXTENSIONS
from face_anonymizer.modules.photos.colour import colour_of
from face_anonymizer.modules.runs import folder_run, jobs, prompts
from face_anonymizer.modules.runs.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
REPORT = {"images": 1, "width": 160, "height": 120, "actions": {}, "faces": []}


class StandIn:
    """A ComfyUI that reads a photo as Load Image does, changes it, and saves it as Save Image (clean) does.

    change: from uint8 [H, W, 3] to the same; uploads: the files that were sent, in their order.
    """

    url = "http://stand-in"

    def __init__(self, change=lambda levels: levels):
        self.stop = threading.Event()
        self.change = change
        self.uploads: dict[str, bytes] = {}
        self.prompts: list[dict] = []

    def get(self, path):
        return {}

    def upload(self, source, name, kind):
        self.uploads[name] = source.getvalue()
        return f"{name} [{kind}]"

    def queue(self, prompt):
        self.prompts.append(prompt)
        return str(len(self.prompts) - 1)

    def wait(self, prompt_id, on_progress):
        nodes = {node["class_type"]: number for number, node in self.prompts[int(prompt_id)].items()}
        saved = [
            {"filename": f"a{EXTENSIONS[self._saver(prompt_id)['format']]}", "subfolder": prompt_id, "type": "output"}
        ]
        return {
            "outputs": {
                nodes["FaceAnonRedactFaces"]: {"face_anon_report": [REPORT]},
                nodes["FaceAnonSaveImage"]: {"images": saved},
            }
        }

    def download(self, file, target):
        prompt = self.prompts[int(file["subfolder"])]
        name = next(node["inputs"]["image"] for node in prompt.values() if node["class_type"] == "LoadImage")
        data = self.uploads[name.removesuffix(" [temp]")]
        with Image.open(io.BytesIO(data)) as picture:
            profile = colour_of(picture, data).profile
            levels = self.change(np.asarray(picture.convert("RGB")))
        saver = self._saver(file["subfolder"])
        target.write_bytes(encode_picture(levels, saver["format"], saver["quality"], profile=profile))

    def _saver(self, prompt_id):
        nodes = self.prompts[int(prompt_id)].values()
        return next(node["inputs"] for node in nodes if node["class_type"] == "FaceAnonSaveImage")

    def forget(self, prompt_id):
        pass


def run_folder(folder: Path, output: Path, format: str, server: StandIn) -> list:
    """Redact all photos of a folder; the outcomes."""
    outcomes: list = []
    settings = {"format": format, "quality": 90}
    prompt = prompts.load_prompt(ROOT / "workflows" / "api", "redact", "photo", settings)
    with Journal(output, settings) as journal:
        planned = jobs.plan_jobs(jobs.find_sources([folder], output).sources, "", {"photo": EXTENSIONS[format]})
        folder_run.FolderRun(journal, {"photo": prompt}).do(planned, [server], outcomes.append)
    return outcomes


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    for name, make in planted.PLANTED.items():
        (folder / name).write_bytes(make())
    return folder


@pytest.mark.parametrize("name", planted.PLANTED)
def test_what_is_planted_can_be_found(sources, name):
    """So the scanner can fail: every photo is full of it."""
    data = (sources / name).read_bytes()
    words, pictures = scanner.words_in(data), scanner.pictures_in(data)
    assert pictures
    if not name.startswith("hidden"):
        assert {f"the words {word!r}" for word in planted.WORDS} <= set(words)


@pytest.mark.parametrize("format", EXTENSIONS)
def test_no_result_and_no_upload_holds_any_of_it(sources, tmp_path, format):
    server = StandIn()
    outcomes = run_folder(sources, tmp_path, format, server)
    assert {outcome.job.source.name: outcome.error for outcome in outcomes} == dict.fromkeys(planted.PLANTED)
    uploads = server.uploads if format == "png" else {}  # they are the same for all
    leaks = {name: found for name, data in uploads.items() if (found := scanner.scan(data))}
    for outcome in outcomes:
        data = (tmp_path / outcome.job.result).read_bytes()
        if found := scanner.scan(data):
            leaks[outcome.job.source.name] = found
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == planted.SIZE
            shown = np.asarray(picture.convert("RGB")).astype(int)
        visible = np.ones(shown.shape[:2], bool)
        if outcome.job.source.name.startswith("hidden"):
            visible[15:95, 5:85] = False
        off = np.abs(shown - np.asarray(planted.photo()))[visible].mean()
        assert off < (12 if outcome.job.source.name == "f.gif" else 3.5), outcome.job.source.name
    assert leaks == {}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data + planted.thumbnail(), "bytes behind the end"),
        (lambda data: data + planted.texts(), "the words"),
        (lambda data: data[:2] + planted.segment(0xE1, planted.exif()) + data[2:], "an XMP packet or EXIF block"),
        (lambda data: data[:2] + planted.segment(0xED, planted.photoshop()) + data[2:], "the part ED"),
        (lambda data: data[:2] + planted.segment(0xFE, b"x") + data[2:], "the part FE"),
    ],
)
def test_one_planted_leak_fails(spoil, words):
    clean = encode_picture(np.asarray(planted.photo()), "jpeg", mark=True, profile=planted.profile())
    assert scanner.scan(clean) == []
    assert any(words in text for text in scanner.scan(spoil(clean)))


def test_a_profile_that_is_copied_fails(sources):
    file = io.BytesIO()
    planted.photo().save(file, "PNG", icc_profile=planted.profile())
    found = scanner.scan(file.getvalue())
    assert any("no tag" in text for text in found) and any("names a maker" in text for text in found)
    assert any("picture of the original" in text for text in found) and any(planted.NAME in text for text in found)


def test_what_the_report_keeps_of_a_photo_is_data(sources, tmp_path):
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.mpo").write_bytes((sources / "b.mpo").read_bytes())
    (outcome,) = run_folder(tmp_path / "in", tmp_path / "out", "png", StandIn())
    assert outcome.entry["notes"] == ["it holds 2 pictures, of which the first was taken"]
    assert planted.NAME not in json.dumps(outcome.entry)
