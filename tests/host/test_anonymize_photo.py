"""Anonymize Photo in a real ComfyUI: bit for bit what the long graph gives, and nothing is loaded or searched twice."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from face_anonymizer.modules.faces.settings import PasteSettings, RedactSettings
from face_anonymizer.modules.runs.client import PromptFailed
from face_anonymizer.tools.pictures.synthetic_group import make_portrait

ROOT = Path(__file__).resolve().parents[2]
LOADER = {"clip_vision": "from model folder", "vae": "from model folder", "weight_dtype": "default"}
SIMPLE = {"model": "tiny", "degree": 1.25, "seed": 7, "preset": "fast", "who": "all", "numbers": "", "thorough": False}
FAST = {"steps": 4, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
LOOKED = {"min_score": 0.3, "max_faces": 0, "thorough": False}
SAVED = ("FaceAnonSaveImage", "SaveImage")


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="module", autouse=True)
def photos(server, tmp_path_factory) -> Path:
    """photo.png has one face, source.png is another person, empty.png is nobody."""
    folder = tmp_path_factory.mktemp("photos")
    Image.open(ROOT / "assets" / "astronaut.jpg").crop((96, 0, 352, 256)).save(folder / "photo.png")
    make_portrait().save(folder / "source.png")
    Image.new("RGB", (200, 150), (90, 120, 200)).save(folder / "empty.png")
    for file in folder.iterdir():
        server.upload(file, name=file.name)
    return folder


def in_one(picture: str = "photo", **settings) -> dict:
    """Load, anonymize, save: three nodes."""
    prompt = {
        "1": node("LoadImage", image=f"{picture}.png"),
        "2": node("FaceAnonAnonymizePhoto", image=["1", 0], **(SIMPLE | settings)),
        "3": node("FaceAnonSaveImage", images=["2", 0], report=["2", 4], **saving("in_one")),
    }
    if settings.get("what") == "swap":
        prompt["9"] = node("LoadImage", image="source.png")
        prompt["2"]["inputs"]["source"] = ["9", 0]
    return prompt


def saving(prefix: str) -> dict:
    return {
        **{"filename_prefix": prefix, "format": "png", "quality": 95},
        **{"keep_icc_profile": True, "mark_as_ai": True},
    }


GUIDANCE = {"tiny": 4.0, "demo": 2.0}


def in_steps(what: str, model: str, verify: str) -> dict:
    """The same by the single nodes, wired and set by hand."""
    prompt = {
        "1": node("LoadImage", image="photo.png"),
        "d": node("FaceAnonDetectFaces", image=["1", 0], **LOOKED),
        "3": node("FaceAnonSaveImage", images=["p", 0], report=["p", 2], **saving("in_steps")),
    }
    if what == "cover":
        redact = RedactSettings()
        covering = {"mode": redact.mode, "shape": redact.shape, "detail": redact.detail, "margin": redact.margin}
        prompt["p"] = node("FaceAnonRedactFaces", image=["1", 0], faces=["d", 0], **covering)
        return prompt
    names = ("model", "source_reference_net", "driving_reference_net", "clip_vision", "vae")
    prompt |= {
        "l": node("FaceAnonLoadModel", model=model, **LOADER),
        "c": node("FaceAnonCropFaces", image=["1", 0], faces=["d", 0], size=128, align="68 landmarks"),
        "a": node(
            "FaceAnonAnonymizeCrops",
            **{name: ["l", slot] for slot, name in enumerate(names)},
            **{"crops": ["c", 0], "faces": ["c", 1], "degree": 1.25, "seed": 7, **FAST},
            **{"guidance_scale": GUIDANCE[model]},
            **{"identity": "same noise", "faces_at_once": 8, "verify": verify},
        ),
        "p": node(
            "FaceAnonPasteFaces",
            **{
                "image": ["1", 0],
                "crops": ["a", 0],
                "faces": ["a", 1],
                "feather": PasteSettings().feather,
                "seed": 7,
                "verify": verify,
            },
        ),
    }
    if what == "swap":
        prompt |= {
            "9": node("LoadImage", image="source.png"),
            "e": node("FaceAnonDetectFaces", image=["9", 0], **(LOOKED | {"max_faces": 1})),
            "f": node("FaceAnonCropFaces", image=["9", 0], faces=["e", 0], size=128, align="68 landmarks"),
        }
        prompt["a"]["inputs"] |= {"source": ["f", 0], "degree": 0.0}
        prompt["p"]["inputs"]["action"] = "swapped"
    return prompt


def run(server, prompt: dict) -> tuple[np.ndarray | None, dict, list[str]]:
    """The saved picture, the last report, and the nodes that ran, those of one node in another by their own names."""
    with server._messages() as messages:
        history = server.wait(server.queue(prompt), timeout=200)
        ran = []
        while (message := messages.get(timeout=20))["type"] != "execution_success":
            if message["type"] == "executing" and message["data"]["node"]:
                ran.append(message["data"]["node"].rsplit(".", 1)[-1])
    saved = {"outputs": {key: output for key, output in history["outputs"].items() if "animated" not in output}}
    pictures = [np.asarray(picture) for number, picture in server.images(saved) if number == "3"]
    told = reports(history)
    return pictures[0] if pictures else None, told[-1] if told else {}, ran


def reports(history: dict) -> list[dict]:
    """What the nodes report, in the order of their ends."""
    return [output["face_anon_report"][0] for output in history["outputs"].values() if "face_anon_report" in output]


@pytest.mark.parametrize(
    ("what", "model", "verify", "action"),
    [
        ("strangers", "tiny", "on", "redacted"),  # it paints no faces: the recognisers let none pass
        ("strangers", "demo", "auto", "anonymized"),
        pytest.param("swap", "demo", "off", "swapped", marks=pytest.mark.long),  # a swap of two photos stands below
        ("cover", "demo", "auto", "redacted"),
    ],
)
def test_it_gives_what_the_long_graph_gives(server, what, model, verify, action):
    one, told, _ = run(server, in_one(what=what, model=model, verify=verify, attempts=2))
    prompt = in_steps(what, model, verify)
    if "a" in prompt:
        prompt["a"]["inputs"]["attempts"] = 2
    long, expected, _ = run(server, prompt)
    assert np.array_equal(one, long)
    assert told == expected
    assert [face["action"] for face in told["faces"]] == [action]
    assert (told["faces"][0]["verification"] is not None) == (verify == "on")


def test_a_video_is_covered_as_the_long_graph_covers_it(server, short_clip, tmp_path):
    """And another seed, which covers nobody otherwise, tracks nobody."""
    load = {"1": node("LoadVideo", file=server.upload(short_clip, name="film.mp4"))}
    redact = RedactSettings()
    saved = {"filename_prefix": "a", "format": "mp4", "mark_as_ai": True}
    video = node("FaceAnonAnonymizeVideoFile", video=["1", 0], **(SIMPLE | {"what": "cover", "numbers": ""}))
    tracking = {"min_score": 0.3, "thorough": False, "max_gap": 10, "lead": 3, "smoothing": 2.5}
    tracking["points"] = False  # which nobody needs who covers
    covering = {"mode": redact.mode, "shape": redact.shape, "detail": redact.detail, "margin": redact.margin}
    one = {"2": video, "3": node("FaceAnonSaveVideo", video=["2", 0], report=["2", 2], **saved)}
    long = {
        "t": node("FaceAnonTrackVideo", video=["1", 0], **tracking),
        "2": node("FaceAnonRedactVideo", video=["1", 0], faces=["t", 0], **covering),
        "3": node("FaceAnonSaveVideo", video=["2", 0], report=["2", 1], **saved),
    }
    files = []
    for prompt in (load | long, load | one):
        history = server.wait(server.queue(prompt), timeout=200)
        files.append(tmp_path / f"{len(files)}.mp4")
        server.download(history["outputs"]["3"]["images"][0], files[-1])
    first, second = (list(frames_of(file)) for file in files)
    assert len(first) == len(second) == 2
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    video["inputs"]["seed"] = 8
    assert not {"track", "cover", "1"} & set(run(server, load | one)[2])


def frames_of(file: Path):
    with av.open(str(file)) as container:
        yield from (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


def test_another_seed_loads_nothing_and_looks_for_nothing(server):
    first = run(server, in_one(what="strangers", model="demo", min_score=0.31))[0]
    again, _, ran = run(server, in_one(what="strangers", model="demo", min_score=0.31, seed=8))
    assert not {"detect", "crop", "load", "1"} & set(ran) and {"paint", "paste"} <= set(ran), ran
    assert not np.array_equal(first, again)
    same, _, ran = run(server, in_one(what="strangers", model="demo", min_score=0.31, seed=8))
    assert ran in ([], ["3"]) and np.array_equal(same, again)


@pytest.mark.parametrize("what", ["cover", "swap"])
def test_of_a_list_of_photos_each_has_its_result(server, what):
    """Other nodes split a batch into a list, and load folders as one; the host calls every node once a photo then."""
    prompt = in_one(what=what, model="demo", preset="fast")
    prompt["b"] = node("ImageBatch", image1=["1", 0], image2=["8", 0])
    prompt["8"] = node("LoadImage", image="source.png")
    prompt["l"] = node("RebatchImages", images=["b", 0], batch_size=1)
    prompt["2"]["inputs"]["image"] = ["l", 0]
    prompt["m"] = node("MaskToImage", mask=["2", 1])
    prompt["4"] = node("PreviewImage", images=["m", 0])
    prompt["5"] = node("PreviewImage", images=["2", 3])
    history = server.wait(server.queue(prompt), timeout=200)
    pictures = {number: [] for number in "345"}
    for number, picture in server.images(history):
        if number in pictures:
            pictures[number].append(np.asarray(picture.convert("RGB")))
    assert {number: len(found) for number, found in pictures.items()} == {"3": 2, "4": 2, "5": 2}
    assert len({picture.tobytes() for picture in pictures["3"]}) == 2
    for picture, mask in zip(pictures["3"], pictures["4"], strict=True):
        assert picture.shape == mask.shape and 0.05 < (mask > 250).mean() < 0.9
    action = "redacted" if what == "cover" else "swapped"
    assert len([report for report in reports(history) if report["actions"] == {action: 1}]) >= 2


def test_without_a_face_no_model_is_loaded_and_the_user_decides(server):
    picture, report, ran = run(server, in_one("empty", what="strangers", model="demo"))
    assert (picture == (90, 120, 200)).all() and report["faces"] == [] and "load" not in ran
    picture, _, ran = run(server, in_one("empty", what="cover", if_no_face="stop"))
    assert picture is None and "paste" not in ran, "something was saved"
    with pytest.raises(PromptFailed, match="No face found"):
        run(server, in_one("empty", what="cover", if_no_face="error"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"what": "strangers", "who": "list"}, "numbers is empty"),
        ({"what": "strangers", "model": "nobody's"}, 'There is no model "nobody\'s"'),
    ],
)
def test_what_cannot_be_done_says_what_to_do(server, settings, said):
    with pytest.raises(PromptFailed, match=said):
        run(server, in_one(**settings))
    prompt = in_one(what="swap")
    del prompt["2"]["inputs"]["source"]
    with pytest.raises(PromptFailed, match="connect a photo of that person to source"):
        run(server, prompt)


def test_two_nodes_with_one_seed_each_have_their_picture(server):
    prompt = in_one(what="strangers") | {
        "12": node("FaceAnonAnonymizePhoto", image=["1", 0], **(SIMPLE | {"what": "strangers"})),
        "13": node("FaceAnonSaveImage", images=["12", 0], report=["12", 4], **saving("other")),
    }
    pictures = dict(server.images(server.run(prompt, timeout=300)))
    one, other = (np.asarray(pictures[number]) for number in ("3", "13"))
    assert (one == other).all()


CROWD = 30


def test_a_crowd_can_be_cancelled_while_it_is_painted_and_nothing_is_lost(server, photos, tmp_path):
    """Thirty faces: cancelled in the first batch, covered afterwards, and painted whole in the end."""
    head = Image.open(photos / "photo.png").resize((96, 96))
    crowd = Image.new("RGB", (6 * 96, 5 * 96))
    for i in range(CROWD):
        crowd.paste(head, (i % 6 * 96, i // 6 * 96))
    crowd.save(tmp_path / "crowd.png")
    server.upload(tmp_path / "crowd.png", name="crowd.png")

    def cancel(place: str, done: int, all_of_it: int) -> None:
        if place.endswith("paint") and done:
            server.post("/interrupt", {})

    with pytest.raises(PromptFailed, match="Interrupted in FaceAnonAnonymizePhoto"):
        server.run(in_one("crowd", what="strangers"), on_progress=cancel, timeout=300)
    covered = server.run(in_one("crowd", what="cover"), timeout=300)
    assert reports(covered)[-1]["actions"] == {"redacted": CROWD}
    painted = server.run(in_one("crowd", what="strangers", verify="off"), timeout=300)
    assert len(reports(painted)[-1]["faces"]) == CROWD
    (picture,) = (np.asarray(one) for number, one in server.images(painted) if number == "3")
    assert picture.shape == (5 * 96, 6 * 96, 3)
