"""get_models.py against a hub that lies, drips, redirects and never ends (tools/attacks/hostile_hub.py)."""

import json
from pathlib import Path

import pytest

from face_anonymizer.modules.downloads.hub import GetModelsError, Record
from face_anonymizer.tools.attacks import hostile_hub


@pytest.mark.parametrize("case", hostile_hub.CASES)
def test_nothing_gets_through_and_every_run_ends_with_a_message(case):
    assert hostile_hub.try_case(case) == ("", "")


def test_a_wrong_file_in_place_is_found():
    assert "wrong file" in hostile_hub.try_case("500", plant=True)[0]


RECORD = {"sha256": "a" * 64, "size": 1, "repository": "a/b", "revision": "c" * 40, "source": "x"}


@pytest.mark.parametrize(
    "content",
    [
        *("[" * 100_000, "[]", "5", "null", '{"files": []}', '{"files": {"a": 5}}', '{"files": {"a": {}}}', "\0"),
        *(
            json.dumps({"files": {"a": RECORD | changed}})
            for changed in ({"revision": "../../x"}, {"sha256": "../x"}, {"sha256": ["a"]}, {"repository": 5})
        ),
    ],
)
def test_a_record_that_no_run_wrote_is_refused(tmp_path: Path, content):
    (tmp_path / "checksums.json").write_text(content)
    with pytest.raises(GetModelsError, match=r"checksums\.json cannot be read.*Delete it"):
        Record(tmp_path)
