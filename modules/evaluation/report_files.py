"""The files of an evaluation: every table in three formats, one page that shows all, and one JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import replace_whole
from . import claims
from .tables import Table

PAGE, DATA, TABLES, PLOTS = "report.md", "report.json", "tables", "plots"
_TOOL = "face_anonymizer evaluation"


def check_output(output: Path) -> None:
    """Make sure that a report overwrites nothing but a report of an earlier evaluation.

    Args:
        output: folder of the report; it need not exist.

    Raises:
        ValueError: something else is in its place.
    """
    file = output / DATA
    if file.exists():
        try:
            ours = json.loads(file.read_text(encoding="utf-8")).get("tool") == _TOOL
        except (ValueError, AttributeError, OSError):
            ours = False
        if not ours:
            raise ValueError(f"Nothing is overwritten, and {file} is no report of an evaluation. Move it away.")
    elif (output / PAGE).exists():
        raise ValueError(f"Nothing is overwritten, and {output / PAGE} belongs to no evaluation. Move it away.")


def write_report(
    output: Path,
    settings: Mapping,
    tables: Sequence[Table],
    judged: Sequence[claims.Verdict] = (),
    plots: Sequence[str] = (),
) -> None:
    """Write OUTPUT/report.md, report.json and tables/NAME.md, .csv, .json, over those of an earlier evaluation.

    Args:
        output: folder of the report; made if need be.
        settings: what was evaluated and how, by name.
        tables: in the order of the page.
        judged: verdicts, above the tables.
        plots: names of files in OUTPUT/plots, shown below the tables.

    Raises:
        ValueError: as check_output.
    """
    check_output(output)
    (output / TABLES).mkdir(parents=True, exist_ok=True)
    for table in tables:
        for suffix, content in (
            ("md", table.markdown()),
            ("csv", table.csv()),
            ("json", json.dumps(table.as_dict(), indent=1, ensure_ascii=False)),
        ):
            replace_whole(output / TABLES / f"{table.name}.{suffix}", content.encode())
    data = {
        "tool": _TOOL,
        "settings": dict(settings),
        "tables": {table.name: table.as_dict() for table in tables},
        "verdicts": [verdict._asdict() for verdict in judged],
    }
    page = ["# Evaluation", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in settings.items()), ""]
    page += ["Figures: the mean and its 95 % interval by bootstrap over identities.", ""]
    page += [claims.markdown(judged)] if judged else []
    page += [table.markdown() for table in tables]
    page += [f"![{name.removesuffix('.png')}]({PLOTS}/{name})\n" for name in plots]
    replace_whole(output / PAGE, "\n".join(page).encode())
    # last: a report is whole when this file is there
    replace_whole(output / DATA, json.dumps(data, indent=1, ensure_ascii=False).encode())
