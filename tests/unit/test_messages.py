"""docs/troubleshooting.md quotes messages as the code gives them; a message that changed is found here."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
VALUE = "\0"  # stands for what a message fills in


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(VALUE if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values)
    return ""


@pytest.fixture(scope="module")
def given() -> list[str]:
    """Every text of the code, values left open, spaces and lines as one space."""
    files = [file for room in ("nodes", "modules", "scripts") for file in (ROOT / room).rglob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return [" ".join(text.split()) for node in nodes if len(text := _text(node)) > 20]


def is_given(message: str, given: list[str]) -> bool:
    """Whether one text of the code has the message's parts in this order; … is anything."""
    parts = [re.escape(" ".join(part.split())) for part in message.split("…")]
    return any(re.search(r".*?".join(parts), text) for text in given)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_that_the_code_gives(message, given):
    assert is_given(message, given)


def test_a_message_that_nobody_gives_is_found(given):
    assert len(MESSAGES) > 20
    assert not is_given(MESSAGES[0].replace("Look at the picture", "Look at the photo"), given)
