"""Names as a terminal gets them."""

import pytest

from face_anonymizer.modules.runs import folder_report as reports
from face_anonymizer.modules.terminal import shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Jane Doe é 日本語 😀 a'b\"c%s.jpg", "Jane Doe é 日本語 😀 a'b\"c%s.jpg"),
        ("esc\x1b[31mred\x1b]0;title\x07.jpg", r"esc\x1b[31mred\x1b]0;title\x07.jpg"),
        ("new\nline\r\ttab\x9b2J.jpg", r"new\nline\r\ttab\x9b2J.jpg"),
        ("\u202egpj.x\u200b\u2066\u2028\ufeff.jpg", r"\u202egpj.x\u200b\u2066\u2028\ufeff.jpg"),
        ("bad\udcff.jpg", r"bad\udcff.jpg"),
    ],
)
def test_what_would_act_on_a_terminal_is_written_out(name, expected):
    assert shown(name) == expected
    assert shown(f"{name}\nsecond", keep="\n").splitlines()[-1] == "second"


def test_the_table_of_a_run_shows_names_so():
    done = {"outcome": "done", "kind": "photo", "seconds": 1.0, "faces": [], "actions": {}}
    failed = {"outcome": "failed", "error": "x"}
    files = [{"source": "a\x1b[2J\n.jpg", **done}, {"source": "b\u202e.jpg", **failed}]
    lines = reports.format_table(reports.make_report({}, files)).splitlines()
    assert lines[2].startswith(r"a\x1b[2J\n.jpg ") and lines[3].startswith(r"b\u202e.jpg ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cannot write into s3://key:se+cr/et@bucket/a: 403", "Cannot write into s3://key:...@bucket/a: 403"),
        ("https://me:p%40ss@host:8188/a?b=1", "https://me:...@host:8188/a?b=1"),
        ("two of them: s3://a:b@c and ftp://d:e@f/g", "two of them: s3://a:...@c and ftp://d:...@f/g"),
        ("abfs://box@account.dfs.core.windows.net/a:b@c", "abfs://box@account.dfs.core.windows.net/a:b@c"),
        ("http://127.0.0.1:8188/view?name=a@b", "http://127.0.0.1:8188/view?name=a@b"),
        ("http://[::1]:8188/a@b", "http://[::1]:8188/a@b"),
        (
            "403 of https://h/a.tar?X-Amz-Date=1&X-Amz-Signature=ab%2F&v=2#x, of s3://k:p@b?session_token=t",
            "403 of https://h/a.tar?X-Amz-Date=1&X-Amz-Signature=...&v=2#x, of s3://k:...@b?session_token=...",
        ),
        ("what?key=1.jpg", "what?key=1.jpg"),
        (
            "403 of https://hf_AbC-1.2@hub.example/a@b, git+https://t@h:1",
            "403 of https://...@hub.example/a@b, git+https://...@h:1",
        ),
        ("wasbs://box@account.blob.core.windows.net/a", "wasbs://box@account.blob.core.windows.net/a"),
        ("me@host, http://host/a://b@c", "me@host, http://host/a://...@c"),
    ],
)
def test_no_secret_of_an_address_is_shown(text, expected):
    assert shown(text) == expected
