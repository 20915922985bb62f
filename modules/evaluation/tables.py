"""Tables of figures with their intervals, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field

from .statistics import Interval

Cell = Interval | float | int | str | None


@dataclass
class Table:
    """A table of figures.

    Args:
        name: of its files.
        title: above it.
        columns: of the cells; the column of the rows' names comes before them.
        rows: name of the row -> its cells by column; a column that a row lacks is empty there.
        note: below it.
        digits: of figures, after the point.
    """

    name: str
    title: str
    columns: list[str]
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    note: str = ""
    digits: int = 3

    def put(self, row: str, cells: dict[str, Cell]) -> None:
        """Put a row in, or in the place of one of this name.

        Args:
            row: its name.
            cells: by column.

        Raises:
            KeyError: the table does not have a column.
        """
        unknown = [column for column in cells if column not in self.columns]
        if unknown:
            raise KeyError(f"The table {self.name} has no column {', '.join(unknown)}.")
        self.rows[row] = cells

    def markdown(self) -> str:
        """The table in Markdown, under a heading and above its note."""
        lines = [f"### {self.title}", "", f"| | {' | '.join(self.columns)} |", f"|---|{'--:|' * len(self.columns)}"]
        for row, cells in self.rows.items():
            lines.append(f"| {row} | {' | '.join(self._text(cells.get(column)) for column in self.columns)} |")
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])

    def csv(self) -> str:
        """The table as CSV, one line a row; a column of intervals becomes four: value, low, high and count."""
        wide = [c for c in self.columns if any(isinstance(cells.get(c), Interval) for cells in self.rows.values())]
        header = ["row"]
        for column in self.columns:
            header += [column, f"{column}: low", f"{column}: high", f"{column}: count"] if column in wide else [column]
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(header)
        for row, cells in self.rows.items():
            line = [row]
            for column in self.columns:
                cell = cells.get(column)
                if isinstance(cell, Interval):
                    line += [cell.value, cell.low, cell.high, cell.count]
                else:
                    line += [cell, "", "", ""] if column in wide else [cell]
            lines.writerow(["" if value is None or value != value else value for value in line])
        return text.getvalue()

    def as_dict(self) -> dict:
        """The table as JSON can hold it: null in the place of NaN."""
        rows = {row: {column: _plain(cell) for column, cell in cells.items()} for row, cells in self.rows.items()}
        return {"title": self.title, "columns": self.columns, "rows": rows, "note": self.note}

    def _text(self, cell: Cell) -> str:
        if isinstance(cell, Interval):
            if math.isnan(cell.value):
                return "not measurable"
            return f"{self._text(cell.value)} ({self._text(cell.low)} to {self._text(cell.high)})"
        if cell is None:
            return ""
        if isinstance(cell, float):
            return "not measurable" if math.isnan(cell) else f"{cell:.{self.digits}f}"
        return str(cell)


def _plain(cell: Cell):
    if isinstance(cell, Interval):
        return {key: _plain(getattr(cell, key)) for key in ("value", "low", "high", "count")}
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
