"""Measure the tracks of faces on the synthetic clip of pictures/synthetic_clip.py: detections of the real detector, and
simulated ones (truth, noise, dropouts, shifted boxes, false positives) of ten seeds.

    python tools/run.py benchmarks.tracking [--simulated]

Prints a Markdown table. Identity switches: changes of the track that lies on an actor, and tracks that lie on two.
Uncovered: frames in which an actor's face is visible to at least a half and no face of the result, each counted for one
actor, overlaps its box by 0.3 (intersection over union). Jitter: rms distance of the crop's centre from its true
course, less each actor's mean offset (in the crop's coordinates: a detector's constant bias turns and grows with the
face), in pixels, over the frames in which the face is visible to 0.9. Lag: the
shift in time that brings the course nearest to the truth, in frames; positive when it comes late.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from face_anonymizer.modules.faces import alignment, types
from face_anonymizer.modules.faces import boxes as box_math
from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.track import scene_cuts, smoothing, tracking
from face_anonymizer.tools.busy import busy
from face_anonymizer.tools.pictures import synthetic_clip as clip

SEEDS = range(10)
COVERING_IOU = 0.3
COVERED_FROM = 0.5  # share of a face that is visible
WHOLE_FROM = 0.9


@dataclass(frozen=True)
class Judgement:
    switches: int
    uncovered: int
    jitter_px: float
    lag_frames: float
    worst_px: float


def crop(face: types.Face) -> np.ndarray:
    """The matrix (2, 3) to the crop of side 1; that of the points where the face has no alignment."""
    if face.alignment is not None:
        return face.alignment
    return alignment.crop_matrix(face.points, face.layout, face.box, 1)


def match(shown: list[clip.Shown], faces: list[types.Face]) -> list[tuple[clip.Shown, types.Face]]:
    """Pairs of actors and faces of one frame, each used once, whose boxes overlap."""
    if not shown or not faces:
        return []
    limit = np.tile([clip.WIDTH, clip.HEIGHT], 2)
    boxes = np.array([np.clip(entry.face.box, 0, limit) for entry in shown])
    iou = box_math.iou(boxes, np.array([face.box for face in faces]))
    rows, columns = linear_sum_assignment(-np.where(iou >= COVERING_IOU, iou, -1))
    return [(shown[r], faces[c]) for r, c in zip(rows, columns, strict=True) if iou[r, c] >= COVERING_IOU]


def judge(truth: list[list[clip.Shown]], result: types.Faces) -> Judgement:
    by_frame: list[list[types.Face]] = [[] for _ in truth]
    for face in result:
        by_frame[face.image_index].append(face)
    last_track, owner, switches, uncovered = {}, {}, 0, 0
    courses: dict[str, list] = {}
    for frame, shown in enumerate(truth):
        pairs = match([entry for entry in shown if entry.visible >= COVERED_FROM], by_frame[frame])
        uncovered += sum(entry.visible >= COVERED_FROM for entry in shown) - len(pairs)
        for entry, face in pairs:
            if face.track is not None:
                switches += last_track.get(entry.actor, face.track) != face.track
                switches += owner.get(face.track, entry.actor) != entry.actor
                last_track[entry.actor], owner[face.track] = face.track, entry.actor
            if entry.visible >= WHOLE_FROM:
                courses.setdefault(entry.actor, []).append((frame, smoothing.to_parameters(crop(face)[None])[0, :2]))
    errors, against, speeds = [], 0.0, 0.0
    for actor in clip.ACTORS:
        if actor.name not in courses:
            continue
        frames, places = (np.array(part) for part in zip(*courses[actor.name], strict=True))
        true = {shift: [crop(clip.true_face(actor, frame + shift)) for frame in frames] for shift in (0, -0.5, 0.5)}
        now, before, after = (smoothing.to_parameters(np.array(matrices)) for matrices in true.values())
        # an offset of the detector turns and grows with the face: it is constant in the crop
        offset = np.array([matrix[:, :2] @ e for matrix, e in zip(true[0], places - now[:, :2], strict=True)])
        error = np.exp(now[:, 2]) * np.hypot(*(offset - offset.mean(0)).T)
        velocity = after[:, :2] - before[:, :2]
        velocity -= velocity.mean(0)
        late = places - now[:, :2]
        against, speeds = against - ((late - late.mean(0)) * velocity).sum(), speeds + (velocity**2).sum()
        errors.append(error)
    all_errors = np.concatenate(errors)
    return Judgement(switches, uncovered, float(np.sqrt((all_errors**2).mean())), against / speeds, all_errors.max())


def is_cut_clean(detections: types.Faces, result: types.Faces) -> bool:
    """Whether each shot comes out as if the other had never been: no alignment has read over the cut."""

    def shape(faces: types.Faces) -> list[tuple]:
        return [(f.image_index, f.source, f.box.tobytes(), f.alignment.tobytes()) for f in faces]

    alone = [
        tracking.track_faces(detections.window(start, stop)) for start, stop in ((0, clip.CUT), (clip.CUT, clip.LENGTH))
    ]
    parts = [result.window(0, clip.CUT), result.window(clip.CUT, clip.LENGTH)]
    over = {f.track for f in parts[0]} & {f.track for f in parts[1]}
    return not over and all(sorted(shape(a)) == sorted(shape(b)) for a, b in zip(alone, parts, strict=True))


def row(name: str, truth: list, detections: types.Faces, cuts: list[int]) -> str:
    start = time.perf_counter()
    result = tracking.track_faces(detections, cuts)
    seconds = time.perf_counter() - start
    before, after = judge(truth, detections), judge(truth, result)
    return (
        f"| {name} | {len(detections)} / {len(result)} | {before.uncovered} / {after.uncovered} | {after.switches} | "
        f"{before.jitter_px:.2f} / {after.jitter_px:.2f} | {after.worst_px:.2f} | {after.lag_frames:+.3f} | "
        f"{'clean' if is_cut_clean(detections, result) else 'MIXED'} | {seconds:.2f} |"
    )


def long_clip(frames: int = 10_000, people: int = 5) -> types.Faces:
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (people, 2))
    faces = []
    for frame in range(frames):
        for person in range(people):
            if rng.random() < 0.05:
                continue
            middle = np.array([150 + 300 * person, 400]) + 60 * np.sin(frame / 40 + phase[person])
            points = middle + 40 * np.array([[-0.5, -0.4], [0.5, -0.4], [0, 0], [-0.4, 0.5], [0.4, 0.5]])
            box = np.concatenate([middle - 50, middle + 50]) + rng.normal(size=4)
            faces.append(types.Face(frame, box, 0.9, points + rng.normal(size=(5, 2)), types.FIVE_POINTS, "simulated"))
    return types.Faces(frames, 1080, 1920, tuple(faces))


@busy()
def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the tracks of faces on a synthetic clip.")
    parser.add_argument("--simulated", action="store_true", help="leave the real detector out; it takes minutes")
    arguments = parser.parse_args()
    truth = clip.truth()
    frames = clip.render()
    cuts = scene_cuts.find_cuts(np.stack([scene_cuts.thumbnail(frame) for frame in frames]))
    print(f"Cuts found: {cuts}; true: [{clip.CUT}]\n")
    print(
        "| detections | faces before / after | uncovered before / after | identity switches | "
        "jitter px before / after | worst px | lag frames | cut | seconds |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|---|--:|")
    if not arguments.simulated:
        networks = detection.load_face_networks()
        print(row("real detector", truth, detection.detect_faces(networks, frames), cuts))
    for seed in SEEDS:
        print(row(f"simulated, seed {seed}", truth, clip.simulate(truth, seed), cuts))
    many = long_clip()
    start = time.perf_counter()
    result = tracking.track_faces(many)
    tracks = len({face.track for face in result})
    print(
        f"\n{many.image_count} frames, {len(many)} detections: {len(result)} faces in {tracks} tracks, "
        f"{time.perf_counter() - start:.1f} s"
    )
