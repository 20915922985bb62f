"""scripts/get_models.py against a stand-in for the hub on 127.0.0.1, with files of a few kilobytes."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from face_anonymizer.modules.downloads import catalogue, transport
from face_anonymizer.modules.downloads import model_folder as downloads
from face_anonymizer.modules.downloads.hub import Item
from face_anonymizer.modules.files import sha256_of
from face_anonymizer.modules.host import location
from face_anonymizer.scripts import get_models as command

SCRIPTS = Path(command.__file__).parent
UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def tensors(seed: int, count: int = 4) -> bytes:
    """A safetensors file of about `count` * 16 kB; every seed gives other content."""
    random = np.random.default_rng(seed)
    return save({f"layer.{i}.weight": random.standard_normal((64, 64), dtype=np.float32) for i in range(count)})


VISION = {
    "vision_model.embeddings.class_embedding": np.arange(8, dtype=np.float32),
    "vision_model.post_layernorm.weight": np.full((8,), 2, dtype=np.float16),
}
CLIP_TENSORS = VISION | {
    "vision_model.embeddings.position_ids": np.arange(5, dtype=np.int64)[None],
    "text_model.final_layer_norm.weight": np.ones(8, dtype=np.float32),
    "visual_projection.weight": np.ones((4, 8), dtype=np.float32),
    "logit_scale": np.ones((), dtype=np.float32),
}
VISION_CONFIG = {key: 1 for key in catalogue.VISION_CONFIG_KEYS} | {"hidden_act": "quick_gelu", "torch_dtype": None}


def repositories() -> dict[str, dict[str, bytes]]:
    """Repository -> path -> content, with more files than the script wants."""
    networks = {}
    for seed, part in enumerate(("unet", "referencenet", "conditioning_referencenet")):
        networks[f"{part}/config.json"] = json.dumps({"part": part}).encode()
        networks[f"{part}/diffusion_pytorch_model.safetensors"] = tensors(seed)
    return {
        catalogue.FACE_ANON: {"README.md": b"# model card", **networks},
        catalogue.CLIP: {
            "config.json": json.dumps({"text_config": {}, "vision_config": VISION_CONFIG}).encode(),
            "model.safetensors": save(CLIP_TENSORS),
            "pytorch_model.bin": b"a pickle that nobody wants",
        },
        catalogue.VAE: {"config.json": b"{}", "diffusion_pytorch_model.safetensors": tensors(9)},
    }


class Hub(ThreadingHTTPServer):
    """As much of the hub's API as the script uses: model info with file metadata, resolve with LFS redirect, Range."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories()
        self.commits = dict(catalogue.REVISIONS)
        self.branches = {"main": "c" * 40}
        self.requests: list[tuple[str, str | None]] = []  # path, Range header
        self.cut: dict[str, int] = {}  # sha256 of a file -> bytes after which its next download breaks off
        self.stall: dict[str, int] = {}  # sha256 -> bytes after which its next download goes silent
        self.spoil: set[str] = set()  # sha256 of files that arrive with one byte changed
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def sha256(self, repository: str, path: str) -> str:
        return hashlib.sha256(self.repositories[repository][path]).hexdigest()

    def ranges(self, sha256: str) -> list[str | None]:
        """The Range headers of the downloads of one file, in order."""
        return [header for path, header in self.requests if path == f"/cdn/{sha256}"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requests.append((self.path.split("?")[0], self.headers.get("Range")))
        path = self.path.split("?")[0]
        if found := re.fullmatch(r"/api/models/(.+)/revision/([^/]+)", path):
            self.info(*found.groups())
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(*found.groups())
        elif found := re.fullmatch(r"/cdn/([0-9a-f]{64})", path):
            self.content(found[1])
        else:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def info(self, repository: str, revision: str):
        files = self.server.repositories.get(repository)
        commit = self.server.branches.get(revision, revision)
        if files is None:
            return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if commit not in (self.server.commits[repository], *self.server.branches.values()):
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for path, content in files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"rfilename": path, "size": len(content), "blobId": blob}
            if path.endswith(".safetensors"):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 135}
            siblings.append(entry)
        body = json.dumps({"id": repository, "modelId": repository, "sha": commit, "siblings": siblings}).encode()
        return self.answer(200, body, {"Content-Type": "application/json"})

    def resolve(self, repository: str, revision: str, path: str):
        content = self.server.repositories[repository][path]
        headers = {"X-Repo-Commit": revision, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if not path.endswith(".safetensors"):
            return self.answer(200, content, headers)
        sha256 = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content)), "Location": f"/cdn/{sha256}"}
        return self.answer(302, b"", headers)

    def content(self, sha256: str):
        files = (content for files in self.server.repositories.values() for content in files.values())
        content = next(content for content in files if hashlib.sha256(content).hexdigest() == sha256)
        if sha256 in self.server.spoil:
            content = content[:-1] + bytes([content[-1] ^ 1])
        size, status, headers = len(content), 200, {}
        if asked := self.headers.get("Range"):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            content, status, headers = content[start:], 206, {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        headers["Content-Length"] = str(len(content))
        if (cut := self.server.cut.pop(sha256, None)) is not None:
            self.answer(status, content[:cut], headers)
            self.close_connection = True
        elif (stall := self.server.stall.pop(sha256, None)) is not None:
            self.answer(status, content[:stall], headers)
            self.wfile.flush()
            self.server.released.wait(30)
            self.close_connection = True
        else:
            self.answer(status, content, headers)


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(catalogue, "PUBLISHED_SHA256", {})  # the sums of the real files
    # small pieces, so that files of some kilobytes arrive in several
    monkeypatch.setattr(transport, "_BLOCK_BYTES", 1024)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def models(tmp_path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def run(models: Path, *arguments: str) -> int:
    return command.main(["--models-dir", str(models), "--yes", *arguments])


def model_folder(models: Path) -> Path:
    return models / "face_anon" / "face-anon-simple"


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_table_accepts_only_safetensors_and_json():
    with pytest.raises(ValueError, match=r"pytorch_model\.bin"):
        Item("vae", catalogue.VAE, "pytorch_model.bin", "model.safetensors", 1)
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in catalogue.REVISIONS.values())
    known = {(item.repository, item.remote) for item in catalogue.ITEMS}
    assert known >= catalogue.PUBLISHED_SHA256.keys()


def test_dry_run_lists_and_downloads_nothing(hub, models, capsys):
    assert run(models, "--dry-run") == 0
    out = capsys.readouterr().out
    wanted = [
        (catalogue.FACE_ANON, ["unet", "referencenet", "conditioning_referencenet"]),
        (catalogue.CLIP, ["image_encoder"]),
        (catalogue.VAE, ["vae"]),
    ]
    for repository, parts in wanted:
        assert f"{repository}  at {catalogue.REVISIONS[repository]}" in out
        for part in parts:
            assert f"-> {model_folder(models.resolve()) / part / 'config.json'}" in out
    files = [hub.repositories[item.repository][item.remote] for item in catalogue.ITEMS]
    assert f"Total to download: {downloads.readable_size(sum(map(len, files)))}." in out
    assert "pytorch_model.bin" not in out
    assert not any(models.iterdir())
    assert all(path.startswith("/api/") for path, _ in hub.requests)


def test_dry_run_without_network_shows_known_sizes(models, capsys, no_hub):
    assert run(models, "--dry-run") == 0
    out = capsys.readouterr().out
    assert f"no connection to {no_hub}" in out and "not asked for now" in out
    assert "1.71 GB" in out and "Total to download: 12.44 GB" in out


@pytest.fixture
def no_hub(monkeypatch) -> str:
    """The address of a hub that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return url


def test_no_network_is_one_clear_message(models, capsys, no_hub):
    assert run(models) == 3
    err = capsys.readouterr().err
    assert f"no connection to {no_hub}" in err and "Run the same command again" in err
    assert not any(models.iterdir())


def test_whole_download_is_the_published_layout(hub, models, capsys):
    assert run(models) == 0
    folder = model_folder(models)
    expected = {item.key for item in catalogue.ITEMS} | {"checksums.json"}
    assert files_in(folder) == expected
    assert not (folder / ".download").exists()
    for item in catalogue.ITEMS:
        if item.part != "image_encoder":
            assert (folder / item.key).read_bytes() == hub.repositories[item.repository][item.remote]
    record = json.loads((folder / "checksums.json").read_text())["files"]
    for key, entry in record.items():
        assert entry["sha256"] == hashlib.sha256((folder / key).read_bytes()).hexdigest()
        assert entry["revision"] == catalogue.REVISIONS[entry["repository"]]
    assert record["image_encoder/model.safetensors"]["source_sha256"] == hub.sha256(catalogue.CLIP, "model.safetensors")
    assert "Done" in capsys.readouterr().out


def test_image_encoder_is_the_vision_part_alone(hub, models):
    assert run(models, "--only", "image_encoder") == 0
    folder = model_folder(models) / "image_encoder"
    kept = load_file(folder / "model.safetensors")
    assert kept.keys() == VISION.keys()
    for name, tensor in VISION.items():
        assert kept[name].dtype == tensor.dtype
        np.testing.assert_array_equal(kept[name], tensor)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "clip_vision_model" and config["architectures"] == ["CLIPVisionModel"]
    assert {key: config[key] for key in catalogue.VISION_CONFIG_KEYS} == {
        key: VISION_CONFIG[key] for key in catalogue.VISION_CONFIG_KEYS
    }


def test_second_run_downloads_nothing_and_needs_no_network(hub, models, capsys):
    assert run(models) == 0
    hub.requests.clear()
    assert run(models) == 0
    assert hub.requests == []
    assert "Everything is there and matches" in capsys.readouterr().out


def test_only_downloads_the_named_parts_and_the_rest_follows(hub, models):
    assert run(models, "--only", "vae,unet") == 0
    folder = model_folder(models)
    assert {path.parent.name for path in folder.rglob("*.safetensors")} == {"vae", "unet"}
    hub.requests.clear()
    assert run(models) == 0
    assert files_in(folder) == {item.key for item in catalogue.ITEMS} | {"checksums.json"}
    assert hub.ranges(hub.sha256(catalogue.FACE_ANON, UNET_WEIGHTS)) == []


def test_cut_connection_is_continued(hub, models):
    sha256 = hub.sha256(catalogue.FACE_ANON, UNET_WEIGHTS)
    hub.cut[sha256] = 20_480
    assert run(models, "--only", "unet") == 0
    assert hub.ranges(sha256) == [None, "bytes=20480-"]
    assert sha256_of(model_folder(models) / UNET_WEIGHTS) == sha256


KILLED_RUN = """
import sys
sys.path.insert(0, {scripts!r})
import _pack
from face_anonymizer.modules.downloads import catalogue
from face_anonymizer.scripts import get_models as command
catalogue.PUBLISHED_SHA256 = {{}}
sys.exit(command.main(["--models-dir", {models!r}, "--yes", "--only", "unet"]))
"""


def test_killed_midway_leaves_no_half_file_and_goes_on(hub, models):
    sha256 = hub.sha256(catalogue.FACE_ANON, UNET_WEIGHTS)
    hub.stall[sha256] = 40_960
    code = KILLED_RUN.format(scripts=str(SCRIPTS), models=str(models))
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    folder = model_folder(models)
    partial = folder / ".download" / f"{sha256}.partial"
    try:
        deadline = time.monotonic() + 15
        while not (partial.exists() and partial.stat().st_size):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert not (folder / UNET_WEIGHTS).exists()
    assert UNET_WEIGHTS not in json.loads((folder / "checksums.json").read_text())["files"]

    kept = partial.stat().st_size
    assert run(models, "--only", "unet") == 0
    assert hub.ranges(sha256) == [None, f"bytes={kept}-"]
    assert sha256_of(folder / UNET_WEIGHTS) == sha256
    assert not partial.exists()


def test_damaged_file_is_named_with_both_sums(hub, models, capsys):
    assert run(models, "--only", "vae") == 0
    path = model_folder(models) / "vae" / "diffusion_pytorch_model.safetensors"
    good = sha256_of(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    hub.requests.clear()
    assert run(models, "--only", "vae") == 1
    err = capsys.readouterr().err
    assert str(path) in err and good in err and sha256_of(path) in err and "Delete it" in err
    assert hub.requests == []
    path.unlink()
    assert run(models, "--only", "vae") == 0
    assert sha256_of(path) == good


@pytest.mark.parametrize("path", ["diffusion_pytorch_model.safetensors", "config.json"])
def test_file_that_arrives_damaged_is_refused(hub, models, capsys, monkeypatch, path):
    if path == "config.json":  # not in LFS: its git blob id is all that is known
        answer = Handler.answer
        monkeypatch.setattr(
            Handler, "answer", lambda self, status, body, headers: answer(
                self, status, b"[]" if "/resolve/" in self.path and body == b"{}" else body, headers
            )
        )  # fmt: skip
    else:
        hub.spoil.add(hub.sha256(catalogue.VAE, path))
    assert run(models, "--only", "vae") == 1
    err = capsys.readouterr().err
    assert f"{path} of {catalogue.VAE} arrived damaged" in err and "published:" in err and "received:" in err
    folder = model_folder(models)
    assert not (folder / "vae" / path).exists()
    assert not list(folder.rglob("*.partial"))


def test_hub_that_offers_another_file_than_the_known_one_is_refused(hub, models, capsys, monkeypatch):
    known = {(catalogue.VAE, "diffusion_pytorch_model.safetensors"): "0" * 64}
    monkeypatch.setattr(catalogue, "PUBLISHED_SHA256", known)
    assert run(models, "--only", "vae") == 1
    assert "offers another diffusion_pytorch_model.safetensors" in capsys.readouterr().err
    assert not any(models.iterdir())


def test_files_put_there_by_hand_are_adopted_or_left_alone(hub, models, capsys):
    folder = model_folder(models) / "vae"
    folder.mkdir(parents=True)
    weights = folder / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(hub.repositories[catalogue.VAE][weights.name])
    assert run(models, "--only", "vae") == 0
    assert hub.ranges(hub.sha256(catalogue.VAE, weights.name)) == []

    other = model_folder(models) / UNET_WEIGHTS
    other.parent.mkdir()
    other.write_bytes(tensors(77))
    assert run(models, "--only", "unet") == 1
    assert "is not the published file" in capsys.readouterr().err
    assert other.read_bytes() == tensors(77)


def test_vanished_commit_and_the_way_out(hub, models, capsys):
    hub.commits[catalogue.FACE_ANON] = "d" * 40
    assert run(models, "--only", "unet") == 1
    assert f"--revision {catalogue.FACE_ANON}=main" in capsys.readouterr().err
    assert run(models, "--only", "unet", "--revision", f"{catalogue.FACE_ANON}=main") == 0
    record = json.loads((model_folder(models) / "checksums.json").read_text())["files"]
    assert record["unet/config.json"]["revision"] == "c" * 40
    # a later run takes the recorded commit, and never mixes two
    hub.requests.clear()
    assert run(models, "--only", "referencenet") == 0
    assert hub.requests[0][0] == f"/api/models/{catalogue.FACE_ANON}/revision/{'c' * 40}"
    hub.commits[catalogue.FACE_ANON] = catalogue.REVISIONS[catalogue.FACE_ANON]
    pinned = f"{catalogue.FACE_ANON}={catalogue.REVISIONS[catalogue.FACE_ANON]}"
    assert run(models, "--only", "conditioning_referencenet", "--revision", pinned) == 1
    assert "Use another --name" in capsys.readouterr().err


def test_vanished_repository(hub, models, capsys):
    del hub.repositories[catalogue.VAE]
    assert run(models, "--only", "vae") == 1
    assert "is not there, or is not public" in capsys.readouterr().err


def test_full_disk_is_refused_before_the_download(hub, models, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**12, 10**12 - 5000, 5000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    assert run(models) == 1
    assert "5.00 kB there" in capsys.readouterr().err
    assert not any(models.iterdir())


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("", 1), (None, 1)])
def test_asks_before_it_downloads(hub, models, capsys, monkeypatch, answer, status):
    def reply(question):
        assert "Download?" in question
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", reply)
    assert command.main(["--models-dir", str(models), "--only", "vae"]) == status
    captured = capsys.readouterr()
    assert "Total to download: " in captured.out
    assert (model_folder(models) / "vae" / "config.json").exists() == (status == 0)
    if answer is None:
        assert "--yes" in captured.err


def test_models_folder_of_comfyui_or_the_packs_own(hub, tmp_path, capsys, monkeypatch):
    def missing():
        raise location.HostMissing("No ComfyUI found.")

    monkeypatch.setattr(location, "find_comfyui", lambda: tmp_path)
    assert command.main(["--yes", "--only", "vae"]) == 0
    assert (model_folder(tmp_path / "models") / "vae" / "config.json").is_file()
    monkeypatch.setattr(location, "find_comfyui", missing)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(location, "PACK", tmp_path / "pack")
    (tmp_path / "pack" / "nodes").mkdir(parents=True)
    (tmp_path / "pack" / "pyproject.toml").touch()
    assert command.main(["--yes", "--only", "vae"]) == 0
    assert (model_folder(tmp_path / "pack" / "models") / "vae" / "config.json").is_file()
    monkeypatch.setenv("COMFYUI_PATH", "elsewhere")
    assert command.main(["--yes"]) == 1
    monkeypatch.delenv("COMFYUI_PATH")
    (tmp_path / "pack" / "pyproject.toml").unlink()  # as pip installs it
    assert command.main(["--yes"]) == 1
    err = capsys.readouterr().err
    assert "No ComfyUI found." in err and "--models-dir" in err


@pytest.mark.parametrize(
    "arguments",
    [["--only", "unet,clip"], ["--only", ""], ["--name", "../elsewhere"], ["--revision", "someone/else=main"]],
)
def test_wrong_arguments(models, arguments):
    with pytest.raises(SystemExit) as stopped:
        run(models, *arguments)
    assert stopped.value.code == 2


def test_unreadable_record_and_missing_folder(hub, models, capsys):
    folder = model_folder(models)
    folder.mkdir(parents=True)
    (folder / "checksums.json").write_text("{")
    assert run(models) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert run(models / "nowhere") == 1
    assert "is not a folder" in capsys.readouterr().err
