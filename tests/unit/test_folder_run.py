"""Folder runs against a stand-in for ComfyUI: what one bad file, a full disk and a lost server do; the prompts and the
report; and that a kill leaves no ComfyUI behind.
"""

import contextlib
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest
from PIL import Image

from face_anonymizer.modules import files
from face_anonymizer.modules.model.checkpoint import ModelSettings
from face_anonymizer.modules.runs import anonymize_folder, folder_options, jobs, prompts
from face_anonymizer.modules.runs import client as comfy_client
from face_anonymizer.modules.runs import folder_report as reports
from face_anonymizer.modules.runs import folder_run as runs
from face_anonymizer.modules.runs import journal as journals

ROOT = Path(__file__).resolve().parents[2]
GUARD = ROOT / "modules" / "runs" / "guard.py"


FACE = {
    **{"image": 0, "box": [10.0, 20.0, 110.0, 150.0], "size": 114.0, "score": 0.93, "source": "centerface"},
    **{"track": None, "action": "redacted", "seed": None, "reason": ""},
}
NODE_REPORT = {"images": 1, "width": 64, "height": 48, "actions": {"redacted": 1}, "faces": [FACE]}
PROMPT = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "Photo"}},
    "2": {"class_type": "FaceAnonRedactFaces", "inputs": {}, "_meta": {"title": "Redact"}},
    "3": {"class_type": "FaceAnonSaveImage", "inputs": {}, "_meta": {"title": "Save"}},
}


DONE = b"done"


class StandIn:
    """A ComfyUI whose result is the upload and DONE. errors: after how many uploads a download raises what."""

    def __init__(self, errors: dict[int, Exception] | None = None, dies_after: int | None = None):
        self.url = "http://stand-in"
        self.stop = threading.Event()
        self.files: dict[str, bytes] = {}
        self.errors = errors or {}
        self.dies_after = dies_after

    def get(self, path: str):
        if self.dies_after is not None and len(self.files) > self.dies_after:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        return {}

    def upload(self, source, name: str, kind: str) -> str:
        assert kind == "temp" and re.fullmatch(r"[0-9a-f]{32}\.png", name)
        self.files[name] = source.getvalue()
        self.get("/")
        return f"{name} [temp]"

    def queue(self, prompt: dict) -> str:
        return prompt["1"]["inputs"]["image"].removesuffix(" [temp]")

    def wait(self, prompt_id: str, on_progress) -> dict:
        saved = [{"filename": prompt_id, "subfolder": "", "type": "output"}]
        return {"outputs": {"2": {"face_anon_report": [NODE_REPORT]}, "3": {"images": saved}}}

    def download(self, file: dict, target: Path) -> None:
        data = self.files[file["filename"]] + DONE
        target.write_bytes(data[: len(data) // 2])
        if error := self.errors.get(len(self.files)):
            raise error
        target.write_bytes(data)

    def forget(self, prompt_id: str) -> None:
        pass


@pytest.fixture
def photos(tmp_path) -> Path:
    """Four photos in two folders."""
    for i, name in enumerate(("a", "b", "sub/c", "sub/d")):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (i, 100, 200)).save(path, compress_level=1)
    return tmp_path / "photos"


@contextlib.contextmanager
def folder_run(photos: Path):
    """(journal, what is left to do, a function that does it and returns the outcomes)."""
    output = photos.parent / "out"
    with journals.Journal(output, {}) as journal:
        planned = jobs.plan_jobs(jobs.find_sources([photos], output).sources, "_redacted", {"photo": ".png"})
        left = jobs.unfinished(planned, journal)
        outcomes = []

        def do(*clients: StandIn) -> list:
            runs.FolderRun(journal, {"photo": PROMPT}).do(left, list(clients), outcomes.append)
            return outcomes

        yield journal, left, do


@pytest.mark.parametrize("told", [None, {"comfyui": "0.33.0", "pack": 7}, "x"])
def test_what_a_named_server_does_not_tell_of_itself_is_not_known(photos, told):
    class Other(StandIn):
        def wait(self, prompt_id, on_progress):
            history = super().wait(prompt_id, on_progress)
            history["outputs"]["3"] |= {"face_anon_makers": [told]} if told else {}
            return history

    with journals.Journal(photos.parent / "out", {}) as journal:
        planned = jobs.plan_jobs(jobs.find_sources([photos], photos.parent / "out").sources, "_x", {"photo": ".png"})
        runs.FolderRun(journal, {"photo": PROMPT}, by_others=True).do(planned[:1], [Other()], lambda outcome: None)
        (entry,) = journal.entries.values()
    known = "0.33.0" if isinstance(told, dict) else "not known"
    assert entry["made_by"] == {"comfyui": known, "pack": "not known"}
    painting = {"1": {"class_type": "FaceAnonLoadModel", "inputs": {"model": "demo"}}}
    assert prompts.find_makers(painting, {"outputs": {}})["model_sha256"] == "not known"


def results(photos: Path) -> dict[str, bytes]:
    """Everything in the output folder but the journal."""
    output = photos.parent / "out"
    files = (path for path in output.rglob("*") if path.is_file() and path.name != journals.JOURNAL_NAME)
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in files}


def finished(photos: Path) -> dict[str, bytes]:
    paths = photos.rglob("*.png")
    return {
        path.relative_to(photos).as_posix().replace(".png", "_redacted.png"): path.read_bytes() + DONE for path in paths
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_every_result_is_written(photos, workers):
    with folder_run(photos) as (journal, _, do):
        outcomes = do(*(StandIn() for _ in range(workers)))
        assert sorted(outcome.entry["source"] for outcome in outcomes) == ["a.png", "b.png", "sub/c.png", "sub/d.png"]
        assert jobs.unfinished([outcome.job for outcome in outcomes], journal) == []
    assert results(photos) == finished(photos)


def test_one_bad_file_does_not_stop_the_others(photos):
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[:-30])
    Image.new("RGB", (8, 8)).save(
        photos / "pages.tif", save_all=True, append_images=[Image.new("RGB", (8, 8), (9, 9, 9))]
    )
    with folder_run(photos) as (_, _, do):
        outcomes = do(StandIn({2: comfy_client.PromptFailed("FaceAnonRedactFaces (node 2) failed: cause")}))
    errors = {outcome.job.source.name: outcome.error for outcome in outcomes if outcome.error}
    assert "cannot be read: " in errors["b.png"] and "2 pictures" in errors["pages.tif"]
    assert errors["sub/c.png"] == "FaceAnonRedactFaces (node 2) failed: cause"
    expected = finished(photos)
    assert results(photos) == {name: expected[name] for name in ("a_redacted.png", "sub/d_redacted.png")}


@pytest.mark.parametrize("kind", [EOFError, MemoryError, RuntimeError, av.error.ExternalError])
def test_whatever_one_file_causes_the_others_are_done(photos, kind):
    with folder_run(photos) as (_, _, do):
        outcomes = do(StandIn({2: kind(1, "words")}))
    assert [outcome.job.source.name for outcome in outcomes if outcome.error] == ["b.png"]
    assert kind.__name__ in outcomes[1].error and "words" in outcomes[1].error
    assert set(results(photos)) == set(finished(photos)) - {"b_redacted.png"}


def test_a_full_disk_stops_the_run_and_leaves_no_half(photos):
    with folder_run(photos) as (journal, _, do):
        with pytest.raises(runs.RunStopped, match="No space"):
            do(StandIn({2: OSError(errno.ENOSPC, "No space left on device")}))
        assert list(journal.entries) == ["a.png"]
    assert list(results(photos)) == ["a_redacted.png"]
    with folder_run(photos) as (_, left, do):
        assert len(left) == 3
        do(StandIn())
    assert results(photos) == finished(photos)


def test_a_file_that_is_too_large_for_the_disk_fails_alone(photos):
    with folder_run(photos) as (_, _, do):
        outcomes = do(StandIn({2: OSError(errno.EFBIG, "File too large")}))
    assert [outcome.job.source.name for outcome in outcomes if outcome.error] == ["b.png"]
    assert len(results(photos)) == 3


def test_another_server_takes_over_and_without_one_the_run_stops(photos):
    with folder_run(photos) as (_, _, do), pytest.raises(runs.RunStopped, match="does not answer"):
        do(StandIn(dies_after=2))
    assert len(results(photos)) == 2
    with folder_run(photos) as (_, left, do):
        assert len(left) == 2
        do(StandIn(dies_after=0), StandIn())
    assert results(photos) == finished(photos)


def killed_at(monkeypatch, moment: str, count: int) -> None:
    """Let this process be killed at the count-th call of a step of publishing a result."""
    if moment == "download":
        return
    name, _, when = moment.partition(" ")
    call, calls = getattr(os, name), iter(range(count))

    def kill_here(*arguments, **more):
        if next(calls) < count - 1:
            return call(*arguments, **more)
        if when == "half":
            call(arguments[0], arguments[1][: len(arguments[1]) // 2])
        elif when == "after":
            call(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(os, name, kill_here)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the run that is killed is a fork")
@pytest.mark.parametrize(
    "moment", ["download", "write before", "write half", "write after", "link before", "link after"]
)
def test_a_kill_at_any_step_leaves_no_half_and_the_run_goes_on(photos, monkeypatch, moment):
    class Killed(StandIn):
        def download(self, file, target):
            if moment == "download" and len(self.files) == 3:
                target.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
            super().download(file, target)

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException), folder_run(photos) as (_, _, do):
            killed_at(monkeypatch, moment, 3)
            do(Killed())
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    expected = finished(photos)
    visible = {name: data for name, data in results(photos).items() if not name.rpartition("/")[2].startswith(".")}
    assert visible == {name: expected[name] for name in visible} and len(visible) == (
        3 if moment == "link after" else 2
    )
    files.remove_parts({photos.parent / "out", photos.parent / "out" / "sub"})
    with folder_run(photos) as (_, left, do):
        assert len(left) == 4 - len(visible)
        do(StandIn())
    assert results(photos) == expected


def test_an_interrupt_stops_the_clients(photos):
    class Interrupted(StandIn):
        def wait(self, prompt_id, on_progress):
            signal.raise_signal(signal.SIGINT) if len(self.files) == 2 else None
            if len(self.files) == 2:
                assert self.stop.wait(timeout=60)
                raise comfy_client.Cancelled
            return super().wait(prompt_id, on_progress)

    with folder_run(photos) as (_, _, do), pytest.raises(KeyboardInterrupt):
        do(Interrupted())
    assert list(results(photos)) == ["a_redacted.png"]


# Prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task, kind", prompts.GRAPHS)
def test_settings_reach_every_node_that_has_them(task, kind):
    settings = {
        **{"model": "tiny", "degree": 0.5, "steps": 3, "seed": 41, "size": 128, "min_score": 0.2, "thorough": True},
        **{"fallback": "blur", "identity": "same face", "mode": "mosaic", "shape": "box", "detail": 4.0},
        **{"format": "webp", "quality": 80, "guidance_scale": 1.5, "guidance_from": 0.25, "guidance_to": 0.75},
    }
    prompt = prompts.load_prompt(ROOT / "workflows" / "api", task, kind, settings)
    loaded = prompts.with_source(prompt, kind, "x [temp]")
    seen: dict[str, set] = {}
    for node in loaded.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and "value" in loaded[value[0]]["inputs"]:
                value = loaded[value[0]]["inputs"]["value"]
            if isinstance(value, (str, int, float)):
                seen.setdefault(name, set()).add(value)
    expected = {
        "photo": {"image": "x [temp]", "format": "webp", "quality": 80},
        "video": {"file": "x [temp]"},
        "anonymize": {"model": "tiny", "steps": 3, "guidance_scale": 1.5, "seed": 41, "fallback": "blur"},
        "redact": {"mode": "mosaic", "shape": "box", "detail": 4.0},
    }
    if task == "anonymize":
        expected["anonymize"] |= {"guidance_from": 0.25, "guidance_to": 0.75}
    expected = expected[kind] | expected[task] | {"min_score": 0.2, "thorough": True, "mark_as_ai": task == "anonymize"}
    assert {name: seen[name] for name in expected} == {name: {value} for name, value in expected.items()}
    if task == "anonymize":
        # 0 is the driving face's, in graphs of single nodes
        assert 0.5 in seen["degree"] and seen["degree"] <= {0.5, 0}
        assert seen.get("size", {128}) == {128} and seen.get("identity", {"same face"}) <= {"same face", "same noise"}


def test_a_photo_whose_faces_are_verified_is_painted_in_one_node():
    """It alone paints a face again. What painted before is gone, and every setting is where it was."""
    settings = {"model": "tiny", "degree": 1.0, "steps": 3, "seed": 41, "size": 128, "guidance_scale": 1.5}
    asked = {"verify": "auto", "attempts": 6, "keep_traits": "expression and pose", "degree_mode": "auto"}
    folder = ROOT / "workflows" / "api"
    plain = prompts.load_prompt(folder, "anonymize", "photo", settings)
    assert prompts.load_prompt(folder, "anonymize", "photo", settings | {"verify": "off"}).keys() == plain.keys()
    prompt = prompts.load_prompt(folder, "anonymize", "photo", settings | asked)
    by_class = {node["class_type"]: (number, node["inputs"]) for number, node in prompt.items()}
    assert prompts.node_classes(prompt) == prompts.node_classes(plain) - {
        *("FaceAnonDDPMSampler", "FaceAnonEncodeImage", "FaceAnonSourceReference", "FaceAnonDrivingReference"),
        *("FaceAnonInterpolateStates", "VAEEncode", "VAEDecode"),
    } | {"FaceAnonAnonymizeCrops"}
    number, inputs = by_class["FaceAnonAnonymizeCrops"]
    assert asked.items() <= inputs.items() and inputs["sampler_name"] == "ddpm (paper)" and inputs["steps"] == 3
    values = {name: prompt[inputs[name][0]]["inputs"]["value"] for name in ("degree", "seed")}
    assert values == {"degree": 1.0, "seed": 41}
    paste = by_class["FaceAnonPasteFaces"][1]
    assert (paste["crops"], paste["faces"], paste["verify"]) == ([number, 0], [number, 1], "auto")
    assert all(
        value[0] in prompt for node in prompt.values() for value in node["inputs"].values() if isinstance(value, list)
    )


def test_of_a_server_s_model_the_graph_asks_for_its_own_values():
    """Only the server knows them: the published model's would paint no face with another one."""
    options = folder_options.FolderOptions(
        paths=[Path("photos")], output=Path("out"), model="mine", servers=["http://127.0.0.1:1"]
    )
    folder = anonymize_folder.find_model_folder(options)
    settings = options.of_results(anonymize_folder.read_own_settings(folder))
    assert folder is None and (settings["steps"], settings["guidance_scale"], settings["size"]) == (0, -1, 0)
    prompt = prompts.load_prompt(anonymize_folder.GRAPHS, "anonymize", jobs.PHOTO, settings)
    by_class = {node["class_type"]: node["inputs"] for node in prompt.values()}
    assert by_class["FaceAnonCropFaces"]["size"] == 0 and "face_anon_model" in by_class["FaceAnonCropFaces"]
    assert any(inputs.get("guidance_scale") == -1 and inputs["steps"] == 0 for inputs in by_class.values())


def test_a_path_of_a_model_is_for_diffusers_alone(tmp_path):
    """ComfyUI loads by name; it was asked for the path, and said that there is no such model."""
    (tmp_path / "mine" / "unet").mkdir(parents=True)
    (tmp_path / "mine" / "unet" / "config.json").write_text("{}")
    for path in (str(tmp_path / "mine"), "models/face_anon/nobody"):
        options = folder_options.FolderOptions(
            paths=[Path("photos")], output=Path("out"), model=path, servers=["http://h"]
        )
        with pytest.raises(anonymize_folder.PlanRefused, match=rf"--model {Path(path).name}\. Or: --engine diffusers"):
            anonymize_folder.find_model_folder(options)
    options = folder_options.FolderOptions(paths=[Path("photos")], output=Path("out"), model=str(tmp_path / "mine"))
    assert anonymize_folder.find_model_folder(options, "diffusers") == tmp_path / "mine"


def test_recognisers_look_unless_the_model_is_a_demonstration():
    def options(**more):
        return folder_options.FolderOptions(paths=[Path("photos")], output=Path("out"), **more)

    own, demo = ModelSettings(), ModelSettings(demonstration="It paints nobody.")
    verified = options(model="mine").of_results(own)
    assert (verified["verify"], verified["attempts"], verified["degree_mode"]) == ("auto", 4, "fixed")
    for made in (
        options().of_results(demo),
        options(model="mine", verify="off").of_results(own),
        options(redact=True).of_results(own),
    ):
        assert not {"verify", "attempts", "keep_traits", "degree_mode"} & set(made)
    assert options(verify="on").of_results(demo)["verify"] == "on"
    with pytest.raises(ValueError, match="--attempts is 1 to 32, not 0"):
        options(attempts=0)
    with pytest.raises(ValueError, match="--degree-mode auto needs recognisers"):
        options(verify="off", degree_mode="auto")


# The report ------------------------------------------------------------------------------------------------------


def test_the_people_of_a_video_are_summed_up():
    frames = [FACE | {"image": i, "track": i % 2, "size": 50.0 + i, "score": 0.9 - i / 100} for i in range(10)]
    frames[9] |= {"action": "kept", "reason": "not selected"}
    summary = reports.summarize(NODE_REPORT | {"images": 10, "faces": frames}, "video")
    assert summary["people"][0] == {
        **{"track": 0, "first_image": 0, "last_image": 8, "images": 5, "size": 58.0, "score": 0.9},
        **{"actions": {"redacted": 5}, "reasons": [], "verdicts": {}, "covered": None, "verifications": {}},
        **{"verification": None, "attempts": None, "degree": None, "number": None, "seed": None},
    }
    assert summary["people"][1]["actions"] == {"redacted": 4, "kept": 1}
    assert summary["people"][1]["reasons"] == ["not selected"]


def test_what_the_look_at_results_saw_is_summed_up_and_shown():
    frames = [FACE | {"image": i, "track": 0, "covered": 0.95 + i / 100, "number": 1} for i in range(4)]
    for i in (1, 2):
        seen = {"verdict": "still the original", "reason": f"still the original: it agrees by 0.9{i}"}
        frames[i] |= seen
    seen = NODE_REPORT | {"images": 4, "faces": frames, "elsewhere": [{"image": 2}], "notes": ["feather was limited"]}
    summary = reports.summarize(seen, "video")
    (person,) = summary["people"]
    assert person["reasons"] == ["still the original: it agrees by 0.91"] and person["covered"] == 0.95
    assert person["verdicts"] == {"still the original": 2}
    assert (summary["elsewhere"], summary["notes"]) == (1, ["feather was limited"])
    table = reports.format_table(
        reports.make_report({}, [{"source": "a.mp4", "outcome": "done", "kind": "video", "seconds": 1.0} | summary])
    )
    assert "1 faces elsewhere in results, which were not in the list and are as before: a.mp4" in table


def test_the_table_of_many_files_shows_those_that_need_a_look(tmp_path):
    done = {"outcome": "done", "kind": "photo", "seconds": 1.0} | reports.summarize(NODE_REPORT, "photo")
    files = [{"source": f"{i}.jpg", **done} for i in range(40)]
    files += [{"source": "sky.jpg", **done, "faces": [], "actions": {}}]
    files += [{"source": "bad.jpg", "outcome": "failed", "error": "x"}, {"source": "n.txt", "outcome": "skipped"}]
    report = reports.make_report({}, files)
    lines = reports.format_table(report).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["bad.jpg", "sky.jpg", "40"] and "unchanged" in lines[3]
    assert lines[-1] == "41 done, 1 failed, 1 skipped, 40 faces redacted"
    assert "100x130" in reports.format_table(reports.make_report({}, files[:1]))
    hostile = [{**file, "actions": {"\x1b[2J": 1}} for file in files[:2]]  # of a journal that somebody else left
    assert "\x1b" not in reports.format_table(reports.make_report({}, hostile))
    assert reports.is_ours(tmp_path / reports.REPORT_NAME)
    reports.write_report(report, tmp_path)
    assert json.loads((tmp_path / reports.REPORT_NAME).read_text())["totals"]["without_faces"] == 1
    assert reports.is_ours(tmp_path / reports.REPORT_NAME)
    (tmp_path / reports.REPORT_NAME).write_text("{}")
    assert not reports.is_ours(tmp_path / reports.REPORT_NAME)


# Client and guard ------------------------------------------------------------------------------------------------


def test_a_download_that_ends_early_is_an_error(tmp_path):
    class Answer(io.BytesIO):
        headers = {"Content-Length": "100"}

    client = comfy_client.Client("http://127.0.0.1:1")
    client._opener.open = lambda *_, **__: Answer(b"x" * 60)
    with pytest.raises(OSError, match="60 of 100 bytes"):
        client.download({"filename": "a.png", "subfolder": "", "type": "output"}, tmp_path / "a.png")


def test_a_kill_ends_the_guarded_command_and_removes_its_folder(tmp_path):
    """The parent starts the guard as modules/runs/server.py does, tells the guarded command's id, and is killed."""
    folder = tmp_path / "private"
    folder.mkdir()
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    guard = [sys.executable, str(GUARD), str(folder), *command]
    parent = (
        f"import subprocess, time; p = subprocess.Popen({guard!r}, stdin=-1, start_new_session=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    guarded = int(process.stdout.readline())
    process.kill()
    # The pipe closes when the last of the three has ended.
    assert process.stdout.read() == ""
    with pytest.raises(ProcessLookupError):
        os.kill(guarded, 0)
    assert not folder.exists()


def test_the_guard_ends_with_its_command(tmp_path):
    guard = [
        sys.executable,
        str(GUARD),
        str(tmp_path),
        sys.executable,
        "-c",
        "raise SystemExit(7)",
    ]
    process = subprocess.Popen(guard, stdin=subprocess.PIPE)
    assert process.wait(timeout=60) == 7 and tmp_path.exists()
    process.stdin.close()
