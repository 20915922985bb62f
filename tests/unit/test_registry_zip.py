"""The zip that the registry serves: what is in it, how large it is, and that nothing in it stops a scan."""

import re
import subprocess
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from PIL import Image

from face_anonymizer.modules.photos.sample_files import PICTURES

ROOT = Path(__file__).resolve().parents[2]
MOST = 75e6  # bytes
# Every file that ships is of one of these, and of each there is one. "*" holds no further folder.
_LISTED = """
CHANGELOG.md CONTRIBUTING.md LICENSE NOTICE README.md __init__.py pyproject.toml requirements.txt
nodes/*.py modules/*.py modules/*/*.py modules/*/*/*.py scripts/*.py locales/*/*.json
web/docs/*.md web/js/*.js web/samples/*.jpg workflows/*.json workflows/*.jpg workflows/api/*.json subgraphs/*.json
assets/*.jpg assets/*.mp4 docs/*.md docs/*.ipynb docs/*.webp docs/*/*.webp docs/*/*.jpg docs/*/*.png
docs/*/*.json docs/*/*.jsonl
models/*.safetensors models/face_anon/demo/*.json models/face_anon/demo/*/*.json models/face_anon/demo/*/*.safetensors
"""
SHIPS = _LISTED.split()


def shipped() -> list[str]:
    """What git knows, without what .comfyignore leaves out."""
    left_out = [line.strip("/") for line in (ROOT / ".comfyignore").read_text().splitlines() if line.startswith("/")]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    files = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    return [name for name in files if not any(name == out or name.startswith(f"{out}/") for out in left_out)]


def fits(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def test_the_zip_holds_what_is_listed_and_is_small_enough():
    files = shipped()
    kinds = Counter(next((kind for kind in SHIPS if fits(name, kind)), f"not listed: {name}") for name in files)
    assert set(kinds) == set(SHIPS)
    assert sum((ROOT / name).stat().st_size for name in files) <= MOST, "as large as without any compression"


def test_icon_and_banner_are_as_the_registry_takes_them():
    told = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    home = re.search(r'^Repository = "https://github\.com/(.+)"$', told, re.MULTILINE)[1]
    sizes = []
    for name in ("Icon", "Banner"):
        address = re.search(rf'^{name} = "(.+)"$', told, re.MULTILINE)[1]
        root = f"https://raw.githubusercontent.com/{home}/main/"
        assert address.startswith(root)
        with Image.open(ROOT / address.removeprefix(root)) as picture:
            sizes.append(picture.size)
    (width, height), (wide, high) = sizes
    assert width == height <= 400 and 9 * wide == 21 * high


def test_the_page_s_sample_is_the_sample():
    assert (ROOT / "web/samples/synthetic_group.jpg").read_bytes() == (ROOT / PICTURES["group"]).read_bytes()


def test_what_the_registry_s_scan_warns_of_is_nowhere():
    """comfy node validate looks through all Python files of the repository, also those that do not ship."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    calls = re.compile(r"(?<![\w.\"'])(exec|eval)\((?![\"'])")
    found = [
        f"{name}:{number}"
        for name in listed.splitlines()
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if calls.search(line) and not line.lstrip().startswith("#")
    ]
    assert not found


def test_the_version_is_the_one_that_the_changelog_tells_of():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    told = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert told[0] == version
