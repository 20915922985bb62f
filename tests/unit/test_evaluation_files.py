"""What an evaluation writes and reads: tables, reports, pictures that are kept, folders of photos and their labels."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_anonymizer.modules.evaluation import conditions, folder_pairs, plots, report_files, sheet, synthetic_set
from face_anonymizer.modules.evaluation.claims import Verdict
from face_anonymizer.modules.evaluation.statistics import Interval
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.evaluation.tables import Table
from face_anonymizer.modules.faces.types import FIVE_POINTS, Face
from face_anonymizer.modules.files import sha256_of_folder
from face_anonymizer.modules.runs.jobs import find_sources, plan_jobs

SETTINGS = {"model": "a", "steps": 25, "degrees": [0.3, 1.25]}


def table() -> Table:
    made = Table("things", "Things", ["share", "count", "word"], note="A note.")
    made.put("one", {"share": Interval(0.5, 0.25, 0.75, 40), "count": 3, "word": "yes, so"})
    made.put("none", {"share": Interval(math.nan, math.nan, math.nan, 0)})
    return made


def picture(level: int = 0, size: int = 8) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def test_a_table_says_the_same_in_all_formats():
    made = table()
    assert "| one | 0.500 (0.250 to 0.750) | 3 | yes, so |" in made.markdown()
    assert "| none | not measurable |  |  |" in made.markdown()
    rows = list(csv.DictReader(io.StringIO(made.csv())))
    assert float(rows[0]["share: high"]) == 0.75 and rows[0]["word"] == "yes, so" and rows[1]["share"] == ""
    data = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert data["rows"]["one"]["share"] == {"value": 0.5, "low": 0.25, "high": 0.75, "count": 40}
    assert data["rows"]["none"]["share"]["value"] is None
    with pytest.raises(KeyError, match="no column shares"):
        made.put("two", {"shares": 1})


def test_a_report_is_replaced_and_nothing_else_is(tmp_path):
    verdicts = [Verdict("it works", True, "0.9"), Verdict("it is new", None, "")]
    for _ in range(2):
        report_files.write_report(tmp_path, {"steps": 25}, [table()], verdicts, ["identity.png"])
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| it works | holds | 0.9 |" in page and "| steps | 25 |" in page and "plots/identity.png" in page
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["verdicts"][0]["holds"] is True
    assert {file.suffix for file in (tmp_path / "tables").iterdir()} == {".md", ".csv", ".json"}
    assert not list(tmp_path.rglob("*.part"))
    for content in ('{"tool": "other"}', "[]", "not JSON"):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(ValueError, match="Nothing is overwritten"):
            report_files.write_report(tmp_path, {}, [table()])
        assert (tmp_path / "report.json").read_text() == content


def test_a_page_of_somebody_else_is_kept(tmp_path):
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(ValueError, match="belongs to no evaluation"):
        report_files.write_report(tmp_path, {}, [table()])
    assert (tmp_path / "report.md").read_text() == "mine"


def test_kept_pictures_are_found_again(tmp_path):
    store = PictureStore(tmp_path / "images", SETTINGS)
    store.keep("swap", np.stack([picture(1), picture(2)]))
    again = PictureStore(tmp_path / "images", SETTINGS)
    assert again.has("swap", 1) and not again.has("swap", 2)
    assert np.array_equal(again.read("swap", 2), np.stack([picture(1), picture(2)]))
    again.keep("swap", np.stack([picture(9)] * 3))  # what is there stays
    assert again.read("swap", 3)[:, 0, 0, 0].tolist() == [1, 2, 9]
    with pytest.raises(ValueError, match="lacks 1 of 4 pictures, the first is number 3"):
        again.read("swap", 4)
    again.remember("swap", "scores", [0.5, 0.25, 1.0])
    assert again.recall("swap", "scores", 3) == [0.5, 0.25, 1.0]
    assert again.recall("swap", "scores", 4) is None and again.recall("other", "scores", 1) is None


def test_pictures_of_other_settings_are_never_mixed(tmp_path):
    PictureStore(tmp_path / "images", SETTINGS)
    with pytest.raises(ValueError, match=r"steps: 25, asked for 50.*another output folder"):
        PictureStore(tmp_path / "images", SETTINGS | {"steps": 50})
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").touch()
    with pytest.raises(ValueError, match="not made by an evaluation"):
        PictureStore(tmp_path / "holiday", SETTINGS)
    assert [file.name for file in (tmp_path / "holiday").iterdir()] == ["beach.jpg"]


def test_a_digest_changes_with_any_weight(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("text")
    first = sha256_of_folder(tmp_path, (".json", ".safetensors"))
    (tmp_path / "README.md").write_text("other text")
    assert sha256_of_folder(tmp_path, (".json", ".safetensors")) == first
    (tmp_path / "unet" / "model.safetensors").write_bytes(b"weightz")
    assert sha256_of_folder(tmp_path, (".json", ".safetensors")) != first


def test_the_test_set_is_rendered_once_and_exact(tmp_path, monkeypatch):
    store = PictureStore(tmp_path / "images", SETTINGS)
    made = synthetic_set.make_set(3, store, seed=2, size=32)
    pairs = synthetic_set.make_calibration_pairs(2, store, seed=2, size=32)
    monkeypatch.setattr(synthetic_set, "render", None)  # everything is on disk now
    again = synthetic_set.make_set(3, store, seed=2, size=32)
    for name in ("originals", "others", "swapped", "background", "face"):
        assert np.array_equal(getattr(made, name), getattr(again, name)), name
    assert np.array_equal(pairs, synthetic_set.make_calibration_pairs(2, store, seed=2, size=32))
    clear = made.background.numpy() > 0.99
    # the scenery of a swap is that of the driving image wherever nobody is in front of it
    both = clear & np.all(made.originals == made.swapped, axis=-1)
    assert both.sum() > 0.8 * clear.sum()


def test_one_person_is_nobody_to_be_taken_for(tmp_path):
    with pytest.raises(ValueError, match="1 identities are too few"):
        synthetic_set.make_set(1, PictureStore(tmp_path / "images", SETTINGS))


def test_every_condition_has_a_folder_and_noise_of_its_own():
    plan = list(conditions.plan((0.3, 1.25), 1.25, seeds=3, seed_people=5))
    names = [condition.name for condition in plan]
    assert names == [
        *("swap", "anonymized_0.30", "anonymized_1.25", "other_anonymized"),
        *("ablation_embeddings", "ablation_states", "ablation_unconditional", "seed_00", "seed_01", "seed_02"),
    ]
    linked, seeds = plan[3], plan[-3:]
    offsets = {condition.seed_offset(number) for condition in (linked, *seeds) for number in range(1000)}
    assert len(offsets) == 4000
    assert [condition.count for condition in seeds] == [5] * 3
    with pytest.raises(ValueError, match="two digits"):
        list(conditions.plan((1.251, 1.252), 1.25))


def test_a_sheet_shows_all_columns(tmp_path):
    file = tmp_path / "sheet.jpg"
    sheet.save_sheet(file, {"a": np.stack([picture()] * 3), "b": np.stack([picture(200)] * 3)}, tile=16)
    assert Image.open(file).size == (32, 20 + 48)


def test_plots_without_matplotlib_name_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(RuntimeError, match="pip install matplotlib"):
        plots.need_matplotlib()


# Folders of photos


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture()).save(folder / name)
    return folder


def test_photos_are_paired_by_name(tmp_path):
    before = make(tmp_path / "a", "one.jpg", "two.png", "sub/three.jpg", "four.jpg")
    after = make(tmp_path / "b", "one.png", "two_anonymized.png", "sub/three_anonymized.png", "else.png")
    pairs, alone = folder_pairs.pair_files(before, after)
    assert [pair.name for pair in pairs] == ["one", "sub/three", "two"] and alone == ["four"]
    assert pairs[2].result.name == "two_anonymized.png"


@pytest.mark.parametrize(
    ("results", "paired", "left"),
    [
        (("a.jpg_redacted.png", "a.png_redacted.png"), ("a.jpg", "a.png"), []),  # of one run
        (("a_anonymized.png", "a.png_anonymized.png"), ("a.jpg", "a.png"), []),  # a.png came later
        (("a.png", "a.jpg"), ("a.jpg", "a.png"), []),
        (("a.png",), ("a.png",), ["a.jpg"]),
        (("a_anonymized.png", "b.png"), ("b",), ["a.jpg", "a.png"]),  # of whichever of the two
    ],
)
def test_originals_of_one_stem_are_paired_as_folder_runs_name_their_results(tmp_path, results, paired, left):
    before = make(tmp_path / "a", "a.jpg", "a.png", "b.jpg")
    after = make(tmp_path / "b", *results)
    pairs, alone = folder_pairs.pair_files(before, after)
    assert tuple(pair.name for pair in pairs) == paired and [name for name in alone if name != "b"] == left
    assert all(pair.result.name in results for pair in pairs) and len({pair.result for pair in pairs}) == len(pairs)
    if pairs[0].name == "a.jpg":
        assert pairs[1].result.name.startswith("a.png")


@pytest.mark.parametrize(
    ("originals", "results", "paired", "left"),
    [
        # of one run: each is the first's by its ending, or the second's by its name
        ("b.jpg b_redacted.jpg", "b_redacted.png b_redacted_redacted.png", "0 1", ""),
        ("b.jpg b_swapped.jpg", "b_swapped.webp b_swapped_swapped.webp", "0 1", ""),
        ("b.jpg b_redacted.jpg", "b_redacted.png", "0 -", "b_redacted"),
        ("b.jpg b_redacted.jpg", "b_redacted.jpg b.jpg", "1 0", ""),
        ("b.jpg b_redacted.jpg", "b_redacted.png b.png", "1 0", ""),
        ("a.jpg a.jpg.png", "a.jpg_redacted.png a_redacted.png", "1 0", ""),
        ("a.jpg a.jpg.png", "a.jpg_redacted.png", "- 0", "a"),
        (
            "a.jpg a.jpg_redacted.jpg a.png",
            "a.jpg_redacted.png a.jpg_redacted_redacted.png a.png_redacted.png",
            "0 1 2",
            "",
        ),
        ("c_redacted.jpg c.jpg d.jpg", "c_redacted.tif d.png", "0 - 1", "c"),  # of no run: the longest name
    ],
)
def test_a_result_serves_one_original(tmp_path, originals, results, paired, left):
    originals, results = originals.split(), results.split()
    pairs, alone = folder_pairs.pair_files(make(tmp_path / "a", *originals), make(tmp_path / "b", *results))
    found = {pair.original.name: str(results.index(pair.result.name)) for pair in pairs}
    assert " ".join(found.get(name, "-") for name in originals) == paired and alone == left.split()


@pytest.mark.parametrize("ending", ["_anonymized", "_redacted"])
def test_results_are_found_that_a_run_called_otherwise_than_by_stem(tmp_path, ending):
    """Long names are cut there, and a photo is one by its first bytes, whatever its suffix."""
    names = ["x" * 249 + ".png", "x" * 248 + "y.png", "short.png"]
    before = make(tmp_path / "a", *names)
    for name, told in (("short.png", "IMG_1"), ("short.png", "scan.dat"), ("short.png", ".hidden.png")):
        (before / told).write_bytes((before / name).read_bytes())
    (before / "notes").write_text("no picture")
    jobs = plan_jobs(find_sources([before], tmp_path / "b").sources, ending, {"photo": ".png"})
    pairs, alone = folder_pairs.pair_files(before, make(tmp_path / "b", *(job.result for job in jobs)))
    assert {pair.original.name: pair.result.name for pair in pairs} == {job.source.name: job.result for job in jobs}
    assert len(pairs) == 5 and not alone and sum("~" in pair.result.name for pair in pairs) == 2


def test_results_that_no_pair_has_are_named(tmp_path):
    before = make(tmp_path / "a", "one.jpg", "two.jpg", "two.png")
    after = make(tmp_path / "b", "one_anonymized.png", "one.png", "two.png_swapped.png", "two_redacted.png", "else.png")
    make(after, "two.jpg_swapped.png", ".hidden.png")
    pairs, alone = folder_pairs.pair_files(before, after)
    assert [pair.result.name for pair in pairs] == ["one_anonymized.png", "two.jpg_swapped.png", "two.png_swapped.png"]
    unread = folder_pairs.unread_results(pairs, after)
    assert not alone and unread.keys() == {"else.png", "one.png", "two_redacted.png"}
    assert unread["else.png"] == "" and unread["one.png"] == "one" and unread["two_redacted.png"].startswith("two.")


def test_folders_that_do_not_fit_are_refused(tmp_path):
    before, after = make(tmp_path / "a", "one.jpg"), make(tmp_path / "b", "two.jpg")
    (tmp_path / "empty").mkdir()
    for first, second, message in (
        (before, after, "belongs to one in"),
        (before, tmp_path / "empty", "no picture in"),
        (tmp_path / "nowhere", after, "is no folder"),
        (before, make(tmp_path / "c", "one.webp", "one.png"), "have one name"),
        (before, make(tmp_path / "d", "one_redacted.jpg", "one_redacted.png"), "have one name"),
    ):
        with pytest.raises(ValueError, match=message):
            folder_pairs.pair_files(first, second)


@pytest.mark.parametrize("name", ["labels.json", "labels.csv"])
def test_labels_say_who_is_who(tmp_path, name):
    file = tmp_path / name
    rows = {"one.jpg": "Ann", "two": "Bob"}
    file.write_text(json.dumps(rows) if name.endswith("json") else "".join(f"{k},{v}\n" for k, v in rows.items()))
    assert folder_pairs.identities_of(["two", "one", "one.jpg"], file) == ["Bob", "Ann", "Ann"]
    with pytest.raises(ValueError, match=r"who is in 1 pictures, such as three"):
        folder_pairs.identities_of(["one", "three"], file)


@pytest.mark.parametrize("content", ["[1]", "{", ""])
def test_labels_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match="no list of names and people"):
        folder_pairs.identities_of(["one"], tmp_path / "labels.json")


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read"):
        folder_pairs.read_picture(tmp_path / "broken.jpg")


def test_faces_are_matched_by_their_place():
    def face(x: float, y: float) -> Face:
        return Face(0, np.array([x, y, x + 10, y + 10]), 0.9, np.zeros((5, 2)), FIVE_POINTS, "test")

    faces = [face(0, 0), face(50, 0), face(0, 50)]
    others = [face(51, 1), face(2, 1), face(90, 90)]
    assert folder_pairs.match_faces(faces, others) == [others[1], others[0], None]
    assert folder_pairs.match_faces(faces, []) == [None] * 3
    # one face of the result serves one original
    assert folder_pairs.match_faces([face(0, 0), face(1, 0)], [others[1]]).count(None) == 1
