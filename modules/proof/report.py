"""From the report of a graph to the results of a proof: a picture each, or a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .figures import whole, words
from .persons import sum_up_persons
from .proof import ResultFile
from .rows import rows_elsewhere, rows_of_faces, rows_of_persons


def results_of_report(report: Mapping, digests: Sequence[str]) -> tuple[ResultFile, ...]:
    """The results that a report speaks of.

    Args:
        report: Report.to_dict() of modules/faces/report.py.
        digests: the SHA-256 of each file that was saved; none where nothing was saved.

    Returns:
        One for each picture where each was saved as a file of its own; else one for all of them: a clip, or pictures
        of which it is not known which file is which.
    """
    faces, elsewhere = report["faces"], report["elsewhere"]
    images = report["images"]
    size = {"width": report["width"], "height": report["height"]}
    said = {"incomplete": words(report.get("incomplete")), "notes": tuple(map(words, report["notes"]))}
    is_clip = any(face.get("track") is not None for face in faces)
    if not is_clip and len(digests) == images > 1:
        results = []
        for number, digest in enumerate(digests):
            here = [face for face in faces if face["image"] == number]
            seen = [face for face in elsewhere if face["image"] == number]
            rows = (*rows_of_faces(here), *rows_elsewhere(seen))
            told = said if number == 0 else {}
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
    return (ResultFile(1, kind, digests=tuple(digests), images=whole(images), rows=rows, **size, **said),)
