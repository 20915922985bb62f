"""The page of a proof: saved by the nodes beside the JSON, and as a real browser shows it."""

import hashlib
import json
from pathlib import Path

import folder_paths
import pytest
import torch
from comfy_api.latest import io

from face_anonymizer.modules.faces.outcomes import Entry
from face_anonymizer.modules.faces.report import Report
from face_anonymizer.modules.model.checkpoint import PACK_MODELS
from face_anonymizer.nodes import output as saving

ROOT = Path(__file__).resolve().parents[2]
SECRET = "IMG_8841_Karin"
RECOGNISERS = [
    {"name": "dlib ResNet", "value": 0.83, "threshold": 0.5, "measure": "distance", "same": False},
    {"name": "FaceRes", "value": 0.31, "threshold": 0.6, "measure": "cosine", "same": False},
]
DRIFT = {"pose": 3.0, "gaze": None, "expression": 0.1, "age": 2.0, "man": -0.1}
STRANGER = {"verdict": "stranger", "reason": "figures", "recognisers": RECOGNISERS, "drift": DRIFT}


def entry(image: int, number: int, **more) -> Entry:
    known = {"seed": 7 + number, "number": number, "covered": 0.99, "attempts": 1, "degree": 1.25}
    known |= {"verification": STRANGER}
    return Entry(image, (1.0, 2.0, 33.0, 44.0), 0.9, "centerface", None, "anonymized", **(known | more))


REPORT = Report(
    2, 48, 64, (entry(0, 1), entry(1, 2, reason="<script>alert(1)</script>"), entry(1, 3, verification=None))
)


@pytest.fixture
def node(monkeypatch):
    """Save Image (clean) as it stands in the shipped graph, of a photo whose name says whose it is."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "face_anon", ([str(PACK_MODELS)], set()))
    prompt = json.loads((ROOT / "workflows" / "api" / "anonymize_photo.json").read_text())
    for one in prompt.values():
        if one["class_type"] == "LoadImage":
            one["inputs"]["image"] = f"{SECRET}.jpg"
        if one["class_type"] == "FaceAnonLoadModel":
            one["inputs"]["model"] = "demo"
        one["inputs"] |= {"filename_prefix": SECRET} if "filename_prefix" in one["inputs"] else {}
    saver = next(id for id, one in prompt.items() if one["class_type"] == "FaceAnonSaveImage")
    return saving.FaceAnonSaveImage.PREPARE_CLASS_CLONE(
        {"hidden_inputs": {io.Hidden.prompt: prompt, io.Hidden.unique_id: saver}}
    )


def output(pattern: str) -> list[Path]:
    return sorted(Path(folder_paths.get_output_directory()).glob(pattern))


def test_the_page_lies_beside_the_pictures_and_tells_how_they_were_made(node):
    images = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    node.execute(images, "proven/a", report=REPORT)
    assert not output("proven/*.html"), "by default nothing changes"
    node.execute(images, "proven/b", report=REPORT, report_page=True)
    (page,) = output("proven/*.html")
    assert page.name == "b_00001_.html"
    told = json.loads(page.with_suffix(".json").read_text())
    made = told.pop("made_with")
    assert told == REPORT.to_dict() and SECRET not in json.dumps(made)
    assert made["models"][0]["name"] == "demo" and len(made["models"][0]["sha256"]) == 64
    assert [one["licence"] for one in made["recognisers"]][1].startswith("Apache") and len(made["results"]) == 2
    text = page.read_text(encoding="utf-8")
    for picture in output("proven/b*.png"):
        assert hashlib.sha256(picture.read_bytes()).hexdigest() in text
    for told in ("<dd>demo", "SHA-256 of the model<dd>", "Paste Faces", "synthetic faces of nobody", "Load Image"):
        assert told in text, told
    assert SECRET not in text and "<script" not in text
    node.execute(images, "proven/c", report=None, report_page=True)
    assert len(output("proven/*.html")) == 1


def test_the_report_node_says_what_it_does_not_know():
    saving.FaceAnonReport.execute(REPORT, True, "told_by_page", True)
    (page,) = output("told_by_page*.html")
    text = page.read_text(encoding="utf-8")
    assert json.loads(page.with_suffix(".json").read_text())["made_with"]["models"] is None
    assert text.count("ot known to this report") >= 3


def test_a_browser_shows_every_face_and_asks_for_nothing(browser):
    saving.FaceAnonReport.execute(REPORT, True, "browsed", True)
    (page,) = output("browsed*.html")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    shown = context.new_page()
    asked, said = [], []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.goto(page.as_uri())
    rows = shown.locator("table.faces tbody tr")
    assert rows.count() == len(REPORT.entries)
    verdicts = [rows.nth(i).locator("td").nth(1).inner_text() for i in range(rows.count())]
    assert [verdict.split(" ", 1)[1] for verdict in verdicts] == ["not verified", "stranger", "stranger"]
    assert "<script>alert(1)</script>" in rows.nth(2).inner_text()
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        paper, ink = (
            shown.evaluate(f"() => getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
        )
        assert (brightness(paper) > brightness(ink)) is (scheme == "light")
    assert shown.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "the page is not cut off"
    # on A4 in Chromium's 96 pixels an inch, 186 mm of which are between the margins: nothing sticks out
    shown.emulate_media(media="print", color_scheme="dark")
    shown.set_viewport_size({"width": 703, "height": 1000})
    assert shown.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert brightness(shown.evaluate("() => getComputedStyle(document.body).backgroundColor")) == 765
    context.close()
    assert asked == [page.as_uri()] and said == []


def brightness(colour: str) -> int:
    """The sum of the channels of rgb(r, g, b)."""
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
