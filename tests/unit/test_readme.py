"""The README and its Chinese sister: the same commands, the same figures, and links that lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"en": ROOT / "README.md", "zh": ROOT / "docs" / "README.zh.md"}
_LINK = re.compile(r"\]\(([^)#][^)]*)\)")
_FIGURE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-\d+)?(?: ?(?:MB|GB|%))?")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {code: path.read_text(encoding="utf-8") for code, path in PAGES.items()}


def targets(code: str, text: str) -> set[str]:
    """What a page links to, from the pack's root."""
    links = (unquote(link.partition("#")[0]) for link in _LINK.findall(text) if "://" not in link)
    return {(PAGES[code].parent / link).resolve().relative_to(ROOT).as_posix() for link in links}


@pytest.mark.parametrize("code", PAGES)
def test_every_link_leads_to_a_file(code, pages):
    assert not [link for link in targets(code, pages[code]) if not (ROOT / link).is_file()]


def test_both_link_to_the_same_and_to_each_other(pages):
    english, chinese = (targets(code, pages[code]) for code in ("en", "zh"))
    assert "docs/README.zh.md" in english and "README.md" in chinese
    assert english - {"docs/README.zh.md"} == chinese - {"README.md"}


def test_both_say_the_same_commands_and_figures(pages):
    blocks = {code: re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for code, text in pages.items()}
    assert blocks["en"] == blocks["zh"]
    prose = {code: _LINK.sub("]", text) for code, text in pages.items()}
    figures = {code: sorted(one.replace(" ", "") for one in _FIGURE.findall(text)) for code, text in prose.items()}
    assert figures["en"] == figures["zh"]
