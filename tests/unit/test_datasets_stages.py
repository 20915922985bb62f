"""The stages of a dataset: what the Python object does to single pictures, by chunks; what one bad picture costs."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_datasets import picture

from face_anonymizer.modules.datasets import deaths, ends, stages
from face_anonymizer.modules.datasets.chunks import Chunk, Item, Shard
from face_anonymizer.modules.datasets.ends import Stopped
from face_anonymizer.modules.datasets.work import Work
from face_anonymizer.modules.files import sha256_of_folder
from face_anonymizer.modules.headless.anonymizer import Anonymizer
from face_anonymizer.modules.headless.folder_run import change, options_of
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.output.png import with_chunk, xmp_chunk
from face_anonymizer.modules.output.xmp import xmp_packet
from face_anonymizer.modules.runs.folder_options import FolderOptions

pytestmark = pytest.mark.usefixtures("remembered_looks")

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "models" / "face_anon" / "demo"


def work_of(**options) -> Work:
    asked = FolderOptions(paths=(), output=Path("out"), engine="diffusers", thorough="none", **options)
    model = None if asked.redact else DEMO
    settings = asked.of_results(checkpoint.read_settings(DEMO))
    return Work(
        settings | {"model_configs_sha256": sha256_of_folder(DEMO, (".json",))}, "out", "run", model and str(model)
    )


def group(flipped: bool = False) -> bytes:
    """Five faces of 30 to 60 pixels."""
    with Image.open(ROOT / "assets" / "synthetic_group.jpg") as whole:
        small = whole.resize((450, 300))
    file = io.BytesIO()
    (small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else small).save(file, "PNG")
    return file.getvalue()


def chunk_of(*pictures: bytes) -> Chunk:
    shard = Shard("shard", "a.tar", "webdataset", "in", "a.tar")
    return Chunk(shard, 0, [Item(f"{number}", data) for number, data in enumerate(pictures)])


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(deaths.tempfile, "gettempdir", lambda: str(tmp_path))


def test_a_chunk_is_what_its_pictures_are_alone():
    """Redacted, with a broken picture and one of another size among them."""
    work, other = work_of(redact=True), picture(3, side=64)
    chunk = stages.Changer(work)(stages.Finder(work)(chunk_of(group(), b"?", group(True), other)))
    assert [bool(item.error) for item in chunk.items] == [False, True, False, False]
    anonymizer, options = Anonymizer("demo", "cpu"), options_of(work.settings)
    for item, data in zip(chunk.items, (group(), None, group(True), other), strict=True):
        if data is not None:
            seen = np.array(Image.open(io.BytesIO(data)))
            alone = change(anonymizer, work.settings, seen, options=options)
            assert np.array_equal(item.made.pixels, alone.image)
            assert item.row["redacted"] == len(alone.faces) == item.row["faces"] and item.data is item.faces is None
    assert [item.row.get("faces") for item in chunk.items] == [5, None, 5, 0]


def test_what_a_model_made_stays_marked_when_it_is_covered():
    made = with_chunk(picture(3, side=64), b"iTXt", xmp_chunk(xmp_packet()))
    work = work_of(redact=True)
    chunk = stages.Changer(work)(stages.Finder(work)(chunk_of(picture(3, side=64), made)))
    encoded = [ends._encoded(item.made, work.settings) for item in chunk.items]
    assert [b"compositeWithTrained" in data for data in encoded] == [False, True]


def test_a_seed_is_that_of_the_picture_alone():
    """Painted in one batch with another: the second picture's face has the seed, not the seed and 1."""
    person = io.BytesIO()
    with Image.open(ROOT / "assets" / "synthetic_group.jpg") as whole:
        whole.crop((490, 40, 780, 330)).save(person, "PNG")
    work = work_of(demo=True, steps=6, seed=40)
    chunk = stages.Changer(work)(stages.Finder(work)(chunk_of(*[person.getvalue()] * 2)))
    first, second = (item.made.pixels.astype(int) for item in chunk.items)
    assert np.abs(first - second).max() <= 1 and np.abs(first - np.array(Image.open(person))).max() > 30
    assert [item.row["anonymized"] for item in chunk.items] == [1, 1]
    assert not [item for item in chunk.items if "demonstration" in item.row["notes"]]


def test_for_want_of_memory_chunks_are_halved_and_then_the_picture_is_told():
    asked = []

    def do(some, smaller):
        asked.append(([item.name for (item,) in some], smaller))
        if any(item.name == "5" for (item,) in some) or len(some) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        for (item,) in some:
            item.row = {"done": True}

    items = chunk_of(*[b"x"] * 8).items
    stages.halve([(item,) for item in items], do)
    assert [bool(item.row) for item in items] == [number != 5 for number in range(8)]
    assert items[5].error.startswith("out of memory, with one face at a time too")
    assert [smaller for names, smaller in asked if names == ["5"]] == [0, 1, 2, 3], "with fewer faces at once each time"
    # what is wrong with one picture is no reason to do it again
    asked.clear()

    def wrong(some, smaller):
        asked.append(len(some))
        raise ValueError("bad")

    stages.halve([(item,) for item in chunk_of(b"x").items], wrong)
    assert asked == [1]


def test_where_workers_die_the_picture_is_found_out(tmp_path):
    """By a process for each life, which is killed from within at the third picture."""
    calls = []

    def do(items):
        calls.append([item.name for item in items])
        if any(item.name == "2" for item in items):
            os._exit(9)

    def live() -> tuple[int, list[str]]:
        """The status of a process that does the chunk, and the errors that it found."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            chunk = chunk_of(*[b"x"] * 4)
            deaths.Deaths("run", "change").guard(chunk, do)
            os.write(writing, "|".join(item.error for item in chunk.items).encode())
            os._exit(0)
        os.close(writing)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with os.fdopen(reading) as said:
            return status, said.read().split("|")

    assert [live()[0] for _ in range(3)] == [9, 9, 9]
    status, errors = live()
    assert status == 0 and errors == ["", "", deaths.DIED, ""] and not calls
    assert not list(tmp_path.iterdir()), "nothing is left"


def test_a_machine_without_the_model_ends_the_run(tmp_path):
    work = work_of(demo=True)
    found = stages.Finder(work)(chunk_of(group()))
    with pytest.raises(Stopped, match="put it there, under the same path on every machine"):
        stages.Changer(replace(work, model=str(tmp_path)))(found)
    other = replace(work, settings=work.settings | {"model_configs_sha256": "another"})
    with pytest.raises(Stopped, match="is another than where the run was started"):
        stages.Changer(other)(found)
