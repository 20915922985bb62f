"""In the real page: faces go on and off by a click, and one of them gets another stranger while all others stay."""

from pathlib import Path

import pytest

from face_anonymizer.modules.faces.numbers import as_ranges, parse_numbers, parse_seeds, rank
from face_anonymizer.modules.model.settings import PaintSettings

ROOT = Path(__file__).resolve().parents[2]
BUTTONS = """() => [...document.querySelectorAll(".face-anon-choose .face")].map(
    (face) => [Number(face.dataset.number), face.getAttribute("aria-pressed")])"""
CLICK = """([kind, number]) => document.querySelector(`.face-anon-choose .${kind}[data-number="${number}"]`).click()"""
WIDGETS = """(type) => Object.fromEntries(app.rootGraph.nodes.find((node) => node.type === type).widgets.map(
    (widget) => [widget.name, widget.value]))"""

COVER = """() => {
    const node = app.rootGraph.nodes.find((node) => node.type === "FaceAnonAnonymizePhoto");
    const set = { what: "cover", thorough: false, control_after_generate: "fixed", seed: 5 };
    for (const widget of node.widgets) if (widget.name in set) widget.value = set[widget.name];
}"""


def run(frontend, server) -> dict:
    history = server.wait(frontend.queue(), timeout=300)
    assert frontend.errors() == []
    return history["outputs"]


def actions(outputs: dict) -> dict:
    return [output["face_anon_report"][0] for output in outputs.values() if "face_anon_report" in output][-1]["actions"]


def photo_graph() -> dict:
    """Sample, Anonymize Photo, Report; as the page would save it, but for what does not matter."""
    return {
        "version": 0.4,
        "last_node_id": 3,
        "last_link_id": 2,
        "nodes": [
            {"id": 1, "type": "FaceAnonSamplePicture", "pos": [0, 0], "size": [300, 300], "outputs": [
                {"name": "IMAGE", "type": "IMAGE", "links": [1]}]},
            {"id": 2, "type": "FaceAnonAnonymizePhoto", "pos": [400, 0], "size": [400, 700],
             "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
             "outputs": [{"name": name, "type": kind, "links": links} for name, kind, links in (
                 ("IMAGE", "IMAGE", []), ("MASK", "MASK", []), ("faces", "FACE_ANON_FACES", []),
                 ("before_and_after", "IMAGE", []), ("report", "FACE_ANON_REPORT", [2]))]},
            {"id": 3, "type": "FaceAnonReport", "pos": [900, 0], "size": [300, 200],
             "inputs": [{"name": "report", "type": "FACE_ANON_REPORT", "link": 2}]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 4, 3, 0, "FACE_ANON_REPORT"]],
    }  # fmt: skip


def test_a_click_takes_a_face_out_and_puts_it_back(frontend, server):
    page = frontend.page
    frontend.load(photo_graph())
    page.evaluate(COVER)
    saved = frontend.serialize()
    assert actions(run(frontend, server)) == {"redacted": 5}
    page.wait_for_function("() => document.querySelectorAll('.face-anon-choose .face').length === 5", timeout=20_000)
    assert page.evaluate(BUTTONS) == [[number, "true"] for number in range(1, 6)]
    for number in (3, 5):
        page.evaluate(CLICK, ["face", number])
    widgets = page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")
    assert (widgets["who"], widgets["numbers"]) == ("list", "1-2, 4")
    assert actions(run(frontend, server)) == {"redacted": 3, "kept": 2}
    for number in (1, 2, 4):  # the last one stays: an empty list would be everybody
        page.evaluate(CLICK, ["face", number])
    assert page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["numbers"] == "4"
    for number in (1, 2, 3, 5):
        page.evaluate(CLICK, ["face", number])
    widgets = page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")
    assert (widgets["who"], widgets["numbers"]) == ("all", "")
    page.evaluate(CLICK, ["anew", 2])
    assert page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["face_seeds"] == "2: 2000011"
    page.evaluate(CLICK, ["anew", 2])
    assert page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["face_seeds"] == "2: 2000012"
    now = frontend.serialize()  # what a graph holds is what it held, but for what was clicked
    values = [next(node for node in one["nodes"] if node["id"] == 2)["widgets_values"] for one in (saved, now)]
    assert len(values[0]) == len(values[1])
    assert [pair for pair in zip(*values, strict=True) if pair[0] != pair[1]] == [("", "2: 2000012")]


def test_a_click_leaves_faces_of_pictures_that_are_not_shown_as_they_were(frontend, server):
    """A node shows eight pictures of a batch; here are nine small ones, with five faces each."""
    graph = photo_graph()
    for id, kind, values, link, links in (
        (4, "ImageScaleBy", ["area", 0.4], 1, [3]),
        (5, "RepeatImageBatch", [9], 3, [4]),
    ):
        graph["nodes"].append({
            "id": id, "type": kind, "pos": [200, 200 * id], "size": [200, 80], "widgets_values": values,
            "inputs": [{"name": "image", "type": "IMAGE", "link": link}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": links}],
        })  # fmt: skip
    graph["links"] = [[1, 1, 0, 4, 0, "IMAGE"], [2, 2, 4, 3, 0, "FACE_ANON_REPORT"], [3, 4, 0, 5, 0, "IMAGE"],
                      [4, 5, 0, 2, 0, "IMAGE"]]  # fmt: skip
    graph["nodes"][1]["inputs"][0]["link"] = 4
    frontend.load(graph)
    frontend.page.evaluate(COVER)
    assert actions(run(frontend, server)) == {"redacted": 45}
    frontend.page.wait_for_function("() => document.querySelectorAll('.face-anon-choose .face').length === 40")
    frontend.page.evaluate(CLICK, ["face", 3])
    assert frontend.page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["numbers"] == "1-2, 4-45"


def test_of_a_list_of_photos_the_node_says_that_nobody_is_chosen_by_a_click(frontend, server):
    """A number would mean a face of each photo: to leave somebody as he is would leave others, too."""
    graph = photo_graph()
    for id, kind, name, value, links in (
        (4, "RepeatImageBatch", "image", 2, [3]),
        (5, "RebatchImages", "images", 1, [4]),
    ):
        graph["nodes"].append({
            "id": id, "type": kind, "pos": [200, 200 * id], "size": [200, 80], "widgets_values": [value],
            "inputs": [{"name": name, "type": "IMAGE", "link": id - 3 if id == 4 else 3}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": links}],
        })  # fmt: skip
    graph["links"] = [[1, 1, 0, 4, 0, "IMAGE"], [2, 2, 4, 3, 0, "FACE_ANON_REPORT"], [3, 4, 0, 5, 0, "IMAGE"],
                      [4, 5, 0, 2, 0, "IMAGE"]]  # fmt: skip
    graph["nodes"][1]["inputs"][0]["link"] = 4
    frontend.load(graph)
    frontend.page.evaluate(COVER)
    run(frontend, server)
    frontend.page.wait_for_function("() => document.querySelector('.face-anon-choose p')", timeout=20_000)
    assert "A list of photos" in frontend.page.evaluate("() => document.querySelector('.face-anon-choose').innerText")
    assert frontend.page.evaluate(BUTTONS) == []
    assert frontend.page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["who"] == "all"


def test_another_seed_after_the_run_is_taken_back(frontend, server):
    """Where the page draws a new seed after each run, "anew" is of the picture that is seen."""
    page = frontend.page
    frontend.load(photo_graph())
    page.evaluate("""() => {
        const node = app.rootGraph.nodes.find((node) => node.type === "FaceAnonAnonymizePhoto");
        const set = { what: "cover", thorough: false, control_after_generate: "increment", seed: 5 };
        for (const widget of node.widgets) if (widget.name in set) widget.value = set[widget.name];
    }""")
    run(frontend, server)
    page.wait_for_function("() => document.querySelectorAll('.face-anon-choose .face').length === 5", timeout=20_000)
    assert page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["seed"] == 6
    page.evaluate(CLICK, ["anew", 1])
    widgets = page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")
    assert (widgets["seed"], widgets["control_after_generate"]) == (5, "fixed")
    assert widgets["face_seeds"] == "1: 1000008"


def test_the_faces_before_select_faces_are_shown_on_it(frontend, server):
    frontend.load({
        "version": 0.4, "last_node_id": 4, "last_link_id": 3,
        "nodes": [
            {"id": 1, "type": "FaceAnonSamplePicture", "pos": [0, 0], "size": [300, 300], "outputs": [
                {"name": "IMAGE", "type": "IMAGE", "links": [1, 3]}]},
            {"id": 2, "type": "FaceAnonDetectFaces", "pos": [400, 0], "size": [300, 300],
             "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
             "outputs": [{"name": "faces", "type": "FACE_ANON_FACES", "links": [2]}]},
            {"id": 4, "type": "FaceAnonSelectFaces", "pos": [800, 0], "size": [300, 300],
             "inputs": [{"name": "faces", "type": "FACE_ANON_FACES", "link": 2}],
             "outputs": [{"name": "faces", "type": "FACE_ANON_FACES", "links": [4]}]},
            {"id": 5, "type": "FaceAnonRedactFaces", "pos": [1200, 0], "size": [300, 300],
             "inputs": [{"name": "image", "type": "IMAGE", "link": 3},
                        {"name": "faces", "type": "FACE_ANON_FACES", "link": 4}],
             "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [5]}]},
            {"id": 6, "type": "PreviewImage", "pos": [1600, 0], "size": [300, 300],
             "inputs": [{"name": "images", "type": "IMAGE", "link": 5}]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 4, 0, "FACE_ANON_FACES"], [3, 1, 0, 5, 0, "IMAGE"],
                  [4, 4, 0, 5, 1, "FACE_ANON_FACES"], [5, 5, 0, 6, 0, "IMAGE"]],
    })  # fmt: skip
    run(frontend, server)
    frontend.page.wait_for_function("() => document.querySelectorAll('.face-anon-choose .face').length === 5")
    frontend.page.evaluate(CLICK, ["face", 1])
    assert frontend.page.evaluate(WIDGETS, "FaceAnonSelectFaces")["indices"] == "2-5"
    assert frontend.page.evaluate("() => document.querySelectorAll('.face-anon-choose .anew').length") == 0


SELECT = """(values) => {
    const node = app.rootGraph.nodes.find((node) => node.type === "FaceAnonSelectFaces");
    for (const [name, value] of Object.entries(values)) node.widgets.find((one) => one.name === name).value = value;
}"""


def test_whom_a_condition_chose_is_shown_and_a_click_goes_on_from_there(frontend, server):
    """The largest face alone is chosen: it alone is on, and with a second one these two are, by their numbers."""
    page = frontend.page
    frontend.load(ROOT / "workflows" / "Anonymize some faces, cover the others.json")
    page.evaluate("""() => {
        for (const node of app.rootGraph.nodes)
            for (const widget of node.widgets ?? []) {
                if (widget.name === "thorough") widget.value = false;
                if (widget.name === "steps") widget.value = 2;
            }
    }""")
    server.post("/free", {"free_memory": True})  # what others have found here comes from the cache, and is not shown
    assert actions(run(frontend, server)) == {"anonymized": 1, "redacted": 4}
    page.wait_for_function(
        """() => [...document.querySelectorAll(".face-anon-choose .face")].filter(
        (face) => face.getAttribute("aria-pressed") === "true").length === 1""",
        timeout=20_000,
    )
    (largest,) = [number for number, is_on in page.evaluate(BUTTONS) if is_on == "true"]
    other = 1 if largest != 1 else 2
    page.evaluate(CLICK, ["face", other])
    widgets = page.evaluate(WIDGETS, "FaceAnonSelectFaces")
    numbers = sorted([largest, other])
    assert parse_numbers(widgets["indices"]) == parse_numbers(f"{numbers[0]}, {numbers[1]}")
    assert widgets["largest"] == 0, "or the largest of these two alone would be chosen"
    assert actions(run(frontend, server)) == {"anonymized": 2, "redacted": 3}
    page.evaluate(SELECT, {"position": "left"})
    assert actions(run(frontend, server)) == {"anonymized": 1, "redacted": 4}


def test_the_largest_of_a_photo_is_shown_in_one_node_too(frontend, server):
    page = frontend.page
    frontend.load(photo_graph())
    page.evaluate(COVER)
    server.post("/free", {"free_memory": True})
    page.evaluate("""() => {
        const node = app.rootGraph.nodes.find((node) => node.type === "FaceAnonAnonymizePhoto");
        node.widgets.find((one) => one.name === "who").value = "largest";
    }""")
    assert actions(run(frontend, server)) == {"redacted": 1, "kept": 4}
    page.wait_for_function(
        """() => [...document.querySelectorAll(".face-anon-choose .face")].filter(
        (face) => face.getAttribute("aria-pressed") === "true").length === 1""",
        timeout=20_000,
    )


LARGEST = """(cover) => {
    const node = app.rootGraph.nodes.find((node) => node.type === "FaceAnonAnonymizePhoto");
    const set = { who: "largest", cover_with: cover };
    for (const widget of node.widgets) if (widget.name in set) widget.value = set[widget.name];
}"""


def test_the_largest_is_shown_by_a_page_that_was_not_there_when_it_was_chosen(frontend, server):
    """The host remembers who was chosen and says it once; a new page must not show everybody as chosen."""
    page = frontend.page
    for cover in ("solid", "mosaic"):  # the second is another result of the same choice
        frontend.load(photo_graph())
        page.evaluate(COVER)
        page.evaluate(LARGEST, cover)
        assert actions(run(frontend, server)) == {"redacted": 1, "kept": 4}
    page.wait_for_function("() => document.querySelectorAll('.face-anon-choose .face').length === 5", timeout=20_000)
    assert sorted(is_on for _, is_on in page.evaluate(BUTTONS)) == ["false"] * 4 + ["true"]


def test_all_faces_of_a_photo_are_in_sight(frontend, server):
    """The picture fits into its place on the node: who is beyond its edge is not missed, and not clicked."""
    page = frontend.page
    frontend.load(ROOT / "workflows" / "Cover all faces of a photo.json")
    page.evaluate(COVER)
    server.post("/free", {"free_memory": True})
    run(frontend, server)
    page.wait_for_function(
        """() => {
            const place = document.querySelector(".face-anon-choose"), edge = place?.getBoundingClientRect().bottom;
            const faces = [...(place?.querySelectorAll(".face") ?? [])].map((face) => face.getBoundingClientRect());
            return faces.length === 5 && faces.every(({ bottom, height }) => height > 0 && bottom <= edge);
        }""",
        timeout=20_000,
    )


def test_one_click_is_one_step_to_undo_and_the_faces_stay_to_be_clicked(frontend, server):
    """The page makes all nodes anew when it undoes: `who` and `numbers` go together, and the picture is back."""
    page = frontend.page
    frontend.load(photo_graph())
    page.evaluate(COVER)
    run(frontend, server)
    faces = "() => document.querySelectorAll('.face-anon-choose .face').length === 5"
    page.wait_for_function(faces, timeout=20_000)
    page.evaluate(CLICK, ["face", 3])
    widgets = page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")
    assert (widgets["who"], widgets["numbers"]) == ("list", "1-2, 4-5")
    page.evaluate("() => { window.stayAwake(); return app.extensionManager.command.execute('Comfy.Undo'); }")
    widgets = page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")
    assert (widgets["who"], widgets["numbers"]) == ("all", "")
    page.wait_for_function(faces, timeout=20_000)
    assert page.evaluate(BUTTONS) == [[number, "true"] for number in range(1, 6)]
    page.evaluate(CLICK, ["face", 1])
    assert page.evaluate(WIDGETS, "FaceAnonAnonymizePhoto")["numbers"] == "2-5"


def test_the_numbers_of_chosen_faces_are_counted_anew():
    ranges = parse_numbers("5, 1-3, 2-4, 9")
    assert [rank(number, ranges) for number in (1, 2, 3, 4, 5, 9)] == [1, 2, 3, 4, 5, 6]
    assert rank(10**9, parse_numbers(f"3-{10**12}")) == 10**9 - 2
    with pytest.raises(ValueError, match="Face 6 is not among the numbers that change, but it has a seed"):
        rank(6, ranges)


def test_ranges_are_read_back():
    assert as_ranges([5, 1, 2, 3, 3, 9]) == "1-3, 5, 9" and as_ranges([]) == ""
    assert [list(one) for one in parse_numbers(as_ranges([5, 1, 2, 3]))] == [[1, 2, 3], [5]]


def test_seeds_of_single_faces():
    assert parse_seeds("") == {} and parse_seeds(" 3: 7,5:12 ") == {3: 7, 5: 12}
    for wrong in ("3", "3: 7, 3: 8", "0: 1", "3: -1", "a: 1", "3: 7,", f"1: {2**64}"):
        with pytest.raises(ValueError, match="face_seeds gives faces seeds"):
            parse_seeds(wrong)
    painting = PaintSettings(seed=10, own_seeds=((2, 99),))
    assert [painting.seed_of(offset) for offset in range(4)] == [10, 11, 99, 13]
