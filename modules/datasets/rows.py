"""A row a picture: flat figures and words of the report, no box, no descriptor, nothing of the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..faces.outcomes import ANONYMIZED, BROKEN, KEPT, KEPT_BY_USER, REDACTED, SWAPPED
from ..recognition.verdict import FAILED, NOT_MEASURABLE, SAME_PERSON, STRANGER

PREFIX = "face_anonymizer_"  # of columns in parquet
DONE, FAILED_ROW, CUT = "done", "failed", "cut"
# the worst of a picture's faces is its verdict
_WORST = (FAILED, SAME_PERSON, NOT_MEASURABLE, STRANGER)
_ACTIONS = {
    "anonymized": ANONYMIZED,
    "swapped": SWAPPED,
    "redacted": REDACTED,
    "broken": BROKEN,
    "kept": KEPT,
    "kept_by_the_user": KEPT_BY_USER,
}
# name -> type, and with it the order; docs/datasets.md says what they mean
COLUMNS: dict[str, type] = {
    "status": str,
    "error": str,
    "width": int,
    "height": int,
    "faces": int,
    **dict.fromkeys(_ACTIONS, int),
    "elsewhere": int,
    "verdict": str,
    "strangers": int,
    "least_covered": float,
    "attempts": int,
    "reasons": str,
    "notes": str,
    "seconds": float,
}


def row_of(report: Mapping, image: int, seconds: float, notes: Iterable[str] = ()) -> dict:
    """The row of a picture that was changed.

    Args:
        report: of a batch of pictures, as modules/faces/report.py has it.
        image: the picture's number in it.
        seconds: that it took.
        notes: what of the photo did not stay as it was.
    """
    faces = [face for face in report["faces"] if face["image"] == image]
    said = [face["verification"]["verdict"] for face in faces if face.get("verification")]
    covered = [face["covered"] for face in faces if face.get("covered") is not None]
    reasons = dict.fromkeys(face["reason"] for face in faces if face["reason"])
    doubts = report.get("doubts", ())
    about_others = {one["words"] for one in doubts if one["images"] and image not in one["images"]}
    told = [note for note in report["notes"] if note not in about_others]
    return {
        "status": DONE,
        "error": "",
        "width": report["width"],
        "height": report["height"],
        "faces": len(faces),
        **{name: sum(face["action"] == action for face in faces) for name, action in _ACTIONS.items()},
        "elsewhere": sum(face["image"] == image for face in report["elsewhere"]),
        "verdict": next((word for word in _WORST if word in said), ""),
        "strangers": said.count(STRANGER),
        "least_covered": min(covered, default=None),
        "attempts": max((face["attempts"] for face in faces if face.get("attempts")), default=None),
        "reasons": "; ".join(reasons),
        "notes": "; ".join(dict.fromkeys((*told, *notes))),
        "seconds": round(seconds, 3),
    }


def row_of_failed(error: str, status: str = "") -> dict:
    """The row of a picture of which there is no result."""
    return dict.fromkeys(COLUMNS) | {"status": status or FAILED_ROW, "error": error}


def totals_of(rows: Iterable[Mapping]) -> dict[str, int]:
    """What is counted over many rows."""
    counted = dict.fromkeys(("pictures", DONE, FAILED_ROW, CUT, "without_faces", "faces", *_ACTIONS, "elsewhere"), 0)
    for word in _WORST:
        counted[f"verdict {word}"] = 0
    for row in rows:
        counted[row["status"]] += 1
        counted["pictures"] += row["status"] != CUT
        if row["status"] != DONE:
            continue
        counted["without_faces"] += row["faces"] == 0
        for name in ("faces", *_ACTIONS, "elsewhere"):
            counted[name] += row[name]
        if row["verdict"]:
            counted[f"verdict {row['verdict']}"] += 1
    return counted


def added(totals: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Totals of several, as one."""
    result = totals_of(())
    for one in totals:
        for name in result:
            result[name] += int(one.get(name, 0))
    return result
