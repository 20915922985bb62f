"""From the report of a graph to the results of a proof: a picture each, or a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..faces.notes import NOT_COMPARED, Doubt, read_doubts
from .figures import whole, words
from .persons import sum_up_persons
from .proof import ResultFile
from .rows import rows_elsewhere, rows_of_faces, rows_of_persons


def results_of_report(report: Mapping, digests: Sequence[str], doubts: Sequence[Doubt] = ()) -> tuple[ResultFile, ...]:
    """The results that a report speaks of.

    Args:
        report: Report.to_dict() of modules/faces/report.py.
        digests: the SHA-256 of each file that was saved; none where nothing was saved.
        doubts: what is known beside the report that speaks against the results.

    Returns:
        One for each picture where each was saved as a file of its own; else one for all of them: a clip, or pictures
        of which it is not known which file is which.
    """
    faces, elsewhere = report["faces"], report["elsewhere"]
    images = report["images"]
    size = {"width": report["width"], "height": report["height"]}
    said = {"incomplete": words(report.get("incomplete")), "notes": tuple(map(words, report["notes"]))}
    doubts = (*read_doubts(report.get("doubts")), *doubts)
    is_clip = any(face.get("track") is not None for face in faces)
    if not is_clip and len(digests) == images > 1:
        results = []
        for number, digest in enumerate(digests):
            here = [face for face in faces if face["image"] == number]
            seen = [face for face in elsewhere if face["image"] == number]
            rows = (*rows_of_faces(here), *rows_elsewhere(seen))
            told = dict(said) if number == 0 else {}
            told |= {"doubts": tuple(doubt for doubt in doubts if number in _pictures_of(doubt, images))}
            results.append(ResultFile(number + 1, "picture", digests=(digest,), images=1, rows=rows, **size, **told))
        return tuple(results)
    if is_clip:
        rows = rows_of_persons(sum_up_persons(faces))
    else:
        rows = [
            row
            for number in range(images)
            for row in rows_of_faces(
                [face for face in faces if face["image"] == number], f"picture {number + 1}" if images > 1 else ""
            )
        ]
    rows = (*rows, *rows_elsewhere(elsewhere))
    kind = "clip" if is_clip else "picture" if images == 1 else "pictures"
    if len(digests) not in (0, 1, images):
        note = f"The report speaks of {images} pictures, and {len(digests)} were saved."
        said["notes"] = (*said["notes"], note)
        doubts = (*doubts, Doubt(note, NOT_COMPARED))
    return (
        ResultFile(1, kind, digests=tuple(digests), images=whole(images), rows=rows, doubts=doubts, **size, **said),
    )


def _pictures_of(doubt: Doubt, images: int) -> list[int]:
    """Of which pictures a doubt is told: of all, where it names none."""
    return [number for number in doubt.images if number < images] or list(range(images))
