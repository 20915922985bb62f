"""ComfyUI's real page in a headless Chromium: the only converter of workflows to prompts that users ever meet.

A Chromium must be installed (CHROMIUM names it where it stands elsewhere than on PATH); playwright downloads none.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, sync_playwright

from face_anonymizer.modules.runs.client import Client, refusal

# Nothing that calls out. The tutorial is a dialog with templates over every first visit. What is drawn onto the canvas
# itself cannot be hidden for a picture.
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.Persist": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Graph.CanvasInfo": False,
}
ARGUMENTS = [
    "--no-sandbox",  # which root, as in containers, cannot have
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# Of files that a new user does not have yet, and of calls to the internet, which ComfyUI's policy refuses.
EXPECTED_ERRORS = ("/userdata", "user.css", "Content Security Policy", "violates the document's Content Securit")

# Ten pictures a second and no film: without a GPU sixty of them take a third of a core from the server's work. And one
# a second where nobody has asked for anything for five seconds: ten take a tenth of a core while the server computes.
QUIET = """(() => {
    const draw = window.requestAnimationFrame.bind(window);
    let asked = performance.now();
    window.stayAwake = () => { asked = performance.now(); };
    for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"])
        document.addEventListener(kind, window.stayAwake, true);
    window.requestAnimationFrame = (callback) =>
        setTimeout(() => draw(callback), performance.now() - asked < 5000 ? 100 : 1000);
    document.addEventListener("play", (event) => event.target.pause(), true);
})()"""
READY = "() => Boolean(window.app?.vueAppReady && window.LiteGraph?.registered_node_types?.SaveImage)"
MISSING = """() => {
    const graphs = [app.rootGraph, ...(app.rootGraph.subgraphs?.values() ?? [])];
    const known = (type) => type in LiteGraph.registered_node_types || app.rootGraph.subgraphs?.has(type);
    return graphs.flatMap((graph) => graph.nodes).filter((node) => !known(node.type)).map((node) => node.type);
}"""
COMPLAINTS = """() => {
    const refused = Object.entries(app.lastNodeErrors ?? {}).flatMap(([id, node]) =>
        node.errors.map((error) => `${node.class_type} (node ${id}): ${error.message}: ${error.details}`));
    const failed = app.lastExecutionError ? [app.lastExecutionError.exception_message] : [];
    const dialogs = [...document.querySelectorAll('[role="dialog"], .p-toast-message-error')]
        .filter((element) => element.checkVisibility()).map((element) => `dialog: ${element.innerText.trim()}`);
    return [...refused, ...failed, ...dialogs];
}"""
# The box of all nodes and groups on the page, in CSS pixels.
BOUNDS = """() => {
    const canvas = app.canvas, scale = canvas.ds.scale, [dx, dy] = canvas.ds.offset;
    const boxes = [...canvas.graph.nodes, ...canvas.graph.groups].map((item) => item.boundingRect ?? item._bounding);
    const left = Math.min(...boxes.map((box) => box[0])), top = Math.min(...boxes.map((box) => box[1]));
    const right = Math.max(...boxes.map((box) => box[0] + box[2]));
    const bottom = Math.max(...boxes.map((box) => box[1] + box[3]));
    const page = canvas.canvas.getBoundingClientRect();
    const x = (left + dx) * scale + page.left, y = (top + dy) * scale + page.top;
    return [x, y, (right - left) * scale, (bottom - top) * scale];
}"""
# Two frames, so that what was asked for is on the screen; then a while, in milliseconds.
SETTLED = """(milliseconds) => new Promise((done) => {
    window.stayAwake();
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, milliseconds)));
})"""
PATIENCE_MS = 600  # in which pictures have come and animations are over


def find_chromium() -> str:
    """The path of a Chromium: what CHROMIUM names, else one on PATH."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("No Chromium found: install one (Debian: apt install chromium) or name it in CHROMIUM.")


class Frontend:
    """A page of a ComfyUI server. Its settings are changed there, so let it be a server of one's own.

    Args:
        browser: of `open_browser`.
        server: the ComfyUI.
        width: of the page, CSS pixels.
        height: of the page, CSS pixels.
        patience_ms: for how long a graph that was opened is waited for before anything else is done; whoever looks at
            no picture of it needs less than there is by default.
    """

    def __init__(
        self, browser: Browser, server: Client, width: int = 1600, height: int = 1000, patience_ms: int = PATIENCE_MS
    ):
        self.server = server
        self._patience_ms = patience_ms
        self._console: list[str] = []
        server.post("/settings", SETTINGS)
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.add_init_script(QUIET)
        self.page.emulate_media(reduced_motion="reduce")
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self._console.append(f"page: {error}"))
        self.page.goto(server.url)
        self.page.wait_for_function(READY, timeout=120_000)
        # The default workflow that a page opens with, and its complaints about missing models, are not of interest.
        self.page.evaluate(SETTLED, PATIENCE_MS)
        self.clear()

    def _note(self, message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not any(known in text for known in EXPECTED_ERRORS):
            self._console.append(f"console: {text}")

    def clear(self) -> None:
        """An empty graph, and no errors."""
        self.page.evaluate("() => { window.stayAwake(); app.clean(); app.rootGraph.clear(); }")
        self._console.clear()

    def load(self, workflow: Mapping | Path | str, source: str | None = None) -> None:
        """Open a workflow and forget earlier errors.

        Args:
            workflow: JSON's content, or a file of it.
            source: "template" as the dialog of templates opens it, which fits the view its own way.
        """
        if not isinstance(workflow, Mapping):
            workflow = json.loads(Path(workflow).read_text(encoding="utf-8"))
        self.clear()
        options = {"openSource": source} if source else {}
        self.page.evaluate(
            "([graph, options]) => app.loadGraphData(graph, true, true, null, options)", [workflow, options]
        )
        self.page.evaluate(SETTLED, self._patience_ms)

    def to_api(self) -> dict:
        """The graph as a prompt in API format, as the page would queue it."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def serialize(self) -> dict:
        """The graph as the page saves it."""
        return self.page.evaluate("() => JSON.parse(JSON.stringify(app.rootGraph.serialize()))")

    def queue(self) -> str:
        """Press Run; the prompt's id, for `Client.wait`. PromptFailed when the server refuses any part of it."""
        with self.page.expect_response(lambda r: r.request.method == "POST" and r.url.endswith("/prompt")) as response:
            self.page.evaluate("() => { window.stayAwake(); app.queuePrompt(0, 1); }")
        answer = response.value.json()
        if "prompt_id" not in answer or answer.get("node_errors"):
            raise refusal(answer)
        return answer["prompt_id"]

    def missing(self) -> list[str]:
        """The types of nodes that this ComfyUI does not have."""
        return self.page.evaluate(MISSING)

    def errors(self) -> list[str]:
        """All that is wrong since `load`: the console's errors, missing nodes, refused inputs, failures, dialogs."""
        self.page.evaluate("() => window.stayAwake()")
        missing = [f"missing node: {node_type}" for node_type in self.missing()]
        return [*self._console, *missing, *self.page.evaluate(COMPLAINTS)]

    def screenshot(self, path: Path | str, fit: bool = True, margin: int = 24) -> Path:
        """Photograph the graph without the page's menus; with `fit` all of it and at most `margin` pixels around."""
        page = self.page
        command = "(name) => app.extensionManager.command.execute(name)"
        page.evaluate("() => app.canvas.deselectAll()")
        page.evaluate(command, "Workspace.ToggleFocusMode")
        # What stays in focus mode: its button back, messages, the map of the graph and the buttons below it.
        stays = ".comfy-menu-hamburger, .p-toast, .minimap-main-container, .p-buttongroup"
        hidden = page.add_style_tag(content=f"{stays} {{ display: none !important; }}")
        try:
            page.evaluate(SETTLED, PATIENCE_MS)
            clip = None
            if fit:
                page.evaluate(command, "Comfy.Canvas.FitView")
                page.evaluate(SETTLED, PATIENCE_MS)
                clip = self._clip(margin)
            page.screenshot(path=path, clip=clip, type="jpeg" if Path(path).suffix in (".jpg", ".jpeg") else "png")
        finally:
            page.evaluate(command, "Workspace.ToggleFocusMode")
            hidden.evaluate("(style) => style.remove()")
        return Path(path)

    def _clip(self, margin: int) -> dict[str, float]:
        left, top, width, height = self.page.evaluate(BOUNDS)
        page = self.page.viewport_size
        x, y = max(left - margin, 0), max(top - margin, 0)
        right, bottom = min(left + width + margin, page["width"]), min(top + height + margin, page["height"])
        return {"x": x, "y": y, "width": right - x, "height": bottom - y}

    def close(self) -> None:
        self.page.close()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium for any number of `Frontend`s."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
