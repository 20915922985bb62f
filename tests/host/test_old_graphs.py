"""Graphs that people saved with earlier versions, tests/fixtures/graphs/VERSION, mean today what they meant then.

A saved graph has the values of its widgets by position, so a widget added in the middle shifts all that follow, and
nothing says so. Hence the rule: new widgets come after all old ones, optional, with a default that changes nothing.

Each graph lies here as that version's page saved it (ui) and as it exported it for servers (api), which names each
value. None is ever made anew; graphs of a later version get a folder of their own. Those of 0.1 are opened in the page.
From 0.2 on a graph names its widgets, so that their order is compared without a page.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import execution
import folder_paths
import pytest

from face_anonymizer.modules.runs.client import refusal

ROOT = Path(__file__).resolve().parents[2]
GRAPHS = sorted((ROOT / "tests" / "fixtures" / "graphs").glob("*/ui/*.json"))
OPENED = [path for path in GRAPHS if path.parts[-3] == "0.1.0"]
NAMED = [path for path in GRAPHS if path not in OPENED]
CORE = ("nodes_primitive.py", "nodes_video.py")  # of comfy_extras, which only a server loads by itself
OF_THE_PAGE = ("control_after_generate",)  # widgets that the page adds to nodes' own
# The names of the widgets whose values a graph saves, in their order.
WIDGETS = """() => Object.fromEntries(app.rootGraph.nodes.map((node) =>
    [node.id, (node.widgets ?? []).filter((widget) => widget.serialize !== false).map((widget) => widget.name)]))"""


def each_of(graphs: list[Path]):
    return pytest.mark.parametrize("path", graphs, ids=lambda path: f"{path.parts[-3]}-{path.stem}")


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def read_prompt(path: Path) -> dict:
    """The API export of a saved graph."""
    return read_json(path.parents[1] / "api" / path.name)


def same(one, other) -> bool:
    """As JSON has it: 4 is 4.0, but 0 is not false, which it is in Python."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def default(info: Mapping, name: str):
    """What a node's input is where a graph does not say it; None where its schema does not say it either."""
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    kind, options = [*inputs.get(name, []), {}, {}][:2]
    choices = kind if isinstance(kind, list) else options.get("options")
    return options.get("default", choices[0] if choices else None)


def find_differences(now: Mapping, then: Mapping, info: Mapping) -> list[str]:
    """Where a prompt does not do what it did; info: /object_info."""
    faults = [f"{now[number]['class_type']} (node {number}) was not there" for number in now if number not in then]
    for number, node in then.items():
        where = f"{node['class_type']} (node {number})"
        if number not in now or now[number]["class_type"] != node["class_type"]:
            faults.append(f"{where} is gone")
            continue
        before, after = node["inputs"], now[number]["inputs"]
        for name, value in before.items():
            if name not in after:
                faults.append(f"{where}: {name} is gone, was {value!r}")
            elif not same(after[name], value):
                faults.append(f"{where}: {name} is {after[name]!r}, was {value!r}")
        for name in (name for name in after if name not in before):
            usual = default(info[node["class_type"]], name)
            if not same(after[name], usual):
                faults.append(f"{where}: {name}, which is new, is {after[name]!r}, by default {usual!r}")
    return faults


def find_shifts(graph: Mapping, widgets: Mapping) -> list[str]:
    """Which nodes read their saved values as other widgets' ones, be these equal here or not; widgets: of the page."""
    faults = []
    for node in graph["nodes"]:
        then = [slot["name"] for slot in node.get("inputs", []) if "widget" in slot]
        read = widgets[str(node["id"])][: len(node.get("widgets_values") or [])]
        if [name for name in read if name in then] != then:
            faults.append(f"{node['type']} (node {node['id']}): values of {', '.join(then)} go to {', '.join(read)}")
    return faults


def find_moves(graph: Mapping, info: Mapping) -> list[str]:
    """Which of our nodes no longer have the widgets of a graph, in its order, before all others; info: /object_info."""
    faults = []
    for node in graph["nodes"]:
        if not node["type"].startswith("FaceAnon"):
            continue
        inputs = info[node["type"]]["input"]
        now = [*inputs.get("required", {}), *inputs.get("optional", {})]
        sockets = {each["name"] for each in node.get("inputs", []) if "widget" not in each}
        then = [name for name in node.get("widgets_values_named", {}) if name in now]
        gone = set(node.get("widgets_values_named", {})) - {*now, *OF_THE_PAGE}
        read = [name for name in now if name not in sockets][: len(then)]
        if gone or read != then:
            faults.append(
                f"{node['type']} (node {node['id']}): {', '.join(then)} are now {', '.join(read)}; gone: {gone}"
            )
    return faults


@pytest.fixture(scope="module")
def validate(comfyui, host_nodes, short_clip, tmp_path_factory) -> Iterator:
    """A function that checks a prompt as POST /prompt does, in this process, where nothing runs it afterwards."""
    folder = tmp_path_factory.mktemp("input")
    shutil.copy(ROOT / "assets" / "astronaut.jpg", folder / "example.png")
    shutil.copy(short_clip, folder / "example.mp4")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as thread:
        patch.setattr(folder_paths, "input_directory", str(folder))
        patch.setattr(host_nodes, "NODE_CLASS_MAPPINGS", dict(host_nodes.NODE_CLASS_MAPPINGS))

        def wait(coroutine):  # the browser of other tests keeps an event loop in this thread
            return thread.submit(asyncio.run, coroutine).result()

        for module in (*(comfyui / "comfy_extras" / name for name in CORE), ROOT):
            assert wait(host_nodes.load_custom_node(str(module))), f"ComfyUI could not load {module}"
        yield lambda prompt: wait(execution.validate_prompt("old", prompt, None))


def test_every_graph_has_its_prompt():
    assert len(OPENED) == 9 and len(NAMED) >= 16 and all(read_prompt(path) for path in GRAPHS)


@pytest.fixture(scope="module")
def info(server, short_clip) -> dict:
    """What the server says of its nodes, once it has the pictures that the graphs name."""
    server.upload(ROOT / "assets" / "astronaut.jpg", name="example.png")
    server.upload(short_clip, name="example.mp4")
    return server.object_info()


@each_of(NAMED)
def test_an_old_graph_s_widgets_stand_where_they_stood(info, path):
    faults = find_moves(read_json(path), info)
    assert not faults, "\n".join(["New widgets come after all old ones, optional, with a default:", *faults])


def test_a_widget_in_the_middle_and_one_that_is_gone_are_found(info):
    graph = read_json(next(path for path in NAMED if path.stem == "photo_in_one_node"))
    node = info["FaceAnonAnonymizePhoto"]["input"]
    for optional in (
        {"new": ["INT", {}], **node["optional"]},
        {name: value for name, value in node["optional"].items() if name != "numbers"},
    ):
        required = {name: value for name, value in node["required"].items() if name != "numbers"}
        changed = {"FaceAnonAnonymizePhoto": {"input": {"required": required, "optional": optional}}}
        assert find_moves(graph, {**info, **changed})


@each_of(OPENED)
def test_an_old_graph_means_what_it_meant(frontend, info, path):
    frontend.load(path)
    faults = find_differences(frontend.to_api(), read_prompt(path), info)
    faults += find_shifts(read_json(path), frontend.page.evaluate(WIDGETS))
    assert not faults, "\n".join(["New widgets come after all old ones, optional, with a default:", *faults])
    assert frontend.errors() == []


@each_of(GRAPHS)
def test_an_old_prompt_is_accepted(validate, path):
    accepted, error, _, faults = validate(read_prompt(path))
    assert accepted and not faults, str(refusal({"error": error, "node_errors": faults}))
