"""Datasets: read, planned, written whole, gone on with, and refused; without Ray, which only hands chunks around."""

import gzip
import http.server
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_datasets import (
    Inverting,
    number_of,
    options,
    picture,
    read_parquet,
    read_tar,
    report_of,
    run,
    samples,
    serially,
    write_parquet,
    write_tar,
)

from face_anonymizer.modules.datasets import run as running
from face_anonymizer.modules.datasets import state
from face_anonymizer.modules.datasets.places import Place
from face_anonymizer.modules.datasets.rows import COLUMNS
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.scripts import anonymize_dataset, command

ROOT = Path(__file__).resolve().parents[2]
ROW = "face_anonymizer.json"


def files_of(folder: Path) -> set[str]:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith("_face_anonymizer/")}


# The three forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_tar_keeps_keys_and_nothing_else(tmp_path, suffix):
    source = tmp_path / "in"
    source.mkdir()
    write_tar(source / f"a{suffix}", [("d/", b""), *samples(0, 7)])
    status, said = run(options(source, tmp_path / "out"))
    assert status == 0 and said.endswith("1 shards are done: 7 pictures, 7 done, 7 without_faces")
    made = read_tar(tmp_path / "out" / f"a{suffix}")
    assert set(made) == {f"{i:04}.{end}" for i in range(7) for end in ("png", ROW)}
    assert [number_of(made[f"{i:04}.png"]) for i in range(7)] == list(range(7))
    row = json.loads(made[f"0003.{ROW}"])
    assert list(row) == list(COLUMNS) and row["status"] == "done" and (row["width"], row["faces"]) == (8, 0)
    assert files_of(tmp_path / "out") == {f"a{suffix}", "face_anonymizer_report.json"}
    assert not list((tmp_path / "out").rglob("*.part")) and not list((tmp_path / "out").rglob("claim.json"))


def test_members_are_kept_when_they_are_named(tmp_path):
    two = [("x.left.jpg", picture(1)), ("x.right.jpg", picture(2)), ("x.cls", b"3"), ("x.mask.png", picture(9))]
    same = [("y.jpg", picture(3)), ("y.webp", picture(4)), ("z.txt", b"no picture"), ("no suffix", picture(5))]
    write_tar(tmp_path / "a.tar", [*two, *same, ("../../w.jpg", picture(6)), ("bad.jpg", b"\xff\xd8\xff?")])
    status, said = run(options(tmp_path / "a.tar", tmp_path / "out", keep=("cls", "mask.png")))
    made = read_tar(tmp_path / "out" / "a.tar")
    pictures = {name: number_of(data) for name, data in made.items() if name.endswith("g") and "mask" not in name}
    assert pictures == {"x.left.png": 1, "x.right.png": 2, "y.jpg.png": 3, "y.webp.png": 4, "no suffix.png": 5}
    assert made["x.cls"] == b"3" and made["x.mask.png"] == picture(9), "as it was"
    assert not [name for name in made if ".." in name or name.endswith("txt")]
    errors = {name: json.loads(data)["error"] for name, data in made.items() if name.endswith(ROW)}
    failed = {name.removesuffix(f".{ROW}"): error for name, error in errors.items() if error}
    refused = next(name for name in failed if name.startswith("face_anonymizer_refused_"))
    assert set(failed) == {"z", refused, "bad"} and "no picture" in failed["z"]
    assert status == 1 and "a.tar: 3 failed; its rows say which and why" in said


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_cut_tar_all_that_is_whole_is_done(tmp_path, packed):
    whole = write_tar(tmp_path / "w.tar", samples(0, 9)).read_bytes()
    cut = whole[: 9 * 1536 + 700]  # in the middle of the tenth member, a picture's, after 4 samples and a caption's
    (tmp_path / "in").mkdir()
    name = "a.tar.gz" if packed else "a.tar"
    (tmp_path / "in" / name).write_bytes(gzip.compress(whole, 0)[: len(cut)] if packed else cut)
    (tmp_path / "in" / "b.tar").write_bytes(whole[: 2 * 1536 + 0])  # between two members
    write_tar(tmp_path / "in" / "c.tar", samples(20, 2))
    status, said = run(options(tmp_path / "in", tmp_path / "out"))
    assert status == 1 and f"{name}: 1 cut" in said and "b.tar: 1 cut" in said and "c.tar" not in said
    made = read_tar(tmp_path / "out" / name)
    done = [number_of(data) for key, data in made.items() if key.endswith("png")]
    assert done == list(range(len(done))) and len(done) >= 4
    error = json.loads(made[f"face_anonymizer_cut.{ROW}"])["error"]
    assert "cut or damaged" in error and "what follows is missing" in error
    assert len(read_tar(tmp_path / "out" / "c.tar")) == 4


def test_links_in_a_tar_are_rows_and_hidden_members_nobodys(tmp_path):
    """A Mac writes ._NAME beside each; webdataset sees no sample in what begins with a dot."""
    hidden = [("._a.jpg", b"Mac OS X"), ("m/._a.jpg", b"Mac OS X"), (".DS_Store", b"x")]
    write_tar(tmp_path / "a.tar", [*hidden, ("a.JPG", picture(1)), ("a.TXT", b"A")])
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        for name, kind in (("b.jpg", tarfile.LNKTYPE), ("c.png", tarfile.SYMTYPE), ("d.fifo", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.JPG"
            tar.addfile(info)
    status, said = run(options(tmp_path / "a.tar", tmp_path / "out", keep=(".txt", "txt")))
    made = read_tar(tmp_path / "out" / "a.tar")
    assert set(made) == {"a.png", "a.TXT", f"a.{ROW}", f"b.{ROW}", f"c.{ROW}"} and number_of(made["a.png"]) == 1
    assert "a link to another member or file" in json.loads(made[f"b.{ROW}"])["error"]
    assert status == 1 and "3 pictures, 1 done, 2 failed" in said
    status, said = run(options(tmp_path / "a.tar", tmp_path / "other", keep=(ROW,)))
    assert status == 1 and "members of that suffix are the rows of this run" in said


def test_what_a_folder_does_not_give_is_told(tmp_path, monkeypatch):
    source = tmp_path / "what?"
    (source / "closed").mkdir(parents=True)
    (source / "a.jpg").write_bytes(picture(1))
    (source / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    status, said = run(options(source, tmp_path / "o?ut"))
    assert status == 1 and "2 pictures, 1 done, 1 failed" in said
    assert {path.name for path in tmp_path.iterdir()} == {"what?", "o?ut"}, "nor is the run's state elsewhere"
    assert (tmp_path / "o?ut" / "_face_anonymizer" / "settings.json").is_file()
    listed = os.scandir

    def scandir(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)  # as a root's tests may read all
    status, said = run(options(source, tmp_path / "out"))
    assert status == 1 and "The input cannot be read" in said and "closed" in said


def test_a_folder_keeps_names_and_folders(tmp_path):
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "sub/b.jpg", "sub/b.png", "_DSC1.jpg")):
        (source / name).write_bytes(picture(number))
    (source / "bad.png").write_bytes(b"?")
    (source / ".hidden.png").write_bytes(picture(9))
    (source / "notes.txt").write_text("who is who")
    status, said = run(options(source, tmp_path / "out"))
    assert status == 1 and "1 .txt" in said and "1 hidden" in said
    made = files_of(tmp_path / "out")
    results = {"a.png", "sub/b.jpg.png", "sub/b.png.png", "_DSC1.png"}
    (rows,) = made - results - {"face_anonymizer_report.json"}
    assert results < made and [number_of((tmp_path / "out" / name).read_bytes()) for name in sorted(results)] == [
        3,
        0,
        1,
        2,
    ]
    told = [json.loads(line) for line in (tmp_path / "out" / rows).read_text().splitlines()]
    assert {one["name"]: one["result"] for one in told} == {
        **{"_DSC1.jpg": "_DSC1.png", "a.jpg": "a.png", "bad.png": None},
        **{"sub/b.jpg": "sub/b.jpg.png", "sub/b.png": "sub/b.png.png"},
    }
    # one more photo is one more photo, of whatever name
    (source / "a.png").write_bytes(picture(7))
    (source / "sub" / "0.jpg").write_bytes(picture(8))
    seen = []

    class Noting(Inverting):
        def __call__(self, chunk):
            seen.extend(item.name for item in chunk.items)
            return super().__call__(chunk)

    run(options(source, tmp_path / "out"), serially(Noting))
    assert seen == ["a.png", "sub/0.jpg"]
    assert number_of((tmp_path / "out" / "a.png").read_bytes()) == 0
    assert number_of((tmp_path / "out" / "a.png.png").read_bytes()) == 7


@pytest.mark.parametrize("in_struct", [False, True])
def test_a_table_keeps_its_rows_and_the_columns_that_are_named(tmp_path, in_struct):
    pictures = [picture(number) for number in range(10)]
    pictures[4], pictures[6] = None, b"no picture"
    if in_struct:
        pictures = [{"bytes": data, "path": f"grace{number}.jpg"} for number, data in enumerate(pictures)]
    labels = [{"name": f"l{i}", "values": [i, None]} for i in range(10)]
    write_parquet(tmp_path / "t.parquet", pictures, label=labels, who=["grace"] * 10)
    status, _ = run(options(tmp_path / "t.parquet", tmp_path / "out", keep=("label", "label")))
    made = read_parquet(tmp_path / "out" / "t.parquet")
    assert list(made) == ["label", "image", *(f"face_anonymizer_{name}" for name in COLUMNS)]
    assert made["label"] == labels and status == 1
    images = [one and one["bytes"] for one in made["image"]] if in_struct else made["image"]
    assert [data and number_of(data) for data in images] == [0, 1, 2, 3, None, 5, None, 7, 8, 9]
    assert not in_struct or {one["path"] for one in made["image"] if one} == {None}
    assert [made["face_anonymizer_error"][i] for i in (3, 4, 6)] == ["", "the row has no picture", "no picture"]
    assert made["face_anonymizer_status"].count("done") == 8 and made["face_anonymizer_width"][4] is None


def test_an_empty_table_and_an_empty_tar_stay_empty(tmp_path):
    (tmp_path / "t").mkdir()
    write_parquet(tmp_path / "t" / "a.parquet", [picture(1)])
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(tmp_path / "t" / "a.parquet").slice(0, 0), tmp_path / "t" / "b.parquet")
    assert run(options(tmp_path / "t", tmp_path / "out"))[0] == 0
    assert read_parquet(tmp_path / "out" / "b.parquet")["image"] == []
    write_tar(tmp_path / "e.tar", [])
    assert run(options(tmp_path / "e.tar", tmp_path / "out2"))[0] == 0
    assert read_tar(tmp_path / "out2" / "e.tar") == {}


def test_addresses_of_other_filesystems(tmp_path):
    """Of fsspec, where pyarrow knows none; and an object store, on which nothing is renamed."""
    write_tar(tmp_path / "a b.tar", samples(0, 3))
    asked = replace(
        options(tmp_path, tmp_path / "x"), inputs=[f"local://{tmp_path}/a b.tar"], output=f"local://{tmp_path}/out"
    )
    assert run(asked)[0] == 0 and len(read_tar(tmp_path / "out" / "a b.tar")) == 6
    assert not list((tmp_path / "out").rglob("*.part"))
    store = Place(f"file://{tmp_path}/store")
    store.__dict__["_is_object_store"] = True
    (tmp_path / "store").mkdir()
    with pytest.raises(RuntimeError), store.writing("half") as stream:
        stream.write(b"half")
        raise RuntimeError
    assert store.kind("half") == "" and not list((tmp_path / "store").iterdir())
    with pytest.raises(ValueError, match="no filesystem of pyarrow knows"):
        Place("nosuch://bucket/a").kind()


# Gone on with -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tars(tmp_path) -> Path:
    """Three, of eight pictures each: three chunks."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        write_tar(folder / f"{number}.tar", samples(100 * number, 8))
    return folder


def pictures_in(output: Path) -> list[int]:
    made = [read_tar(path) for path in sorted(output.glob("*.tar"))]
    return [number_of(data) for tar in made for name, data in tar.items() if name.endswith(".png")]


ALL = [100 * tar + number for tar in range(3) for number in range(8)]


def test_after_a_kill_only_what_is_left_is_done(tmp_path, tars):
    seen = []

    class Noting(Inverting):
        def __call__(self, chunk):
            seen.extend(item.name for item in chunk.items)
            return super().__call__(chunk)

    output = tmp_path / "out"
    status, said = run(options(tars, output), serially(Noting, most=6))  # one tar, and two chunks of the next
    assert status == 1 and "Stopped: killed" in said and "the same command goes on" in said
    assert sorted(path.name for path in output.glob("*.tar")) == ["0.tar"], "whole or not at all"
    assert run(options(tars, output), serially(Noting))[0] == 0
    assert seen == [f"{number:04}" + ".jpg" for number in ALL], "nothing twice"
    assert pictures_in(output) == ALL and (output / "_face_anonymizer" / "parts").glob("*/*").__iter__ is not None
    assert report_of(output)["totals"]["pictures"] == 24
    seen.clear()
    status, said = run(options(tars, output), serially(Noting))
    assert (status, seen) == (0, []) and "All shards are done already" in said
    (output / "1.tar").unlink()  # whoever removes a result wants it anew
    write_tar(tars / "2.tar", samples(300, 4))  # and one that is another now is another
    assert run(options(tars, output), serially(Noting))[0] == 0 and len(seen) == 12
    assert pictures_in(output) == [*ALL[:16], 300, 301, 302, 303]


def test_a_kill_between_the_result_and_its_mark(tmp_path, tars, monkeypatch):
    from face_anonymizer.modules.datasets import ends

    def killed(*_):
        raise ends.Stopped("killed")

    with monkeypatch.context() as patched:
        patched.setattr(state, "mark", killed)
        run(options(tars, tmp_path / "out"))
    assert (tmp_path / "out" / "0.tar").is_file()
    assert run(options(tars, tmp_path / "out"))[0] == 0 and pictures_in(tmp_path / "out") == ALL


def test_other_settings_are_refused(tmp_path, tars):
    asked = options(tars, tmp_path / "out")
    assert run(asked)[0] == 0
    status, said = run(replace(asked, keep=("txt",)))
    assert status == 1 and "keep [] (now ['txt'])" in said and "They stay as they are" in said
    status, said = run(replace(asked, faces=replace(asked.faces, mode="mosaic")))
    assert status == 1 and "mode" in said and pictures_in(tmp_path / "out") == ALL


# Two runs -----------------------------------------------------------------------------------------------------------


def test_of_two_runs_on_one_output_the_second_is_refused(tmp_path, tars):
    output = Place(tmp_path / "out")
    inside = []

    class Second(Inverting):
        def __call__(self, chunk):
            if not inside:
                inside.append(None)
                inside.append(run(options(tars, tmp_path / "out")))
            return super().__call__(chunk)

    assert run(options(tars, tmp_path / "out"), serially(Second))[0] == 0
    status, said = inside[1]
    assert status == 1 and f"process {os.getpid()} on" in said and "is being filled by another run" in said
    assert pictures_in(tmp_path / "out") == ALL and state.read_claim(output) == {}


def test_a_dead_runs_claim_is_taken_over(tmp_path, tars, monkeypatch):
    output, dead = tmp_path / "out", subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (output / "_face_anonymizer").mkdir(parents=True)
    claim = output / "_face_anonymizer" / "claim.json"
    me = {"run": "a", "host": state.socket.gethostname(), "pid": dead.pid, "since": "yesterday", "beat": time.time()}

    def said_with(found: dict) -> tuple[int, str]:
        claim.write_text(json.dumps(found))
        return run(options(tars, output))

    (output / "_face_anonymizer" / "settings.json").unlink(missing_ok=True)
    # a folder that only has a claim is no output of a run
    status, said = said_with(me)
    assert status == 1 and "is not empty" in said
    claim.unlink()
    claim.parent.rmdir()
    assert run(options(tars, output), serially(most=1))[0] == 1
    status, said = said_with({**me, "host": "elsewhere"})
    assert status == 1 and "is being filled by another run" in said and "on elsewhere" in said
    status, said = said_with({**me, "host": "elsewhere", "beat": time.time() - state.STALE_SECONDS})
    assert status == 0 and "A run that ended without a word" in said
    assert run(options(tars, output), serially(most=1))[0] == 0  # all is done
    status, said = said_with(me)
    assert status == 0 and f"process {dead.pid}" in said and not claim.exists()


def test_a_run_that_was_taken_over_ends(tmp_path, tars, monkeypatch):
    monkeypatch.setattr(state, "BEAT_SECONDS", 0.01)
    claim = tmp_path / "out" / "_face_anonymizer" / "claim.json"

    class Overtaken(Inverting):
        def __call__(self, chunk):
            claim.write_text(json.dumps({"run": "other", "beat": time.time()}))
            time.sleep(0.2)
            return super().__call__(chunk)

    status, said = run(options(tars, tmp_path / "out"), serially(Overtaken))
    assert status == 1 and "another run has taken over" in said
    assert json.loads(claim.read_text())["run"] == "other", "the other's stays"


# Refused ------------------------------------------------------------------------------------------------------------


def test_inputs_that_cannot_be_done_are_refused_by_name(tmp_path, tars):
    def refused(inputs, **more) -> str:
        status, said = run(options(inputs, tmp_path / "out", **more))
        assert status == 1 and not (tmp_path / "out").exists(), said
        return said

    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    assert "no photo, tar or parquet file is there (1 .txt are there)" in refused(tmp_path / "texts")
    assert "No such file or folder" in refused(tmp_path / "none")
    table = write_parquet(tmp_path / "t.parquet", [picture(1)], who=["grace"])
    assert "has no column photo; it has image, who. Name another: --column" in refused(table, column="photo")
    assert "holds string, no bytes of pictures" in refused(table, column="who")
    assert "has no column label; it has image, who. Name another: --keep" in refused(table, keep=("label",))
    assert "their originals are not kept" in refused(table, keep=("image",))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert "broken.parquet is no whole parquet file" in refused(tmp_path / "broken.parquet")
    assert "several forms are there, parquet (1 files), webdataset (3 files)" in refused([tars, table])
    (tmp_path / "more").mkdir()
    write_tar(tmp_path / "more" / "0.tar", [])
    assert "Two inputs are called 0.tar" in refused([tars, tmp_path / "more"])


def test_a_source_without_a_face_is_refused_before_the_work(tmp_path, tars):
    for data, message in ((b"no photo", "It cannot be read"), (picture(1, 64), "shows no face that is found")):
        (tmp_path / "source.png").write_bytes(data)
        faces = FolderOptions(
            paths=(), output=tmp_path, demo=True, source=tmp_path / "source.png", engine="diffusers", thorough="none"
        )
        status, said = run(options(tars, tmp_path / "out", faces=faces))
        assert status == 1 and "source.png" in said and message in said
        assert not (tmp_path / "out").exists()


def test_an_output_in_the_way_is_refused(tmp_path, tars):
    for output in (tars / "out", tmp_path, tars):
        status, said = run(options(tars, output))
        assert status == 1 and "lie one within the other" in said
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    status, said = run(options(tars, full))
    assert status == 1 and "is not empty, and no output of this command" in said and files_of(full) == {"thesis.txt"}
    status, said = run(options(tars, full / "thesis.txt"))
    assert status == 1 and "is a file" in said
    status, said = run(options(tars, full / "thesis.txt" / "out"))
    assert status == 2 and "Cannot write into" in said


class Denying(http.server.BaseHTTPRequestHandler):
    """A store of objects that lets nobody in."""

    def refuse(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET = do_PUT = do_POST = refuse

    def log_message(self, *_) -> None:
        pass


def told_of_store(port: int, tmp_path, tars, monkeypatch) -> tuple[int, str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # else they are looked for in the network
        monkeypatch.setenv(name, "nobody")
    nobody = f"s3://nobody/out?region=x&scheme=http&endpoint_override=127.0.0.1:{port}"
    return run(replace(options(tars, tmp_path / "x"), output=nobody))


def test_a_store_that_refuses_is_told(tmp_path, tars, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denying) as store:
        threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        status, said = told_of_store(store.server_port, tmp_path, tars, monkeypatch)
        store.shutdown()
    assert status == 2 and "Cannot write into s3://nobody" in said, said


@pytest.mark.long  # the client asks again for some seconds
def test_a_store_that_does_not_answer_is_told(tmp_path, tars, monkeypatch):
    status, said = told_of_store(9, tmp_path, tars, monkeypatch)
    assert status == 2 and "Cannot write into s3://nobody" in said, said


def test_missing_packages_are_named_with_the_extra(tmp_path, tars, monkeypatch):
    real = running.requirements.missing
    monkeypatch.setattr(running.requirements, "missing", lambda names: [n for n in names if n == "ray"] or real(()))
    said = []
    assert running.run_dataset(options(tars, tmp_path / "out"), lambda text: said.append(str(text))) == 2
    assert "ray is missing: pip install" in said[0] and "[dataset]'" in said[0]
    monkeypatch.setattr(running.requirements, "missing", lambda names: [n for n in names if n == "torch"])
    assert running.run_dataset(options(tars, tmp_path / "out"), lambda text: said.append(str(text))) == 2
    assert "torch is missing" in said[1] and "[headless]" in said[1]


def test_the_command(tmp_path, tars, capsys):
    asked = anonymize_dataset.parse_arguments(
        [
            str(tars),
            "--output",
            str(tmp_path / "o"),
            "--redact",
            "--keep-columns",
            "txt",
            "cls",
            "--gpus-per-worker",
            "0.5",
        ]
    )
    assert (asked.keep, asked.gpus_per_worker, asked.faces.task) == (("txt", "cls"), 0.5, "redact")
    assert asked.batch == options(tars, tmp_path, batch=8).batch
    for wrong, told in {
        ("--model", "x", "--redact"): "--redact needs no --model",
        (): "--redact to cover faces, or --demo",
        ("--redact", "--workers", "0"): "--workers is 1 to 4096",
        ("--redact", "--keep", "a", "--form", "folder"): "a folder has neither",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            command.main(["dataset", str(tars), "--output", str(tmp_path / "o"), *wrong])
        assert told in capsys.readouterr().err


def test_nothing_heavy_is_loaded_where_pictures_are_only_read_and_saved():
    """Each of Ray's processes that reads or saves would hold it; and the refusals come before it."""
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import _pack, anonymize_dataset;"
        "from face_anonymizer.modules.datasets import ends;"
        "print([m for m in ('torch', 'diffusers', 'ray', 'pandas') if m in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
