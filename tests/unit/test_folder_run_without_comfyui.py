"""Folder runs in this process, by diffusers' networks: the same files, journal and report as ComfyUI's graphs give."""

import dataclasses
import importlib.metadata
import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from face_anonymizer.modules.faces.settings import DetectSettings, PasteSettings, RedactSettings, TrackSettings
from face_anonymizer.modules.headless.folder_run import EngineRun, options_of, video_options_of
from face_anonymizer.modules.host import location, requirements
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.settings import DDPM, PaintSettings, SamplerSettings
from face_anonymizer.modules.runs import engines, prompts
from face_anonymizer.modules.runs.anonymize_folder import GRAPHS
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.scripts import anonymize, command

ROOT = Path(__file__).resolve().parents[2]
PERSON = (490, 40, 780, 330)  # of synthetic_group.jpg: the face on the right above
pytestmark = [
    pytest.mark.usefixtures("remembered_looks", "no_comfyui"),
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # diffusers' own
]


@pytest.fixture
def no_comfyui(monkeypatch, tmp_path):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(location, "_default_places", lambda: [tmp_path / "none"])
    monkeypatch.setattr(location, "__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))


def portrait() -> Image.Image:
    return Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").crop((120, 10, 344, 234))


@pytest.fixture
def sources(tmp_path) -> Path:
    """A photo, a cut-out, and a film, a photo and a text that cannot be read."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    portrait().save(folder / "a.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", quality=95)
    cut = portrait().convert("RGBA")
    cut.putalpha(Image.fromarray(np.pad(np.zeros((20, 224), np.uint8), ((0, 204), (0, 0)), constant_values=255)))
    cut.save(folder / "sub" / "b.png")
    (folder / "notes.txt").write_text("no photo")
    (folder / "cut off.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(64))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(32))
    return folder


def report_of(output: Path) -> dict:
    found = json.loads((output / "face_anonymizer_report.json").read_text())
    return {file["source"]: file for file in found["files"]} | {"settings": found["settings"]}


def test_photos_are_painted_and_the_rest_is_named(sources, tmp_path, capsys):
    output = tmp_path / "out"
    asked = [str(sources), "--output", str(output), "--steps", "2", "--seed", "3", "--thorough", "none", "--demo"]
    assert anonymize.main(asked) == 1  # two files are broken
    said = capsys.readouterr()
    assert "Engine: diffusers, as there is no ComfyUI here" in said.err
    assert "cut off.mp4: The file is no video, or one whose end is missing" in said.err
    report = report_of(output)
    assert report["settings"]["engine"] == "diffusers" and report["settings"]["model"] == "demo"
    assert {name: file["outcome"] for name, file in report.items() if name != "settings"} == {
        **{
            "a.jpg": "done",
            "sub/b.png": "done",
            "notes.txt": "skipped",
            "cut off.mp4": "failed",
            "broken.jpg": "failed",
        }
    }
    assert report["a.jpg"]["actions"] == {"anonymized": 1} and report["a.jpg"]["faces"][0]["seed"] == 3
    before = np.array(Image.open(sources / "a.jpg"))
    with Image.open(output / "a_anonymized.png") as result:
        assert not result.getexif() and "xmp" in result.info
        changed = (np.abs(np.array(result).astype(int) - before) > 1).any(2)
    assert 0.1 < changed.mean() < 1 and not changed[:8].all()
    cut, whole = (
        np.array(Image.open(output / "sub" / "b_anonymized.png")),
        np.array(Image.open(sources / "sub" / "b.png")),
    )
    same = ~(np.abs(cut[..., :3].astype(int) - whole[..., :3]) > 1).any(2)
    assert cut.shape[2] == 4 and np.array_equal(cut[same][:, 3], whole[same][:, 3])

    stamps = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    assert anonymize.main(asked) == 1
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.png")} == stamps
    assert anonymize.main([*asked[:4], "3", *asked[5:]]) == 1
    assert "made with other settings (steps 2; this command: steps 3)" in capsys.readouterr().err


def test_a_redaction_loads_no_model_and_a_full_disk_stops_the_run(sources, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("face_anonymizer.modules.headless.anonymizer.load_engine", None)
    output = tmp_path / "out"
    asked = ["redact", str(sources / "a.jpg"), str(sources / "sub"), "--output", str(output), "--thorough", "none"]

    def full(self, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert command.main(asked) == 1
    assert "Stopped: " in capsys.readouterr().err and not list(output.glob("*.png"))
    said = Image.Exif()
    said[0x010E] = '{"1": {"class_type": "KSampler"}}'
    portrait().save(sources / "sub" / "made.jpg", exif=said)
    assert command.main(asked) == 0
    report = report_of(output)
    assert report["a.jpg"]["actions"] == {"redacted": 1} and "engine" not in report["settings"]
    assert (np.array(Image.open(output / "a_redacted.png")) == 0).all(2).mean() > 0.05
    marked = {path.name for path in output.rglob("*.png") if b"compositeWithTrained" in path.read_bytes()}
    assert marked == {"made_redacted.png"}, "what a model made says so also when it is covered"


@pytest.mark.parametrize("kind", [EOFError, MemoryError, av.error.ExternalError])
def test_whatever_one_file_causes_the_next_is_done(monkeypatch, kind):
    run, told = object.__new__(EngineRun), []
    run._steps = None

    def do_one(_, job):
        if job.name == "bad":
            raise kind(1, "words")
        return {"source": job.name}

    monkeypatch.setattr(EngineRun, "_do_one", do_one)
    run.do([SimpleNamespace(name="bad"), SimpleNamespace(name="good")], told.append)
    assert "words" in told[0].error and told[0].entry is None
    assert told[1].entry == {"source": "good"} and told[1].error is None


def test_a_swap_takes_the_face_of_one_photo(sources, tmp_path, capsys):
    output, blank, photo = (tmp_path / name for name in ("out", "blank.png", "a.png"))
    Image.new("RGB", (64, 64)).save(blank)
    Image.open(ROOT / "assets" / "synthetic_group.jpg").crop(PERSON).save(photo)
    quick = ["--steps", "2", "--guidance-from", "1", "--thorough", "none", "--demo"]
    asked = [str(photo), "--output", str(output), *quick]
    assert command.main(["swap", *asked]) == 2
    assert command.main(["swap", "--source", str(blank), *asked]) == 1
    assert "shows no face that is found" in capsys.readouterr().err
    assert command.main(["swap", "--source", str(sources / "a.jpg"), *asked]) == 0
    assert report_of(output)["a.png"]["actions"] == {"swapped": 1} and (output / "a_swapped.png").is_file()
    with pytest.raises(ValueError, match="--source is the identity that faces get: leave out --degree"):
        FolderOptions(paths=(), output=output, source=photo, degree=1.0)
    with pytest.raises(ValueError, match=r"--source.*leave out --redact, --server and --engine comfyui"):
        FolderOptions(paths=(), output=output, source=photo, engine=engines.COMFYUI)


def make_clip(path: Path) -> None:
    """A face in three frames of 29.97 a second, with sound."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Jane Doe"
        video = container.add_stream("libx264", rate=Fraction(30000, 1001))
        video.width = video.height = 224
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=44100)
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame.from_image(portrait())))
        container.mux(video.encode())
        samples = (np.sin(np.arange(4410) * 0.05) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = 44100
        container.mux(audio.encode(frame))
        container.mux(audio.encode())


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert not container.metadata.get("title") and container.streams.audio
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_clips_are_painted_and_covered(tmp_path, capsys):
    """In one run with photos; sound and number of frames stay."""
    films = tmp_path / "films"
    films.mkdir()
    make_clip(films / "a.mov")
    before = np.array(portrait())
    for task, ending in (("redact", "redacted"), ("anonymize", "anonymized")):
        output = tmp_path / task
        more = ["--steps", "2", "--guidance-from", "1", "--demo"] if task == "anonymize" else []
        assert command.main([task, str(films), "--output", str(output), *more]) == 0, capsys.readouterr().err
        file = report_of(output)["a.mov"]
        assert file["kind"] == "video" and file["images"] == 3 and file["people"][0]["actions"] == {ending: 3}
        after = frames_of(output / f"a_{ending}.mp4").astype(int)
        assert after.shape == (3, 224, 224, 3)
        assert np.abs(after[:, 60:130, 80:140] - before[60:130, 80:140]).mean() > 20
        assert np.abs(after[:, -20:, :20] - before[-20:, :20]).mean() < 10
        is_marked = b"compositeWithTrained" in (output / f"a_{ending}.mp4").read_bytes()
        assert is_marked is (task == "anonymize")
    assert command.main(["redact", str(output / "a_anonymized.mp4"), "--output", str(tmp_path / "again")]) == 0
    assert b"compositeWithTrained" in (tmp_path / "again" / "a_anonymized_redacted.mp4").read_bytes()
    photo = tmp_path / "a.jpg"
    portrait().save(photo)
    asked = ["swap", "--source", str(photo), str(films), "--output", str(tmp_path / "swapped"), "--demo"]
    assert command.main(asked) == 1
    assert "--source swaps faces in photos alone" in capsys.readouterr().err


def test_both_ways_sample_clips_alike():
    asked = FolderOptions(paths=(), output=Path("out"), guidance_to=0.5)
    own = checkpoint.ModelSettings()
    settings = asked.of_results(own)
    prompt = prompts.load_prompt(GRAPHS, "anonymize", "video", settings | asked.of_kind("video"))
    inputs = {node["class_type"]: node["inputs"] for node in prompt.values()}
    painter, ours = inputs["FaceAnonAnonymizeVideo"], video_options_of(settings, asked.of_kind("video")["steps"])
    assert painter["steps"] == 0  # 25 of such a sampler
    assert ours.sampler == SamplerSettings(
        painter["sampler_name"], painter["scheduler"], 25, painter["guidance_scale"], 0, painter["guidance_to"]
    )
    found = inputs["FaceAnonTrackVideo"]
    assert ours.detecting == DetectSettings(found["min_score"], thorough=found["thorough"], points=found["points"])
    tracked = TrackSettings(found["max_gap"], found["lead"], found["smoothing"])
    assert tracked == TrackSettings() and painter["identity"] == settings["identity"]


def test_a_model_that_is_not_there_is_named(sources, tmp_path, capsys):
    asked = [str(sources / "a.jpg"), "--output", str(tmp_path / "out"), "--model"]
    assert anonymize.main([*asked, "nobody"]) == 1
    assert "there is: demo. `python scripts/get_models.py`" in capsys.readouterr().err
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "config.json").write_text("{}")
    assert anonymize.main([*asked, str(tmp_path / "model")]) == 1
    assert "config.json" in capsys.readouterr().err


def test_verify_says_who_is_a_stranger(sources, tmp_path, capsys):
    photo = str(sources / "a.jpg")
    assert command.main(["verify", photo, photo]) == 1
    assert "same person" in capsys.readouterr().out
    assert command.main(["verify", photo, str(sources)]) == 2
    assert "are a file and a folder" in capsys.readouterr().err
    assert command.main(["verify", photo, str(sources / "missing.png")]) == 2
    films, results = tmp_path / "films", tmp_path / "results"
    films.mkdir()
    results.mkdir()
    make_clip(films / "a.mov")
    (films / "b.jpg").write_bytes(Path(photo).read_bytes())
    make_clip(results / "a_anonymized.mp4")
    assert command.main(["verify", str(films), str(results)]) == 1
    said = capsys.readouterr().out
    assert "a: 1 person" in said and "3 same person" in said and "There is no picture in" in said
    (results / "a_anonymized.mp4").unlink()
    assert command.main(["redact", str(films), "--output", str(results)]) == 0
    Image.new("RGB", (96, 64), (90, 120, 60)).save(films / "meadow.png")
    Image.new("RGB", (96, 64), (90, 120, 60)).save(results / "meadow.png")
    assert command.main(["verify", str(films), str(results)]) == 0
    assert capsys.readouterr().out.count("covered") >= 2
    originals, covers, meadow = tmp_path / "originals", tmp_path / "covers", films / "meadow.png"
    for folder, file, names in (
        (originals, photo, ("b.jpg", "b_redacted.jpg", "IMG_1")),
        (originals, meadow, ("c.png",)),
        (covers, results / "b_redacted.png", ("b_redacted.png",)),
        (covers, meadow, ("c_redacted.png", "c_swapped.png", "else.png")),
    ):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_bytes(Path(file).read_bytes())
    assert command.main(["verify", str(originals), str(covers)]) == 1, "one result for three originals"
    said = capsys.readouterr().out
    assert said.count("covered") == 1 and all(f"{name}: it has no result" in said for name in ("b_redacted", "IMG_1"))
    assert "c_swapped.png may be its result too" in said and "else.png is the result of no file" in said
    covered = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB")
    covered.paste((0, 0, 0), (150, 30, 300, 220))
    covered.save(results / "covered.png")
    assert command.main(["verify", str(results / "covered.png"), str(ROOT / "assets" / "astronaut.jpg")]) == 1
    assert "are the two exchanged?" in capsys.readouterr().out
    assert command.main(["verify", str(results / "meadow.png"), str(results / "meadow.png")]) == 1, "nobody to verify"
    assert command.main(["verify", str(films / "a.mov"), photo]) == 2
    assert "a video and a photo" in capsys.readouterr().err


def test_verify_looks_for_pictures_beside_the_one_that_is_shown(sources, tmp_path, capsys):
    """Faces under alpha 0, and results that lie in a folder of the originals."""
    photos, results = tmp_path / "mine", tmp_path / "mine" / "results"
    results.mkdir(parents=True)
    (photos / "a.jpg").write_bytes((sources / "a.jpg").read_bytes())
    assert command.main(["redact", str(photos), "--output", str(results)]) == 0
    assert command.main(["verify", str(photos), str(results)]) == 0
    assert "no result" not in capsys.readouterr().out
    hidden = Image.open(photos / "a.jpg").convert("RGBA")
    covered = np.asarray(Image.open(results / "a_redacted.png").convert("RGB"))
    clear = (np.abs(covered.astype(int) - np.asarray(hidden)[..., :3]).max(-1) > 8) & (covered.max(-1) == 0)
    hidden.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    hidden.save(results / "a_redacted.png")
    assert command.main(["verify", str(photos), str(results)]) == 1
    assert "holds more than was looked at (colours under what is transparent): save it" in capsys.readouterr().out


def test_verify_says_which_of_two_files_cannot_be_looked_at(sources, tmp_path, capsys):
    """It said of A.png that it is animated, where its result was."""
    photo = tmp_path / "A.png"
    portrait().save(photo)
    moving = tmp_path / "A_anonymized.png"
    portrait().save(moving, save_all=True, append_images=[portrait().rotate(90)])
    for before, after, said in (
        (photo, moving, "A.png: its result, A_anonymized.png, cannot be looked at. It is animated, 2 pictures"),
        (moving, photo, "A_anonymized.png: the original, A_anonymized.png, cannot be looked at. It is animated"),
    ):
        assert command.main(["verify", str(before), str(after)]) == 1
        assert said in capsys.readouterr().out
    make_clip(tmp_path / "good.mp4")
    assert command.main(["verify", str(tmp_path / "good.mp4"), str(sources / "cut off.mp4")]) == 1
    assert "good.mp4: its result, cut off.mp4, cannot be looked at. The file is no video" in capsys.readouterr().out


@pytest.mark.parametrize(("error", "said"), [(MemoryError(), "MemoryError"), (EOFError("the end"), "the end")])
def test_verify_goes_on_behind_a_file_whatever_that_causes(tmp_path, capsys, monkeypatch, error, said):
    from face_anonymizer.modules.headless.anonymizer import Anonymizer

    verify = Anonymizer.verify

    def spoiled(anonymizer, before, after):
        if before.shape[1] == 100:
            raise error
        return verify(anonymizer, before, after)

    monkeypatch.setattr(Anonymizer, "verify", spoiled)
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        for name, side in (("a.png", 100), ("b.png", 90)):
            Image.new("RGB", (side, 80)).save(tmp_path / folder / name)
    assert command.main(["verify", str(tmp_path / "before"), str(tmp_path / "after")]) == 1
    out = capsys.readouterr().out
    assert f"a: {said}" in out and "b: No face found" in out


def test_verify_says_of_which_films_it_knows_the_tracks_alone(sources, tmp_path, capsys):
    for name in ("a.ts", "a.mp4"):
        make_clip(tmp_path / name)
        assert command.main(["verify", str(tmp_path / name), str(tmp_path / name)]) == 1, "nobody to verify"
        assert ("a.ts: its result was not looked at beside its film" in capsys.readouterr().out) == (name == "a.ts")


def test_a_folder_without_photos_says_what_to_name(tmp_path, capsys):
    """It listed 41 suffixes."""
    photos, results = tmp_path / "photos", tmp_path / "results"
    for folder in (photos, results):
        folder.mkdir()
    portrait().save(photos / "a.png")
    assert command.main(["verify", str(photos), str(results)]) == 2
    said = capsys.readouterr().err
    assert f"There is no picture in {results} that is read here: name the folder that holds them." in said
    assert "scripts/anonymize.py" in said and ".apng" not in said


@pytest.mark.parametrize("task", ["anonymize", "redact"])
@pytest.mark.parametrize("verify", ["off", "on"])
def test_both_ways_do_what_the_graph_says(task, verify):
    """Each input of the shipped graph has the value that the options of this process have."""
    given = {} if task == "redact" else {"verify": verify, "fallback": "mosaic", "degree": 0.7}
    asked = FolderOptions(paths=(), output=Path("out"), redact=task == "redact", thorough="all", min_score=0.4, **given)
    settings = asked.of_results(checkpoint.ModelSettings())
    prompt = prompts.load_prompt(GRAPHS, task, "photo", settings | asked.of_kind("photo"))
    inputs = {node["class_type"]: node["inputs"] for node in prompt.values()}
    ours = options_of(settings)
    found = inputs["FaceAnonDetectFaces"]
    assert ours.detecting == DetectSettings(found["min_score"], found["max_faces"], found["thorough"])
    if task == "redact":
        cover = inputs["FaceAnonRedactFaces"]
        assert RedactSettings(
            *(cover[name] for name in ("mode", "shape", "detail", "margin", "keep"))
        ) == RedactSettings(settings["mode"], settings["shape"], settings["detail"])
        return
    paste = inputs["FaceAnonPasteFaces"]
    keep = tuple(part for part in ("eyes", "nose", "mouth") if paste[f"keep_{part}"])
    names = ("feather", "region", "colour_match", "fallback", "min_size")
    pasting = PasteSettings(**{name: paste[name] for name in names}, keep=keep, keep_faces=paste["keep"])
    assert ours.pasting == pasting and ours.size == inputs["FaceAnonCropFaces"]["size"]
    painter = inputs["FaceAnonAnonymizeCrops" if verify == "on" else "FaceAnonDDPMSampler"]
    sampler = {
        name: painter[name] for name in ("steps", "guidance_scale", "guidance_from", "guidance_to") if name in painter
    }
    assert dataclasses.asdict(ours.sampler) == dataclasses.asdict(ours.sampler) | sampler
    assert ours.sampler.name == painter.get("sampler_name", DDPM) and ours.verify == verify
    if verify == "on":
        assert ours.attempts.attempts == painter["attempts"] and ours.attempts.degree_mode == painter["degree_mode"]
        assert ours.attempts.traits == painter["keep_traits"] and ours.faces_at_once == PaintSettings.faces_at_once


def test_a_comfyui_is_taken_where_one_is_there(tmp_path, monkeypatch):
    engine = engines.choose_engine
    assert engine("auto") == ("diffusers", "Engine: diffusers, as there is no ComfyUI here.")
    assert engine("auto", ["http://there"]) == engine("comfyui", ["http://there"]) == ("comfyui", "")
    with pytest.raises(location.HostMissing):
        engine("comfyui")
    comfyui = tmp_path / "none"
    (comfyui / "comfy").mkdir(parents=True)
    (comfyui / "main.py").touch()
    (comfyui / "requirements.txt").write_text("numpy\n")
    assert engine("auto") == engine("comfyui") == ("comfyui", "") and engine("diffusers") == ("diffusers", "")
    (comfyui / "requirements.txt").write_text("numpy\nno-such-package>=2\n")
    assert engine("auto").name == "diffusers" and "lacks no-such-package of" in engine("auto").why
    with pytest.raises(engines.EngineMissing, match=r"lacks no-such-package .*Or: --engine diffusers"):
        engine("comfyui")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(location.HostMissing, match="COMFYUI_PATH is"):
        engine("auto")


def test_what_is_missing_is_named_with_the_next_step(sources, tmp_path, monkeypatch, capsys):
    version = importlib.metadata.version

    def without_torch(name):
        if name in ("torch", "diffusers"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_torch)
    assert anonymize.main([str(sources), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"torch, diffusers are missing: pip install '{ROOT}[headless]'" in said and not (tmp_path / "out").exists()
    assert {requirements.missing([name])[0] for name in requirements.of_extra("headless")[:1]} == {"torch"}
    assert set(engines._PACKAGES) | {"torchvision", "aiohttp"} == {
        name.split(">")[0] for name in requirements.of_extra("headless")
    }


def test_a_folder_without_photos_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert anonymize.main([str(tmp_path / "empty"), "--output", str(tmp_path / "out")]) == 1
    assert "No photo or video that can be done in" in capsys.readouterr().err
    assert command.main([]) == 0 and command.main(["paint"]) == 2
    assert "there are anonymize, redact, swap, dataset, verify, evaluate, models" in capsys.readouterr().err
