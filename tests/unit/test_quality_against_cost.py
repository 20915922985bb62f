"""The curve of quality against cost: what counts as equal, who is on the front, what a setting costs."""

import json

import pytest
import torch

from face_anonymizer.modules.model.settings import DDPM
from face_anonymizer.tools.benchmarks import curve, quality_against_cost
from face_anonymizer.tools.benchmarks.curve import MEASURES, Point, front, harm, is_equal

PEOPLE = 40


def point(name: str, tflop: float, **shifts: float) -> Point:
    """A setting whose values are the same for all settings but for a shift."""
    values = {}
    for number, measure in enumerate(MEASURES):
        drawn = torch.rand(PEOPLE, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
        values[measure] = drawn + 1 + shifts.get(measure, 0.0)
    return Point(name, tflop, 1.0, values)


def test_differences_are_those_of_the_same_person():
    """Two settings that differ by the same in everybody: no interval, however far people lie apart."""
    reference, other = point("a:-:200", 100), point("b:-:10", 10, pose=0.2, sharpness=0.2)
    for measure, expected in (("pose", 0.2), ("sharpness", -0.2), ("gaze", 0.0)):
        worse = harm(other, reference, measure)
        assert worse.value == pytest.approx(expected) and worse.high - worse.low < 1e-9
    assert reference.mean("pose").high - reference.mean("pose").low > 0.1


def test_equal_is_within_5_percent_or_one_point():
    reference = point("a:-:200", 100)
    value = reference.mean("pose").value
    for measure, allowed in (("pose", 0.05 * value), ("rank1_1.25", 0.01), ("rank1_0.3", 0.01)):
        assert is_equal(point("b", 1, **{measure: 0.99 * allowed}), reference, measure)
        assert not is_equal(point("b", 1, **{measure: 1.01 * allowed}), reference, measure)
    assert is_equal(point("b", 1, sharpness=9.0), reference, "sharpness")  # higher is better
    assert not is_equal(point("b", 1, sharpness=-0.2), reference, "sharpness")


def test_few_people_decide_little():
    """Neither equal nor worse where the interval is wider than what is allowed; four times the people halve it."""
    reference, other = point("a:-:200", 100), point("b:-:10", 10)
    swings = torch.linspace(-1, 1, PEOPLE, dtype=torch.float64)
    other.values["pose"].add_(swings)
    assert not is_equal(other, reference, "pose") and not curve.is_worse(other, reference, "pose")
    assert curve.is_worse(point("b", 1, pose=0.2), reference, "pose")
    assert not curve.is_worse(point("b", 1, pose=0.01), reference, "pose")
    found = harm(other, reference, "pose")
    many = curve.people_needed(other, reference, "pose")
    assert many == pytest.approx(PEOPLE * ((found.high - found.low) / (2 * curve.allowed(reference, "pose"))) ** 2)
    assert many > PEOPLE and curve.people_needed(reference, reference, "pose") == 0


def test_presets_follow_from_the_table():
    """Fast is equal in all as it seems, balanced as is shown; other samplers, shortcuts, intervals are none."""
    unsure = point("a:b:6", 6)
    unsure.values["gaze"].add_(torch.linspace(-1, 1, PEOPLE, dtype=torch.float64))
    points = [
        *(point("a:b:4", 4, pose=0.5), unsure, point("a:b:10", 10), point("a:b:15", 15), point("a:b:25", 25)),
        *(point("c:b:3", 3), point("a:b:3+deep", 3), point("a:b:3:0.2-0.8", 3)),
    ]
    assert curve.presets(points, "a:b", 25) == (6, 10)
    for one in points:
        one.values["rank1_0.3"][:] = torch.nan  # what nobody measured decides nothing
    assert curve.presets(points, "a:b", 25) == (6, 10)
    assert curve.presets([points[0], points[4]], "a:b", 25) == (25, 25)


def test_of_who_is_re_identified_it_is_enough_that_they_are_no_more():
    """Each count re-identifies other people as often as 25 steps; then the first one somebody more."""
    points = [point(f"a:b:{count}", count) for count in (4, 6, 10, 25)]
    for shift, one in enumerate(points):
        one.values["rank1_0.3"][:] = 0.0
        one.values["rank1_0.3"][shift::5] = 1.0
    assert all(not curve.is_equal(one, points[-1], "rank1_0.3") for one in points[:3])
    assert curve.presets(points, "a:b", 25) == (4, 4)
    points[0].values["rank1_0.3"][1] = 1.0
    assert curve.presets(points, "a:b", 25) == (6, 6)
    points[1].values["gaze"].add_(torch.linspace(-1, 1, PEOPLE, dtype=torch.float64))  # all else has to be shown
    assert curve.presets(points, "a:b", 25) == (6, 10)
    points[2].values["swap"][:] = torch.nan
    assert curve.presets(points, "a:b", 25) == (6, 25)


def test_only_what_nothing_cheaper_reaches_is_on_the_front():
    points = [point("a", 3, pose=0.1), point("b", 1, pose=0.5), point("c", 2, pose=0.6), point("d", 4, pose=0.1)]
    assert [one.name for one in front(points, "pose")] == ["b", "a"]
    assert [one.name for one in front(points, "swap")] == ["b"]


def test_what_is_not_measurable_is_left_out(tmp_path):
    faceless = point("a:-:10", 1)
    faceless.values["pose"][:] = torch.nan
    text = curve.as_markdown([faceless, point("b:-:20", 2)], faceless)
    assert text.count("not measurable") == 2  # its value, and the difference of the other
    curve.save_plot(tmp_path / "curve.png", [point("a:-:10", 1), point("b:-:20", 2)])
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_settings_are_read():
    setting, shortcut = quality_against_cost.parse_setting("uni_pc:exponential:8:0.2-0.8+pooled", 2.0)
    assert shortcut == "pooled"
    assert (setting.name, setting.scheduler, setting.steps, setting.guidance_scale) == ("uni_pc", "exponential", 8, 2.0)
    assert (setting.guidance_from, setting.guidance_to) == (0.2, 0.8)
    usual, shortcut = quality_against_cost.parse_setting(f"{DDPM}:-:200", 4.0)
    assert usual.guides_everywhere and shortcut == ""
    assert quality_against_cost.parse_setting("a:b:3+easycache0.5", 4.0)[1] == "easycache0.5"
    for wrong in ("uni_pc", "uni_pc:karras:many", "a:b:3:0.8-0.2", "a:b:3+none", "a:b:3+easycache0.", "a:b:3+deep2"):
        with pytest.raises(ValueError):
            quality_against_cost.parse_setting(wrong, 4.0)
    names = quality_against_cost.default_settings()
    assert len(set(names)) == len(names) and quality_against_cost.REFERENCE in names
    for name in names:
        quality_against_cost.parse_setting(name, 4.0)


def test_results_become_points_and_files(tmp_path):
    """The first step of each half projects the references; a run without guidance has one half."""
    values = {measure: [1.0, None, 2.0] for measure in MEASURES}
    plain, deep = {"first": 3.0, "later": 2.0, "fine": 2.0}, {"first": 3.0, "later": 2.0, "fine": 0.5}
    results = {
        "costs": {"rest": 10.0, "half steps": {"": plain, "deep": deep}},
        "settings": {
            "a:-:5": {"halves": 10.0, "kinds": 2, "seconds": 0.5, "values": values},
            "b:-:5": {"halves": 5.0, "whole": 5.0, "kinds": 1, "seconds": 0.2, "values": values},
            "b:-:5+deep": {"halves": 5.0, "whole": 3.0, "kinds": 1, "seconds": 0.2, "values": values},
        },
    }
    points = quality_against_cost.points_of(json.loads(json.dumps(results)))
    assert [one.tflop for one in points] == [10 + 20 + 2, 10 + 10 + 1, 10 + 6 + 1 + 1]
    assert points[0].mean("pose").value == 1.5 and points[0].mean("pose").count == 2
    quality_against_cost.write_curve(tmp_path, results, "c:-:200", plot=False)
    assert "Worse than a:-:5, person by person" in (tmp_path / "curve.md").read_text()  # the dearest that is there
    quality_against_cost.publish(tmp_path / "docs", points, plot=False)
    again = quality_against_cost.published(tmp_path / "docs" / "results.jsonl")
    assert [(one.name, one.tflop, one.seconds) for one in again] == [
        (one.name, one.tflop, one.seconds) for one in sorted(points, key=lambda one: one.tflop)
    ]
    assert again[0].mean("pose") == points[0].mean("pose")
