"""Make the shipped workflows: build each graph in ComfyUI's real page, save what the page saves, run it, photograph it.

    python scripts/with_env.py scripts/make_workflows.py [NAME ...] [--model FOLDER]

Writes workflows/NAME.json (as the page saves it), workflows/api/NAME.json (as the page exports it for servers) and
workflows/NAME.jpg (before and after, of a run with the tiny random model or with --model). For developers: it needs a
Chromium and the tests' requirements, as the browser tests do.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from _graph_parts import EXAMPLE, EXAMPLE_VIDEO
from _graphs import GRAPHS
from _sample_clip import first_frame, write_clip
from comfy_server import Server
from host import PACK
from PIL import Image

sys.path.insert(0, str(PACK / "tests" / "host"))
from frontend import Frontend, open_browser

WORKFLOWS = PACK / "workflows"
SAVERS = ("FaceAnonSaveImage", "FaceAnonSaveVideo", "SaveVideo")
PHOTO = PACK / "assets" / "astronaut.jpg"

BUILD = """(spec) => {
    app.clean(); app.rootGraph.clear();
    const made = {};
    for (const [name, node] of Object.entries(spec.nodes)) {
        const built = LiteGraph.createNode(node.type);
        if (!built) throw new Error("no node " + node.type);
        app.rootGraph.add(built);
        built.pos = node.pos;
        if (node.title) built.title = node.title;
        Object.assign(built.properties, node.properties ?? {});
        for (const [key, value] of Object.entries(node.widgets ?? {})) {
            const named = built.widgets.find((widget) => widget.name === key);
            const widget = named ?? (node.type === "MarkdownNote" && built.widgets[0]);
            if (!widget) throw new Error(node.type + " has no widget " + key);
            widget.value = value;
        }
        built.size = [node.width ?? Math.max(built.size[0], 290), node.height ?? built.computeSize()[1]];
        made[name] = built;
    }
    for (const [name, node] of Object.entries(spec.nodes)) {
        for (const [key, [from, slot]] of Object.entries(node.inputs ?? {})) {
            const input = made[name].inputs.findIndex((input) => input.name === key);
            if (input < 0) throw new Error(node.type + " has no input " + key);
            if (!made[from].connect(slot, made[name], input))
                throw new Error(from + " does not fit " + name + "." + key);
        }
    }
    for (const {title, color, bounding} of spec.groups) {
        const group = new LiteGraph.LGraphGroup(title);
        group.color = color; group.pos = bounding.slice(0, 2); group.size = bounding.slice(2);
        app.rootGraph.add(group);
    }
}"""

# For a model of another size, in few steps.
ADAPT = """([model, size]) => {
    for (const node of app.rootGraph.nodes) {
        const set = (name, value) => { node.widgets.find((widget) => widget.name === name).value = value; };
        if (node.type === "FaceAnonLoadModel") set("model", model);
        if (node.type === "FaceAnonCropFaces") set("size", size);
        if (node.type === "ImageScale") { set("width", size); set("height", size); }
        if (node.widgets?.some((widget) => widget.name === "steps")) set("steps", 8);
    }
}"""


def thumbnail(before: Image.Image, after: Image.Image) -> Image.Image:
    """Before and after side by side, 800 x 400."""
    pair = Image.new("RGB", (800, 400))
    for i, picture in enumerate((before, after)):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, 0
        square = picture.convert("RGB").crop((left, top, left + side, top + side))
        pair.paste(square.resize((400, 400), Image.Resampling.LANCZOS), (400 * i, 0))
    return pair


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*GRAPHS, []], help="which workflows; all by default")
    parser.add_argument("--model", type=Path, default=PACK / "tests" / "fixtures" / "face_anon" / "tiny")
    parser.add_argument("--screenshots", type=Path, help="also photograph each graph after its run, into this folder")
    options = parser.parse_args()
    settings = options.model / "face_anon.json"
    size = json.loads(settings.read_text())["resolution"] if settings.is_file() else 512

    with (
        tempfile.TemporaryDirectory() as temporary,
        Server(models={"face_anon": options.model.parent}) as server,
        open_browser() as browser,
    ):
        folder = Path(temporary)
        clip = folder / EXAMPLE_VIDEO
        write_clip(clip, range(20, 29))
        server.upload(PHOTO, name=EXAMPLE)
        server.upload(clip, name=EXAMPLE_VIDEO)
        for name in options.names or GRAPHS:
            # A page remembers widgets by the number of their node, also those of a graph that was cleared: each graph
            # has a page of its own. Below half size it draws no text.
            page = Frontend(browser, server, width=2560, height=1440)
            page.page.evaluate(BUILD, GRAPHS[name])
            page.load(page.serialize())  # as a user opens it
            write_json(WORKFLOWS / f"{name}.json", page.serialize())
            prompt = page.to_api()
            write_json(WORKFLOWS / "api" / f"{name}.json", prompt)
            server.post("/free", {"free_memory": True})  # else nodes answer from the cache, without their previews
            page.page.evaluate(ADAPT, [options.model.name, size])
            history = server.wait(page.queue())
            saver = next(node for node, output in prompt.items() if output["class_type"] in SAVERS)
            file = history["outputs"][saver]["images"][0]
            saved = folder / file["filename"]
            server.download(file, saved)
            if saved.suffix == ".mp4":
                before, after = first_frame(clip), first_frame(saved)
            else:
                before, after = Image.open(PHOTO), Image.open(saved)
            thumbnail(before, after).save(WORKFLOWS / f"{name}.jpg", quality=85)
            if options.screenshots:
                page.screenshot(options.screenshots / f"{name}.png")
            print(name, "errors:", page.errors() or "none")
            page.close()


if __name__ == "__main__":
    main()
