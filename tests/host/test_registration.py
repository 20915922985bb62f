"""The pack as ComfyUI loads it: from a folder with dashes, under a path as its name, without the network."""

import ast
import asyncio
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import nodes as host_nodes

ROOT = Path(__file__).resolve().parents[2]

MODEL = ("model", "source_reference_net", "driving_reference_net", "clip_vision", "vae")
PAINTING = ("degree", "seed", "steps", "guidance_scale", "sampler_name", "scheduler", "identity", "faces_at_once")
INTERVAL = ("guidance_from", "guidance_to")
CONTRACT = {
    "FaceAnonAnonymizePhoto": (
        [
            *("image", "what", "model", "degree", "seed", "preset", "who", "numbers", "source", "cover_with", "region"),
            *("verify", "attempts", "min_score", "thorough", "batch_is", "if_no_face", "face_anon_model", "face_seeds"),
            *("keep_traits", "degree_mode", "keep"),
        ],
        ["IMAGE", "MASK", "FACE_ANON_FACES", "IMAGE", "FACE_ANON_REPORT"],
    ),
    "FaceAnonAnonymizeVideoFile": (
        [
            *("video", "what", "model", "degree", "seed", "preset", "who", "numbers", "cover_with", "region"),
            *("verify", "attempts", "min_score", "thorough", "identity", "if_no_face", "face_anon_model", "face_seeds"),
            *("keep_traits", "degree_mode", "keep"),
        ],
        ["VIDEO", "FACE_ANON_FACES", "FACE_ANON_REPORT"],
    ),
    "FaceAnonSamplePicture": (["picture"], ["IMAGE"]),
    "FaceAnonSampleVideo": ([], ["VIDEO"]),
    "FaceAnonBeforeAfter": (["before", "after", "layout", "report", "faces"], ["IMAGE"]),
    "FaceAnonLoadModel": (
        ["model", "clip_vision", "vae", "weight_dtype"],
        ["MODEL", "FACE_ANON_REFERENCE_NET", "FACE_ANON_REFERENCE_NET", "CLIP_VISION", "VAE", "FACE_ANON_MODEL"],
    ),
    "FaceAnonEncodeImage": (["clip_vision", "image", "degree"], ["FACE_ANON_EMBEDS"]),
    "FaceAnonSourceReference": (["reference_net", "latent", "embeds"], ["FACE_ANON_STATES"]),
    "FaceAnonDrivingReference": (["reference_net", "latent", "embeds"], ["FACE_ANON_STATES"]),
    "FaceAnonInterpolateStates": (["source_states", "degree"], ["FACE_ANON_STATES"]),
    "FaceAnonApply": (
        ["model", "source_states", "driving_states", "source_embeds", "driving_embeds"],
        ["MODEL", "CONDITIONING", "CONDITIONING", "LATENT"],
    ),
    "FaceAnonDDPMSampler": (
        [
            "model",
            "source_states",
            "driving_states",
            "source_embeds",
            "driving_embeds",
            "seed",
            "steps",
            "guidance_scale",
            "faces",
            *INTERVAL,
        ],
        ["LATENT"],
    ),
    "FaceAnonDetectFaces": (
        ["image", "min_score", "max_faces", "face_landmarks", "bboxes", "thorough", "if_no_face"],
        ["FACE_ANON_FACES", "BOUNDING_BOX", "IMAGE"],
    ),
    "FaceAnonCropFaces": (["image", "faces", "size", "align", "face_anon_model"], ["IMAGE", "FACE_ANON_FACES"]),
    "FaceAnonPasteFaces": (
        [
            *("image", "crops", "faces", "feather", "region", "colour_match", "keep_eyes", "keep_nose", "keep_mouth"),
            *("protect", "fallback", "min_size", "action", "seed", "report", "keep", "verify"),
        ],
        ["IMAGE", "MASK", "FACE_ANON_REPORT"],
    ),
    "FaceAnonSelectFaces": (
        [
            *("faces", "indices", "largest", "min_size", "max_size", "min_score", "position"),
            *("mask", "mask_mode", "invert"),
        ],
        ["FACE_ANON_FACES", "FACE_ANON_FACES"],
    ),
    "FaceAnonTrackFaces": (["image", "faces", "max_gap", "lead", "smoothing"], ["FACE_ANON_FACES", "IMAGE"]),
    "FaceAnonAnonymizeCrops": (
        [
            *(*MODEL, "crops", "faces", *PAINTING, "source"),
            *("attempts", "verify", "keep", "keep_traits", "degree_mode", "face_anon_model"),
            *(*INTERVAL, "face_seeds"),
        ],
        ["IMAGE", "FACE_ANON_FACES"],
    ),
    "FaceAnonRedactFaces": (
        ["image", "faces", "mode", "shape", "detail", "margin", "report", "keep"],
        ["IMAGE", "MASK", "FACE_ANON_REPORT"],
    ),
    "FaceAnonVerifyFaces": (
        ["before", "after", "faces", "report"],
        ["IMAGE", "MASK", "FACE_ANON_FACES", "FACE_ANON_REPORT"],
    ),
    "FaceAnonTrackVideo": (
        ["video", "min_score", "thorough", "max_gap", "lead", "smoothing", "if_no_face", "points"],
        ["FACE_ANON_FACES"],
    ),
    "FaceAnonAnonymizeVideo": (
        [
            *("video", "faces", *MODEL, *PAINTING, "feather", "region", "colour_match", "fallback", "min_size"),
            *("report", "keep", "attempts", "verify", "keep_traits", "degree_mode", "face_anon_model"),
            *(*INTERVAL, "face_seeds"),
        ],
        ["VIDEO", "FACE_ANON_REPORT"],
    ),
    "FaceAnonRedactVideo": (
        ["video", "faces", "mode", "shape", "detail", "margin", "report", "keep"],
        ["VIDEO", "FACE_ANON_REPORT"],
    ),
    "FaceAnonSaveImage": (
        ["images", "filename_prefix", "format", "quality", "keep_icc_profile", "mark_as_ai", "report", "report_page"],
        ["IMAGE"],
    ),
    "FaceAnonSaveVideo": (["video", "filename_prefix", "format", "mark_as_ai", "report", "report_page"], ["VIDEO"]),
    "FaceAnonVariations": (
        ["crops", "faces", "face_anon_model", "degrees", "seeds", "seed", "preset"],
        ["IMAGE", "STRING"],
    ),
    "FaceAnonReport": (["report", "save", "filename_prefix", "report_page"], ["STRING"]),
}


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The nodes of a copy of the pack, loaded by ComfyUI's own loader with every socket forbidden."""
    copy = tmp_path / "custom_nodes" / "ComfyUI-FaceAnonymizer"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "tests", "__pycache__", "workflows", ".ruff_cache")
    )
    before = dict(host_nodes.NODE_CLASS_MAPPINGS)

    def forbidden(*_):
        raise AssertionError("the pack opened a socket while it was loaded")

    # connect alone: an event loop needs sockets of its own
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    with ThreadPoolExecutor() as thread:  # the browser of other tests keeps an event loop in this one
        assert thread.submit(asyncio.run, host_nodes.load_custom_node(str(copy))).result(), "ComfyUI could not load it"
    found = {name: node for name, node in host_nodes.NODE_CLASS_MAPPINGS.items() if name not in before}
    yield found
    for name in found:
        del host_nodes.NODE_CLASS_MAPPINGS[name]


def test_every_node_keeps_its_contract(registered):
    assert set(registered) == set(CONTRACT)
    for name, (inputs, outputs) in CONTRACT.items():
        schema = registered[name].GET_SCHEMA()
        assert [i.id for i in schema.inputs] == inputs, name
        assert [o.io_type for o in schema.outputs] == outputs, name
        assert schema.category.startswith("face anonymizer/") and schema.description, name


def test_every_node_has_a_help_page():
    pages = {page.stem for page in (ROOT / "web" / "docs").glob("*.md")}
    assert pages == set(CONTRACT)


def imported_by_nodes() -> set[Path]:
    """The pack's files that the nodes import, at once or when called, and what these import in their turn."""
    found, waiting = set(), [ROOT / "__init__.py", *(ROOT / "nodes").glob("*.py")]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                place = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                places = [place, *(place / alias.name for alias in node.names)]
                ends = [one.with_suffix(".py") for one in places] + [one / "__init__.py" for one in places]
                waiting += [end for end in ends if end.is_file()]
    return found


def test_no_word_of_pickle_or_network_in_what_the_host_imports():
    files = imported_by_nodes()
    assert {ROOT / "modules" / "model" / "loading.py", ROOT / "modules" / "faces" / "types.py"} < files
    code, network = ("torch.load(", "pickle.load", "eval(", "exec("), ("import requests", "urllib", "huggingface_hub")
    for file in {*files, *(ROOT / "modules").rglob("*.py")}:
        # Ray hands its own workers what its driver wrote: no file is read by it
        source = file.read_text(encoding="utf-8").replace(".eval()", "").replace("ray.cloudpickle.loads(", "")
        forbidden = (*code, *network) if file in files else code
        assert not [word for word in forbidden if word in source], file
