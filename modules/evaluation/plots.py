"""The paper's figures from the tables, drawn with matplotlib, an optional package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import replaced_whole
from .statistics import Interval

_BLUE, _GREY, _RED = "#2f6db3", "#8a8a8a", "#c2452d"
_DPI = 110


def need_matplotlib():
    """matplotlib.pyplot, without a window.

    Raises:
        RuntimeError: naming the package, where it is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise RuntimeError(
            "Plots need matplotlib: pip install matplotlib. Tables come without it: --no-plots."
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save_curves(
    file: Path,
    degrees: Sequence[float],
    curves: Mapping[str, Sequence[Interval]],
    labels: Mapping[str, str],
    lines: Mapping[str, Mapping[str, float]],
) -> None:
    """Save a figure with one panel for each curve, whose interval is a band.

    Args:
        file: a PNG.
        degrees: along the horizontal axes.
        curves: title -> one figure a degree.
        labels: title -> label of its vertical axis.
        lines: title -> baselines by name, drawn across.
    """
    plt = need_matplotlib()
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.1 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(curves) :]:
        axis.set_visible(False)
    for axis, (title, values) in zip(axes.flat, curves.items(), strict=False):
        middle, low, high = (np.array([getattr(v, part) for v in values]) for part in ("value", "low", "high"))
        axis.fill_between(degrees, low, high, color=_BLUE, alpha=0.2, linewidth=0)
        axis.plot(degrees, middle, "o-", color=_BLUE, markersize=4)
        for i, (name, level) in enumerate(lines.get(title, {}).items()):
            axis.axhline(level, color=(_GREY, _RED)[i % 2], linestyle=("--", ":")[i % 2], label=name)
        if lines.get(title):
            axis.legend(fontsize=7, frameon=False)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("degree d")
        axis.set_ylabel(labels.get(title, ""))
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)


def save_bars(file: Path, title: str, label: str, bars: Mapping[str, Interval]) -> None:
    """Save horizontal bars with their intervals, the first on top.

    Args:
        file: a PNG.
        title: above it.
        label: of the horizontal axis.
        bars: name -> figure.
    """
    plt = need_matplotlib()
    figure, axis = plt.subplots(figsize=(6.4, 0.6 + 0.42 * len(bars)), layout="constrained")
    places = np.arange(len(bars))[::-1]
    middle, low, high = (np.array([getattr(v, part) for v in bars.values()]) for part in ("value", "low", "high"))
    axis.barh(places, middle, color=_BLUE, height=0.6)
    axis.errorbar(
        middle, places, xerr=[middle - low, high - middle], fmt="none", ecolor="black", capsize=3, linewidth=1
    )
    axis.set_yticks(places, list(bars))
    axis.set_xlabel(label)
    axis.set_title(title, fontsize=10)
    axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)


def save_histograms(file: Path, title: str, label: str, groups: Mapping[str, np.ndarray], line: float | None) -> None:
    """Save the densities of several groups over one axis.

    Args:
        file: a PNG.
        title: above it.
        label: of the horizontal axis.
        groups: name -> values [N]; NaN is left out, and at least one value of all is a number.
        line: a threshold, drawn upright; None for none.
    """
    plt = need_matplotlib()
    figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    measured = {name: finite for name, values in groups.items() if len(finite := values[~np.isnan(values)])}
    every = np.concatenate(list(measured.values()))
    edges = np.linspace(every.min(), every.max(), 41)
    for name, values in measured.items():
        axis.hist(values, edges, density=True, alpha=0.45, label=name)
    if line is not None:
        axis.axvline(line, color="black", linestyle="--", linewidth=1, label="threshold")
    axis.set_xlabel(label)
    axis.set_yticks([])
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right", "left"]].set_visible(False)
    save_figure(figure, file)


def save_scatter(file: Path, title: str, labels: tuple[str, str], groups: Mapping[str, tuple]) -> None:
    """Save the points of several groups, with the diagonal.

    Args:
        file: a PNG.
        title: above it.
        labels: of the horizontal and of the vertical axis.
        groups: name -> x [N] and y [N]; the first three are drawn.
    """
    plt = need_matplotlib()
    figure, axis = plt.subplots(figsize=(4.2, 4.0), layout="constrained")
    for colour, (name, (x, y)) in zip((_GREY, _BLUE, _RED), groups.items(), strict=False):
        axis.scatter(x, y, s=9, color=colour, alpha=0.7, label=name, linewidths=0)
    every = np.concatenate([np.concatenate(pair) for pair in groups.values()])
    ends = [np.nanmin(every), np.nanmax(every)]
    axis.plot(ends, ends, color="black", linewidth=0.8)
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    save_figure(figure, file)


def save_figure(figure, file: Path) -> None:
    """Save a figure of need_matplotlib's as a PNG, whole or not at all, and close it."""
    with replaced_whole(file) as part:
        figure.savefig(part, dpi=_DPI, format="png")
    need_matplotlib().close(figure)
