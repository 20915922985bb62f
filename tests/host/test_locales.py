"""The pack in other languages: nothing is missing, nothing is left in English, and the page shows it."""

import json
from collections.abc import Iterator

import pytest

from face_anonymizer.tools.locales.check import LANGUAGES, faults
from face_anonymizer.tools.locales.english import LOCALES, RECORD, english, read_language, texts, without
from face_anonymizer.tools.workflows.frontend import Frontend

HOW = (
    "The texts of nodes have changed. `python scripts/with_env.py tools/run.py locales.english` notes the new ones and "
    "takes out the translations that no longer hold; translate what it names in each locales/<language>/nodeDefs.json, "
    "until `tools/run.py locales.check` finds nothing."
)
ADDED = """() => {
    const node = LiteGraph.createNode("FaceAnonAnonymizePhoto");
    app.graph.add(node);
    const stores = document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s;
    return {
        title: node.title,
        inputs: Object.fromEntries(node.inputs.map((one) => [one.name, one.localized_name])),
        widgets: Object.fromEntries(node.widgets.map((one) => [one.name, one.label])),
        outputs: node.outputs.map((one) => one.localized_name),
        ...(({ description, category }) => ({ description, category }))(
            stores.get("nodeDef").nodeDefsByName.FaceAnonAnonymizePhoto),
    };
}"""


@pytest.fixture(scope="module")
def record() -> dict:
    """The English texts that are translated."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tiny() -> tuple[dict, dict]:
    """(English, Chinese) of one text."""
    text = "With verify: 2 of Crop Faces, at most 1.25. list: as it is."
    names = {"display_name": "Crop Faces", "inputs": {"verify": {"name": "verify", "tooltip": text}}}
    theirs = {"display_name": "裁剪人脸", "inputs": {"verify": {"name": "核查", "tooltip": ""}}}
    literals = {"nodeDefs.FaceAnonCropFaces.inputs.verify.tooltip": ["list"]}
    return (
        {"main": {}, "nodeDefs": {"FaceAnonCropFaces": names}, "literals": literals},
        {"main": {}, "nodeDefs": {"FaceAnonCropFaces": theirs}},
    )


def test_what_the_nodes_say_is_what_is_translated(server, record):
    now, then = dict(texts(english(server.object_info()))), dict(texts(record))
    changed = [f"{key}: {text}" for key, text in now.items() if then.get(key) != text]
    gone = [f"{key}: no node says this any more" for key in then.keys() - now.keys()]
    assert not changed + gone, "\n".join([HOW, *changed, *gone])
    assert english(server.object_info()) == record, HOW


def test_the_languages_are_all_there_and_no_other():
    assert {path.name for path in LOCALES.iterdir()} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_whole(language, record):
    found = faults(language, read_language(LOCALES / language), record)
    assert not found, "\n".join([f"locales/{language}:", *found])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("启用“核查”时：最多取「裁剪人脸」的 2 张，上限 1.25。list：保持原样。", None),
        ("启用“核查”时：最多取「裁剪人脸」的 3 张，上限 1.25。list：保持原样。", "2 is missing"),
        ("启用“核查”时：最多取「裁剪人脸」的 2 张，上限 1,25。list：保持原样。", "1.25 is missing"),
        ("启用“核查”时：最多取「裁剪人脸」的 2 张，上限 1.25。列表：保持原样。", "the choice 'list'"),
        ("启用“核查”时：最多取「切割面部」的 2 张，上限 1.25。list：保持原样。", "Crop Faces is called"),
        ("启用验证时：最多取「裁剪人脸」的 2 张，上限 1.25。list：保持原样。", "verify is called"),
        ("启用“核查”时：最多取「裁剪人脸」的 2 张，上限 1.25。list: as the others is。", "English words"),
        ("启用“核查”时：最多取「裁剪人脸」的 2 张，上限 {1.25}。list：保持原样。", "the page cannot show"),
        ("「核查」を使うとき：「裁剪人脸」の 2 张、1.25。list：原样。", "another script"),
        ("With 核查: 2 of 裁剪人脸, at most 1.25. list: as it is.", "English words"),
        ("", "empty"),
        (None, "missing. English: With verify"),
    ],
)
def test_what_a_translation_can_get_wrong_is_found(tiny, text, fault):
    record, files = json.loads(json.dumps(tiny))
    verify = files["nodeDefs"]["FaceAnonCropFaces"]["inputs"]["verify"]
    verify["tooltip"] = text
    if text is None:
        del verify["tooltip"]
    found = faults("zh", files, record)
    assert any(fault in line for line in found) if fault else not found, found


def test_a_text_that_no_node_says_is_found(tiny):
    record, files = json.loads(json.dumps(tiny))
    record["nodeDefs"]["FaceAnonCropFaces"]["inputs"].clear()
    assert any("no node says this" in line for line in faults("zh", files, record))


def test_a_translation_of_a_text_that_has_changed_is_taken_out(tiny):
    record, files = json.loads(json.dumps(tiny))
    key = "nodeDefs.FaceAnonCropFaces.inputs.verify.tooltip"
    rest = without(files, {key})
    assert dict(texts(rest)) == {other: text for other, text in texts(files) if other != key}
    assert faults("zh", rest, record)[0].startswith(f"{key}: missing")
    everything = {key for key, _ in texts(files)}
    assert without(files, everything) == {}


@pytest.fixture
def chinese(browser, server) -> Iterator[Frontend]:
    """The page as it opens for a user who has chosen 中文 in its settings."""
    server.post("/settings", {"Comfy.Locale": "zh"})
    page = Frontend(browser, server)
    yield page
    page.close()
    server.post("/settings", {"Comfy.Locale": "en"})


@pytest.mark.long
def test_the_page_shows_it(chinese):
    files = read_language(LOCALES / "zh")
    node, words = files["nodeDefs"]["FaceAnonAnonymizePhoto"], files["main"]["nodeCategories"]
    names = {name: text["name"] for name, text in node["inputs"].items()}
    shown = chinese.page.evaluate(ADDED)
    assert shown["title"] == node["display_name"] == "匿名化照片"
    assert shown["description"] == node["description"]
    assert shown["category"] == f"{words['face anonymizer']}/{words['photo']}" == "人脸匿名化/照片"
    assert shown["inputs"] == names and names["degree"] == "匿名程度"
    assert {name: names[name] for name in shown["widgets"] if name in names}.items() <= shown["widgets"].items()
    assert shown["outputs"][2:] == [node["outputs"][index]["name"] for index in "234"]
    assert not chinese.errors()
