"""Make the pictures of docs/first_steps.md, docs/first_steps/*.webp: a new user's way, photographed in ComfyUI's page.

    python scripts/with_env.py tools/run.py pictures.first_steps [FOLDER]

It starts a ComfyUI of its own and needs a Chromium, as the tests do.
"""

import argparse
import io
from pathlib import Path

from PIL import Image

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs.server import PACK_NAME, Server
from face_anonymizer.tools.workflows.frontend import Frontend, open_browser

PICTURES = PACK / "docs" / "first_steps"
FIRST = "Anonymize a photo"
WIDTH, HEIGHT = 1280, 800
_SHOWN = WIDTH  # pixels across


def save(shot: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    width = min(_SHOWN, picture.width)
    picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.save(path, quality=72, method=6)
    print(f"{path}: {path.stat().st_size} bytes")


def photograph(page: Frontend, folder: Path) -> None:
    browser = page.page
    browser.evaluate("(name) => app.extensionManager.command.execute(name)", "Comfy.BrowseTemplates")
    pack = browser.get_by_role("dialog").get_by_text(PACK_NAME).first
    pack.wait_for(timeout=60_000)
    pack.scroll_into_view_if_needed()
    pack.click()
    browser.get_by_text(FIRST, exact=True).first.wait_for(timeout=20_000)
    browser.wait_for_timeout(3000)  # thumbnails
    save(browser.screenshot(), folder / "templates.webp")
    browser.get_by_text(FIRST, exact=True).first.click()
    browser.wait_for_timeout(3000)
    save(browser.screenshot(), folder / "opened.webp")
    page.server.wait(page.queue(), timeout=600)
    browser.wait_for_timeout(3000)
    save(browser.screenshot(), folder / "run.webp")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with Server() as server, open_browser() as browser:
        page = Frontend(browser, server, WIDTH, HEIGHT)
        photograph(page, folder)
        page.close()
    return 0
