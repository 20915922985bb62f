"""The texts that are translated back are the same ones every time, and none that no node says."""

import json
from pathlib import Path

import pytest

from face_anonymizer.tools.locales.sample import COUNT, PROMISES, sample, texts

LANGUAGES = sorted((Path(__file__).resolve().parents[2] / "locales").iterdir())


@pytest.mark.parametrize("folder", LANGUAGES, ids=lambda folder: folder.name)
def test_a_sample_is_the_same_every_time_and_holds_no_text_twice(folder: Path):
    nodes = json.loads((folder / "nodeDefs.json").read_text(encoding="utf-8"))
    chosen = sample(nodes, folder.name)
    assert len({text for _, text in chosen}) == len(chosen) == COUNT
    more = {**nodes, "FaceAnonNew": {"description": "A node that came since."}}
    assert len(set(chosen) - set(sample(more, folder.name))) <= 1
    assert set(PROMISES) <= {key for key, _ in texts(nodes)}
