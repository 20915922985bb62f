"""The verdict on an original and its result: both recognisers have to take it for a stranger."""

import json
from dataclasses import replace

import numpy as np
import pytest

from face_anonymizer.modules.recognition.reading import COVERED, TOO_SMALL, Reading
from face_anonymizer.modules.recognition.settings import ReaderSettings
from face_anonymizer.modules.recognition.verdict import FAILED, NOT_MEASURABLE, SAME_PERSON, STRANGER, apart, verify


def reading(distance=0.0, cosine=1.0, **more) -> Reading:
    """A reading that is so far from, and so like, that of reading()."""
    dlib, faceres = np.zeros(128), np.zeros(1024)
    dlib[0], faceres[:2] = distance, (cosine, np.sqrt(1 - cosine * cosine))
    shown = {"gaze": (0.0, 0.0), "expression": np.eye(7)[0], "age": 30.0, "man": 0.25, "certainty": 1.0}
    return Reading(
        *(dlib, faceres, np.zeros((68, 2)), np.eye(3)),
        **(shown | {"unsteady": 0.02, "size": 90.0, "reason": ""} | more),
    )


@pytest.mark.parametrize(
    ("distance", "cosine", "verdict", "words"),
    [
        (0.83, 0.31, STRANGER, "dlib's distance is 0.830, 0.6 is the least; FaceRes' cosine is 0.310, 0.6 is the most"),
        (0.31, 0.31, SAME_PERSON, "dlib's distance is 0.310, 0.6 is the least"),
        (0.83, 0.71, SAME_PERSON, "FaceRes' cosine is 0.710, 0.6 is the most"),
        (0.6, 0.6, STRANGER, "dlib's distance is 0.600, 0.6 is the least; FaceRes' cosine is 0.600, 0.6 is the most"),
        (np.nan, 0.31, SAME_PERSON, "dlib's distance is nan, 0.6 is the least"),
    ],
)
def test_one_recogniser_that_says_the_same_is_enough_to_refuse(distance, cosine, verdict, words):
    found = verify(reading(), reading(distance, cosine))
    assert (found.verdict, found.reason, found.passed) == (verdict, words, verdict == STRANGER)


def test_a_figure_that_is_no_number_is_null_in_the_report():
    found = verify(reading(), reading(np.nan, 0.31, age=np.nan)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [(one["value"], one["same"]) for one in found["recognisers"]] == [(None, True), (0.31, False)]
    assert found["drift"]["age"] is None and found["drift"]["pose"] == 0.0


def test_thresholds_are_those_of_the_settings():
    strict = ReaderSettings(dlib_same=0.9)
    found = verify(reading(), reading(0.83, 0.31), strict)
    assert found.verdict == SAME_PERSON and [o.same for o in found.opinions] == [True, False]
    assert found.opinions[0].threshold == 0.9


def test_what_cannot_be_measured_leaves_only_where_its_original_cannot_be_either():
    small = reading(reason=f"{TOO_SMALL}: 32 pixels, 40 are needed")
    hidden = reading(reason=f"{COVERED}: landmarks move by 0.100 of the eyes, 0.090 is the most")
    for before, after in ((small, reading()), (small, hidden), (hidden, reading(0.9, 0.1))):
        found = verify(before, after)
        assert found.verdict == NOT_MEASURABLE and found.passed and found.reason == before.reason
    found = verify(reading(0.9, 0.1), hidden)
    assert found.verdict == FAILED and not found.passed and found.reason.endswith(hidden.reason)
    assert found.to_dict()["recognisers"] == [] and found.to_dict()["drift"] is None


def test_the_report_holds_figures_and_no_descriptor():
    after = replace(
        *(reading(0.8312, 0.3141),),
        **{"gaze": (np.nan, np.nan), "expression": np.eye(7)[1], "age": 26.0, "man": 0.3},
    )
    found = json.loads(json.dumps(verify(reading(), after).to_dict(), allow_nan=False))
    assert found == {
        "verdict": "stranger",
        "reason": "dlib's distance is 0.831, 0.6 is the least; FaceRes' cosine is 0.314, 0.6 is the most",
        "recognisers": [
            {"name": "dlib ResNet", "value": 0.831, "threshold": 0.6, "measure": "distance", "same": False},
            {"name": "FaceRes", "value": 0.314, "threshold": 0.6, "measure": "cosine", "same": False},
        ],
        "drift": {"pose": 0.0, "gaze": None, "expression": 1.0, "age": -4.0, "man": 0.05},
    }
    assert "0.8312" not in repr(verify(reading(), after).to_dict())


@pytest.mark.parametrize("beyond", [1e-4, 1e-7, 1e-10])
def test_a_figure_that_misses_its_limit_never_reads_as_the_limit(beyond):
    found = json.loads(json.dumps(verify(reading(), reading(0.6 - beyond, 0.6 + beyond)).to_dict()))
    for one, limit in zip(found["recognisers"], (0.6, 0.6), strict=True):
        assert one["same"] and one["value"] != limit and f"{one['value']}"[:8] in found["reason"]
        assert float(apart(one["value"], limit, 3)) != limit
