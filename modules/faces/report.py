"""What was found in a run and what became of it (socket FACE_ANON_REPORT): one JSON a run, schema below.

No embeddings and no names of files: a report may be published beside the pictures.

    {
      "schema": "face-anonymizer/report/1",
      "images": 3, "height": 480, "width": 640,     of the batch, in pixels
      "images_without_faces": [2],                  numbers of pictures, from 0
      "actions": {"anonymized": 2, "redacted": 1},  how many faces had which outcome
      "faces": [
        {
          "image": 0,                               number of the picture, from 0
          "box": [10.0, 20.0, 110.0, 150.0],        x0 y0 x1 y1 in pixels, edges
          "size": 114.0,                            root of the box's area, in pixels
          "score": 0.93,                            of the detector, 0..1
          "source": "centerface",                   what found it
          "track": 0,                               number of the person in a clip, or null
          "action": "anonymized",                   found, anonymized, swapped, redacted, broken, kept or
                                                    kept by the user
          "seed": 7,                                of its noise, or null where it is not known
          "reason": "",                             why, where the action needs a reason: figure and threshold
          "number": 1,                              as the preview and inputs of the last step name it, from 1, or null
          "verdict": "",                            what was seen on the result where that was refused, such as
                                                    "still the original"; "" where nothing was
          "covered": 0.996,                         share of the face's oval that was replaced, or null
          "verification": {                         what recognisers say of it, or null where none was asked
            "verdict": "stranger",                  stranger, same person, not measurable (the original is not), or
                                                    failed (the original is, the result is not)
            "reason": "dlib's distance is 0.830, 0.6 is the least; ...",    figures and thresholds in words
            "recognisers": [                        none where one of the two faces is not measurable
              {"name": "dlib ResNet", "value": 0.83, "threshold": 0.6, "measure": "distance", "same": false},
              {"name": "FaceRes", "value": 0.31, "threshold": 0.6, "measure": "cosine", "same": false}
            ],                                      a value that is no number: null, and "same" is true
            "of": "result",                         only of a covered face that was looked at: what shows of it
            "drift": {                              what was not kept of the original; null as above
              "pose": 2.1,                          angle between the heads, in degrees
              "gaze": 3.0,                          of the eyes in the head, in degrees; null where they are closed
              "expression": 0.12,                   0..1, half the sum of differences of seven probabilities
              "age": -4.0,                          in years, the result's less the original's
              "man": 0.05                           of the probability of a man, -1..1
            }
          },
          "attempts": 2,                            how often it was painted, or null where that is not known
          "degree": 1.25,                           of the painting that is told of, or null
          "cover": "solid"                          only of a face that was covered: solid, mosaic or blur
        }
      ],
      "elsewhere": [{"image", "box", "size", "score", "source"}],    faces of the result that were not in the list
      "incomplete": "4 of 24 frames",               what of the source could not be read; only where that is so
      "doubts": [                                   those of the notes that speak against the result; only where any do
        {"kind": "not compared", "images": [0],     kinds: notes.py; numbers of pictures, none where it is about all
         "words": "..."}
      ],
      "notes": ["2 subtitle tracks left out"]       what else the user should know
    }
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from .fingerprint import Fingerprint, join_fingerprints
from .known_faces import SAME_PLACE, at_its_place, by_picture, found_again, in_known_boxes
from .notes import Doubt, joined, moved, settled
from .numbering import Met, counted_before, numbered, renamed, with_earlier_reasons
from .originals import Remembered
from .outcomes import (
    ACTIONS,
    ANONYMIZED,
    BROKEN,
    CHANGED,
    FOUND,
    KEPT,
    NOT_SELECTED,
    REDACTED,
    SWAPPED,
    Entry,
    Outcome,
    box_of,
    entry_of,
    tells_more,
    with_painting,
    with_story,
)
from .report_checks import check_pictures, refuse_originals
from .report_text import text_of
from .traces import (
    Key,
    Trace,
    View,
    by_image,
    join_traces,
    join_views,
    made_faces,
    open_faces,
    some_views,
    take_traces,
    take_views,
)
from .types import Face, Faces

SCHEMA = "face-anonymizer/report/1"
_BACK = "a later step brought the original back"


@dataclass(frozen=True)
class Report:
    """The faces of a batch of pictures, each with its outcome.

    Args:
        images: how many pictures.
        height, width: of each, in pixels.
        entries: one a face.
        elsewhere: faces that the look at the result found where none was listed.
        incomplete: what of the source could not be read, so that somebody has to look at the result; empty: nothing.
        notes: what else the user should know, a line each; those of class Doubt speak against the result.
        traces: of the faces that were changed, by which a later step knows the picture that this report is of.
        fingerprint: of the pictures that the faces were found in.
        views: of pictures whose faces were changed; of a clip, some. None of the three stands in the JSON.
    """

    images: int
    height: int
    width: int
    entries: tuple[Entry, ...] = ()
    elsewhere: tuple[Entry, ...] = ()
    incomplete: str = ""
    notes: tuple[str, ...] = ()
    traces: tuple[Trace, ...] = field(default=(), repr=False, compare=False)
    fingerprint: Fingerprint | None = field(default=None, repr=False, compare=False)
    views: tuple[View, ...] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict:
        """The report as its JSON has it; the schema stands in this module's docstring."""
        with_faces = {entry.image for entry in self.entries}
        doubts = [note.to_dict() for note in self.notes if isinstance(note, Doubt)]
        return {
            "schema": SCHEMA,
            "images": self.images,
            "height": self.height,
            "width": self.width,
            "images_without_faces": [image for image in range(self.images) if image not in with_faces],
            "actions": self.count(),
            "faces": [entry.to_dict() for entry in self.entries],
            "elsewhere": [
                {key: entry.to_dict()[key] for key in ("image", "box", "size", "score", "source")}
                for entry in self.elsewhere
            ],
            **({"incomplete": self.incomplete} if self.incomplete else {}),
            **({"doubts": doubts} if doubts else {}),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The report as indented JSON that ends with a new line."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_text(self) -> str:
        """A line for people: how many faces had which outcome, why those that have a reason, what has no face."""
        return text_of(self)

    def count(self) -> dict[str, int]:
        """Action -> number of faces, in the order of ACTIONS, without those that did not happen."""
        counted = Counter(entry.action for entry in self.entries)
        return {action: counted[action] for action in ACTIONS if counted[action]}

    def traced(
        self,
        before: torch.Tensor,
        after: torch.Tensor,
        is_viewed: Callable[[int], bool] = lambda _: True,
        faces: Iterable[Face] = (),
    ) -> Report:
        """This report with the traces of what was changed, and views of what was before.

        Args:
            before: float [B, H, W, C], 0..1, what went into its step.
            after: of the same size, what came out.
            is_viewed: of which pictures that were changed a view is taken.
            faces: of the step, which may remember their originals.
        """
        keys = sorted(self.changed)
        viewed = sorted({image for image, _ in keys if is_viewed(image)})
        known = {
            (face.image_index, box_of(face)): Remembered(face.original, *face.crop_place())
            for face in faces
            if face.original is not None and face.matrix is not None
        }
        return replace(
            self, traces=take_traces(before, after, keys, known), views=take_views(before, after, viewed, keys)
        )

    @property
    def changed(self) -> set[Key]:
        """The faces that were changed."""
        return {(entry.image, entry.box) for entry in self.entries if entry.action in CHANGED}

    def continued(self, earlier: Report | None, before: torch.Tensor, after: torch.Tensor) -> Report:
        """This report as the next chapter of an earlier one, of whose pictures its step may only have got the report.

        Args:
            earlier: the report so far; None: there is none.
            before: float [B, H, W, C], 0..1, what went into this report's step.
            after: of the same size, what came out.

        Raises:
            ValueError: as after.
        """
        traces = by_image(earlier.traces) if earlier is not None else {}
        return self.after(earlier, open_faces(before, traces), open_faces(after, traces), made_faces(before, traces))

    def noting(self, *notes: str) -> Report:
        """This report with more for the user to know, a line each."""
        return replace(self, notes=(*self.notes, *notes))

    def after(
        self,
        earlier: Report | None,
        were_open: Collection[Key] = (),
        are_open: Collection[Key] = (),
        were_made: Collection[Key] = (),
    ) -> Report:
        """This report as the next chapter of an earlier one of the same pictures.

        A face of both, known by its picture and box, or found once more at about its place, has what this one did to
        it, unless this one merely kept it; where it was covered, what recognisers said of the painting before stays
        told. Faces elsewhere are those of this one, which saw the later picture; a step that changed no face looked
        for none.

        Args:
            earlier: the report so far; None: there is none.
            were_open: faces that the pictures of this report's step showed as they were before the earlier one.
            are_open: faces that its result shows so.
            were_made: faces that the pictures of this report's step showed as the earlier one had made them.

        Raises:
            ValueError: the earlier report is about other pictures, or of a step whose pictures this one did not get.
        """
        if earlier is None:
            return self
        if (earlier.images, earlier.height, earlier.width) != (self.images, self.height, self.width):
            raise ValueError(
                f"The report is about {earlier.images} images of {earlier.width}x{earlier.height} pixels, but these "
                f"are {self.images} of {self.width}x{self.height}: connect the report of the same images."
            )
        check_pictures(self, earlier)
        open_now = set(are_open) - self.changed
        refuse_originals(open_now & set(were_open))
        latest = {(entry.image, entry.box): entry for entry in earlier.entries}
        for key in open_now & set(latest):
            back = replace(latest[key], action=KEPT, reason=_BACK, verdict=_BACK, covered=0.0)
            latest[key] = replace(back, seed=None, cover="")
        changed, unseen = self.changed, by_picture(set(latest) - {(entry.image, entry.box) for entry in self.entries})
        met: dict[Key, Met] = {}
        for entry in self.entries:
            key, near = (entry.image, entry.box), unseen.get(entry.image, set())
            is_changed, found_before = entry.action in CHANGED, None
            if key not in latest:
                found_before = (
                    at_its_place(key, sorted(near), SAME_PLACE) if is_changed else found_again(key, near, were_made)
                )
            if found_before is not None:
                near.remove(found_before)
                if is_changed:
                    latest[key] = latest.pop(found_before)  # it was found anew in the picture that had been changed
                    changed.add(found_before)
                else:
                    key, entry = found_before, replace(entry, box=found_before[1])
            met[key] = Met(entry, latest.get(key))
            if key not in latest or is_changed or tells_more(entry, latest[key]):
                latest[key] = with_story(entry, latest.get(key))
        entries = sorted(numbered(latest, met), key=lambda entry: entry.image)
        moved_on = renamed(earlier.entries, entries, met)
        return replace(
            self,
            entries=with_earlier_reasons(entries, earlier.entries, moved_on),
            elsewhere=self.elsewhere if self.changed else self.elsewhere or earlier.elsewhere,
            incomplete="; ".join(dict.fromkeys(filter(None, (earlier.incomplete, self.incomplete)))),
            notes=joined((*counted_before(settled(earlier.notes, changed), moved_on), *self.notes)),
            traces=join_traces(earlier.traces, self.traces),
            views=join_views(earlier.views, self.views),
        )

    def as_known(self, faces: Faces, before: torch.Tensor | None = None) -> Faces:
        """These faces, each with the box by which this report knows it, be that a little another one.

        Args:
            faces: of the same pictures.
            before: float [B, H, W, C], 0..1, in which they were found, of the size of this report's; None: not known.
        """
        known = {(entry.image, entry.box) for entry in self.entries}
        if before is None:
            return in_known_boxes(faces, known)
        made, named = made_faces(before, by_image(self.traces)), sorted(known)
        earlier = {trace.key for trace in self.traces} - known  # of faces that a later step found anew
        renamed = {key: now for key in earlier if (now := at_its_place(key, named, SAME_PLACE)) is not None}
        return in_known_boxes(faces, known, made, renamed)

    def actions_of(self, faces: Faces) -> list[str | None]:
        """What was done to each of these faces, which are known by picture and box; None: nothing is said of it."""
        done = {(entry.image, entry.box): entry.action for entry in self.entries}
        return [done.get((face.image_index, box_of(face))) for face in faces]

    def verified(self, faces: Faces, found: Sequence[dict | None], notes: Iterable[str] = ()) -> Report:
        """This report with what recognisers say of its faces, which are known by picture and box.

        Args:
            faces: that were looked at.
            found: one a face, as the schema has it; None leaves what stands there.
            notes: what else was seen.
        """
        # of a covered face the figures are else those of the painting that was refused
        covered = {(entry.image, entry.box) for entry in self.entries if entry.action == REDACTED}
        said = {}
        for face, one in zip(faces, found, strict=True):
            if one is not None:
                key = face.image_index, box_of(face)
                said[key] = {**one, "of": "result"} if key in covered else one
        entries = tuple(
            replace(entry, verification=said.get((entry.image, entry.box), entry.verification))
            for entry in self.entries
        )
        return replace(self, entries=entries, notes=joined((*self.notes, *notes)))

    def shifted(self, first_image: int, images: int) -> Report:
        """This report of a part of a clip, as a part of a report of the whole.

        Args:
            first_image: of the part, in the clip.
            images: pictures of the clip.
        """
        entries, elsewhere = (
            tuple(replace(entry, image=entry.image + first_image) for entry in entries)
            for entries in (self.entries, self.elsewhere)
        )
        # a film has too many faces to remember them all
        traces = tuple(trace._replace(image=trace.image + first_image, original=None) for trace in self.traces)
        views = tuple(view._replace(image=view.image + first_image) for view in self.views)
        fingerprint = self.fingerprint and self.fingerprint.shifted(first_image)
        all_moved = {"entries": entries, "elsewhere": elsewhere, "traces": traces, "views": views}
        return replace(self, images=images, fingerprint=fingerprint, notes=moved(self.notes), **all_moved)


def report_faces(
    faces: Faces, action: str, seed: int | None = None, reasons: Mapping[int, tuple] | None = None
) -> Report:
    """The report of one step: every face had `action` done to it, those of faces.kept were kept.

    Args:
        faces: of the step.
        action: one of ACTIONS.
        seed: of the run, where it is known: each face's own is that plus its offset (Faces.seed_offsets).
        reasons: index of a face -> its Outcome (or action and reason), for faces that had another one.
    """
    reasons = reasons or {}
    entries = []
    for i, (face, offset) in enumerate(zip(faces, faces.seed_offsets(), strict=True)):
        outcome = Outcome(*reasons.get(i, (action,)))
        painted = outcome.action in (ANONYMIZED, SWAPPED, BROKEN)
        face_seed = (seed + offset) % 2**64 if seed is not None and painted else None
        entries.append(with_painting(entry_of(face, outcome, face_seed, offset + 1), face.painted))
    entries += [entry_of(face, Outcome(KEPT, NOT_SELECTED), None, None) for face in faces.kept]
    entries.sort(key=lambda entry: entry.image)
    return Report(faces.image_count, faces.height, faces.width, tuple(entries), fingerprint=faces.fingerprint)


def join_reports(parts: Iterable[Report], images: int, height: int, width: int) -> Report:
    """One report of a clip from those of its parts.

    Args:
        parts: shifted already (Report.shifted).
        images: pictures of the clip.
        height, width: of each, in pixels.
    """
    parts = list(parts)
    return Report(
        images,
        height,
        width,
        tuple(entry for part in parts for entry in part.entries),
        tuple(entry for part in parts for entry in part.elsewhere),
        notes=joined(note for part in parts for note in part.notes),
        traces=tuple(trace for part in parts for trace in part.traces),
        fingerprint=join_fingerprints(part.fingerprint for part in parts),
        views=some_views([view for part in parts for view in part.views]),
    )


def entries_elsewhere(faces: Iterable[Face]) -> tuple[Entry, ...]:
    """The entries of faces that were found in a result and were not in the list."""
    return tuple(entry_of(face, Outcome(FOUND), None, None) for face in faces)
