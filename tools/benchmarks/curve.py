"""Quality against cost: intervals of every setting, paired differences, the front, as Markdown and as a plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from face_anonymizer.modules.evaluation import plots
from face_anonymizer.modules.evaluation.statistics import Interval, mean


class Measure(NamedTuple):
    """One measure of a setting.

    Args:
        title: in tables.
        unit: of its values.
        higher_is_better: else lower is.
        points: how much worse than the reference it may be, in its unit; None: 5 % of the reference's value.
    """

    title: str
    unit: str
    higher_is_better: bool = False
    points: float | None = None


SHARE = 0.05  # of the reference's value, by which a setting may be worse
MEASURES = {
    "rank1_0.3": Measure("re-identified at 0.3", "share", points=0.01),
    "rank1_1.25": Measure("re-identified at 1.25", "share", points=0.01),
    "swap": Measure("swap nearer to its source", "share", higher_is_better=True),
    "pose": Measure("head pose", "degrees"),
    "gaze": Measure("gaze", "degrees"),
    "expression": Measure("expression", "share of range"),
    "background": Measure("background, clear of the person", "levels"),
    "sharpness": Measure("sharpness", "levels", higher_is_better=True),
    "score": Measure("detector's score", "share", higher_is_better=True),
    "spread": Measure("spread of identities", "1 - cosine", higher_is_better=True),
}


@dataclass(frozen=True)
class Point:
    """What was measured of one setting.

    Args:
        name: of the setting.
        tflop: of a face of the published size.
        seconds: of the processor, or of a card's clock, for one face of the model that was measured; NaN: unknown.
        values: measure -> one value a person; NaN where it is not measurable.
    """

    name: str
    tflop: float
    seconds: float
    values: Mapping[str, torch.Tensor]

    def mean(self, measure: str) -> Interval:
        """With its interval."""
        return mean(self.values[measure])


def harm(point: Point, reference: Point, measure: str) -> Interval:
    """By how much a setting is worse than the reference, person by person; below 0 where it is better."""
    sign = -1 if MEASURES[measure].higher_is_better else 1
    return mean(sign * (point.values[measure] - reference.values[measure]))


def allowed(reference: Point, measure: str) -> float:
    """By how much a setting may be worse than the reference, in the measure's unit."""
    points = MEASURES[measure].points
    return SHARE * abs(reference.mean(measure).value) if points is None else points


def is_equal(point: Point, reference: Point, measure: str) -> bool:
    """Whether the upper end of the interval of the harm is within what is allowed."""
    return harm(point, reference, measure).high <= allowed(reference, measure)


def is_worse(point: Point, reference: Point, measure: str) -> bool:
    """Whether its lower end is not: shown to be worse. Neither equal nor worse: so few people do not decide it."""
    return harm(point, reference, measure).low > allowed(reference, measure)


def people_needed(point: Point, reference: Point, measure: str) -> float:
    """So many would make the interval of the harm as narrow as what is allowed; NaN where there is none."""
    found = harm(point, reference, measure)
    most = allowed(reference, measure)
    return found.count * ((found.high - found.low) / 2 / most) ** 2 if most > 0 else math.nan


def presets(points: Sequence[Point], sampler: str, most: int) -> tuple[int, int]:
    """The steps of the presets fast and balanced, against so many of the same sampler from the same noise.

    Fast has the fewest of which every measure is worse by no more than is allowed, as far as these people tell;
    balanced the fewest of which that is shown: by the upper ends of the intervals. Of who is re-identified, which is
    yes or no, it is enough that they are no more: where a fifth is, one point takes thousands of people to show. A
    count that was not measured in all that `most` was is neither.

    Args:
        points: all that were measured.
        sampler: with its schedule, as in "dpmpp_2m:karras".
        most: steps that the others are compared with.

    Returns:
        Both; `most` where none is.
    """
    steps = {int(point.name[len(sampler) + 1 :]): point for point in points if _is_steps_of(point.name, sampler)}
    against = steps[most]
    measured = [measure for measure in MEASURES if not math.isnan(against.mean(measure).value)]
    ordered = sorted(count for count in steps if count < most)
    within = {one: allowed(against, one) for one in measured}
    fast = [
        count for count in ordered if all(harm(steps[count], against, one).value <= within[one] for one in measured)
    ]
    balanced = [count for count in ordered if all(_is_shown(steps[count], against, one) for one in measured)]
    return next(iter(fast), most), next(iter(balanced), most)


def _is_shown(point: Point, against: Point, measure: str) -> bool:
    is_counted = MEASURES[measure].points is not None
    return is_equal(point, against, measure) or (is_counted and harm(point, against, measure).value <= 0)


def _is_steps_of(name: str, sampler: str) -> bool:
    return name.startswith(f"{sampler}:") and name[len(sampler) + 1 :].isdigit()


def front(points: Sequence[Point], measure: str) -> list[Point]:
    """Those to which no cheaper one is equal or better, the cheapest first."""
    sign = -1 if MEASURES[measure].higher_is_better else 1
    best, found = math.inf, []
    for point in sorted(points, key=lambda one: one.tflop):
        value = sign * point.mean(measure).value
        if value < best:
            best = value
            found.append(point)
    return found


def as_markdown(points: Sequence[Point], reference: Point) -> str:
    """Three tables: the values, the differences to the reference, and who is on which front."""
    ordered = sorted(points, key=lambda one: one.tflop)
    heads = [f"{measure.title}, {measure.unit}" for measure in MEASURES.values()]
    lines = [f"| setting | TFLOP a face | s | {' | '.join(heads)} |", "|---|--:|--:|" + "--:|" * len(heads)]
    for point in ordered:
        cells = [_text(point.mean(measure)) for measure in MEASURES]
        lines.append(f"| {point.name} | {point.tflop:.1f} | {point.seconds:.2f} | {' | '.join(cells)} |")
    lines += ["", f"Worse than {reference.name}, person by person (below 0: better; **bold**: within what is allowed;"]
    lines += ["*slanted*: beyond it, whatever the people; plain: so few people do not decide it):", ""]
    lines.append(f"| setting | TFLOP a face | {' | '.join(m.title for m in MEASURES.values())} | equal, worse in |")
    lines.append("|---|--:|" + "--:|" * (len(heads) + 1))
    for point in ordered:
        if point is reference:
            continue
        equal = [measure for measure in MEASURES if is_equal(point, reference, measure)]
        worse = [measure for measure in MEASURES if is_worse(point, reference, measure)]
        marks = ["**" if measure in equal else "*" if measure in worse else "" for measure in MEASURES]
        cells = [_text(harm(point, reference, measure), mark) for measure, mark in zip(MEASURES, marks, strict=True)]
        counts = f"{len(equal)}, {len(worse)} of {len(MEASURES)}"
        lines.append(f"| {point.name} | {point.tflop:.1f} | {' | '.join(cells)} | {counts} |")
    others = [point for point in points if point is not reference]
    needed = [[people_needed(point, reference, measure) for point in others] for measure in MEASURES]
    middle = [statistics.median([one for one in ones if math.isfinite(one)] or [math.nan]) for ones in needed]
    cells = ["not known" if math.isnan(one) else f"{one:.0f}" for one in middle]
    lines.append(f"| people that would decide it, in the middle | | {' | '.join(cells)} | |")
    lines += ["", "On the front, where nothing cheaper is equal or better:", "", "| measure | settings |", "|---|---|"]
    for measure, described in MEASURES.items():
        lines.append(f"| {described.title} | {', '.join(point.name for point in front(points, measure))} |")
    return "\n".join(lines)


def save_plot(file: Path, points: Sequence[Point]) -> None:
    """Save a figure with one panel a measure: cost on a logarithmic axis, each value with its interval, the front.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    plt = plots.need_matplotlib()
    columns = 3
    rows = -(-len(MEASURES) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
    groups = sorted({_group(point) for point in points})
    colours = plt.get_cmap("tab10" if len(groups) <= 10 else "tab20").colors
    for axis in axes.flat[len(MEASURES) :]:
        axis.set_visible(False)
    for axis, (measure, described) in zip(axes.flat, MEASURES.items(), strict=False):
        for number, group in enumerate(groups):
            mine = [point for point in points if _group(point) == group]
            means = [point.mean(measure) for point in mine]
            below_above = [[one.value - one.low for one in means], [one.high - one.value for one in means]]
            axis.errorbar(
                *([point.tflop for point in mine], [one.value for one in means], below_above),
                **{"fmt": "o", "markersize": 4, "capsize": 2, "alpha": 0.8},
                **{"color": colours[number % len(colours)], "label": group},
            )
        best = front(points, measure)
        axis.plot(
            [point.tflop for point in best], [point.mean(measure).value for point in best], color="0.4", linewidth=0.8
        )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(plt.FixedLocator([5, 10, 15, 20, 30, 50, 100, 200, 400]))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(plt.NullLocator())
        axis.set_title(f"{described.title} ({'higher' if described.higher_is_better else 'lower'} is better)", size=9)
        axis.set_ylabel(described.unit)
        axis.set_xlabel("TFLOP a face of the published size")
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="lower right", ncols=2)
    plots.save_figure(figure, file)


def _group(point: Point) -> str:
    """Sampler and shortcut, which share a colour."""
    described, plus, shortcut = point.name.partition("+")
    return described.partition(":")[0] + plus + shortcut


def _text(value: Interval, mark: str = "") -> str:
    if math.isnan(value.value):
        return "not measurable"
    digits = max(0, 2 - math.floor(math.log10(max(abs(value.value), abs(value.high - value.low), 1e-3))))
    text = f"{value.value:.{digits}f} ({value.low:.{digits}f} .. {value.high:.{digits}f})"
    return f"{mark}{text}{mark}"
