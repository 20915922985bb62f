"""Video files in, video files out, with a few frames in memory: for clips that do not fit as image batches."""

import uuid
from pathlib import Path

import folder_paths
from comfy_api.latest import InputImpl, io

from ..modules.attempts.settings import AttemptSettings
from ..modules.faces.numbers import note_on_numbers
from ..modules.faces.outcomes import FOUND
from ..modules.faces.report import report_faces
from ..modules.faces.settings import SAME_NOISE, DetectSettings, PasteSettings, RedactSettings, TrackSettings
from ..modules.model.own import with_own
from ..modules.model.settings import PaintSettings, SamplerSettings
from ..modules.recognition.recognisers import on_drawn_faces
from ..modules.recognition.settings import OFF
from ..modules.terminal import shown
from ..modules.video.glimpses import Glimpses, compared
from ..modules.video.jobs import Clip, anonymize_video, redact_video, track_video
from .detect import PASS, answer_no_face, if_no_face_input, min_score_input, thorough_input
from .graph import ASKED, SHOWN
from .painting import check_degree, model_of, notes_on_choice, own_seeds, proof_of, vae_by_wire
from .painting_inputs import (
    attempts_input,
    choice_inputs,
    face_seeds_input,
    guidance_inputs,
    model_inputs,
    painting_inputs,
    verify_input,
    whole_model_input,
)
from .paste import fallback_inputs, keep_input, pasting_inputs
from .redact import COVERED_BUT_KEPT, redaction_inputs
from .reporting import MOST_SHOWN, frame_progress, show_pictures, show_places, show_report, shows_pictures, watched
from .track import tracking_inputs
from .types import VIDEO, FacesSocket, ReportSocket, video_outputs

_DETECT, _TRACK, _PASTE, _REDACT = DetectSettings(), TrackSettings(), PasteSettings(), RedactSettings()
_PAINT, _ATTEMPTS = PaintSettings(), AttemptSettings()
_COMPARED = 4  # frames that are shown before and after
_KEEPS = " Every frame's time and the sound stay; only a few frames are in memory at a time."


class FaceAnonTrackVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonTrackVideo",
            display_name="Track Faces in Video",
            category=VIDEO,
            description="Detect Faces and Track Faces for a video of any length." + _KEEPS,
            search_aliases=["video faces", "long video"],
            inputs=[
                io.Video.Input("video", tooltip="Of Load Video, also trimmed."),
                min_score_input(),
                thorough_input(),
                *tracking_inputs(),
                if_no_face_input(),
                io.Boolean.Input(
                    "points",
                    default=_DETECT.points,
                    optional=True,
                    tooltip="Places eyes, nose and mouth exactly, as Paint Faces in Video needs them. Off is faster, "
                    "and enough for Redact Video.",
                ),
            ],
            outputs=[
                FacesSocket.Output(
                    display_name="faces", tooltip="The faces of all frames, for the nodes that change a video."
                )
            ],
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls,
        video,
        min_score=_DETECT.min_score,
        thorough=_DETECT.thorough,
        max_gap=_TRACK.max_gap,
        lead=_TRACK.lead,
        smoothing=_TRACK.smoothing,
        if_no_face=PASS,
        points=_DETECT.points,
    ) -> io.NodeOutput:
        detecting = DetectSettings(min_score, thorough=thorough, points=points)
        tracking, looks = TrackSettings(max_gap, lead, smoothing), []
        glimpses = Glimpses(MOST_SHOWN) if shows_pictures(cls) else None
        watch = None if glimpses is None else glimpses.see
        faces = track_video(_clip(video), detecting, tracking, frame_progress(cls), tell=looks.append, watch=watch)
        outputs = (faces,) if len(faces) else answer_no_face(cls, if_no_face, faces)
        pictures = {}
        if glimpses is not None:
            pictures = show_pictures(cls, glimpses.drawn(faces)) | show_places(cls, faces, glimpses.numbers(faces))
        report = report_faces(faces, FOUND).noting(*looks)
        return io.NodeOutput(*outputs, ui=show_report(cls, report) | pictures)


class FaceAnonAnonymizeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonAnonymizeVideo",
            display_name="Paint Faces in Video",
            category=VIDEO,
            description="The whole method on every face of a video of any length." + _KEEPS,
            search_aliases=["paint faces in video"],
            inputs=[
                io.Video.Input("video", tooltip="Of Load Video, also trimmed."),
                FacesSocket.Input("faces", tooltip="Of Track Faces in Video."),
                *model_inputs(),
                *painting_inputs(),
                *pasting_inputs(),
                *fallback_inputs(),
                ReportSocket.Input("report", optional=True, tooltip="Of an earlier step on the same video."),
                keep_input(),
                attempts_input(),
                verify_input(),
                *choice_inputs(),
                whole_model_input(),
                *guidance_inputs(),
                face_seeds_input(),
            ],
            outputs=video_outputs(),
            hidden=ASKED,
        )

    @classmethod
    def execute(
        cls,
        video,
        faces,
        model=None,
        source_reference_net=None,
        driving_reference_net=None,
        clip_vision=None,
        vae=None,
        degree=_PAINT.degree,
        seed=_PAINT.seed,
        steps=_PAINT.sampler.steps,
        guidance_scale=_PAINT.sampler.guidance_scale,
        sampler_name=_PAINT.sampler.name,
        scheduler=_PAINT.sampler.scheduler,
        identity=SAME_NOISE,
        faces_at_once=_PAINT.faces_at_once,
        feather=_PASTE.feather,
        region=_PASTE.region,
        colour_match=_PASTE.colour_match,
        fallback=_PASTE.fallback,
        min_size=_PASTE.min_size,
        report=None,
        keep=_PASTE.keep_faces,
        attempts=_ATTEMPTS.attempts,
        verify=OFF,
        keep_traits=_ATTEMPTS.traits,
        degree_mode=_ATTEMPTS.degree_mode,
        face_anon_model=None,
        guidance_from=_PAINT.sampler.guidance_from,
        guidance_to=_PAINT.sampler.guidance_to,
        face_seeds="",
    ) -> io.NodeOutput:
        given = (model, source_reference_net, driving_reference_net, clip_vision, vae)
        parts = model_of(face_anon_model, *given, vae_name=vae_by_wire(cls))
        check_degree(degree)
        sampler = SamplerSettings(sampler_name, scheduler, steps, guidance_scale, guidance_from, guidance_to)
        painting = PaintSettings(
            degree, seed, with_own(sampler, parts.folder), faces_at_once, own_seeds(faces, face_seeds)
        )
        pasting = PasteSettings(feather, region, colour_match, (), fallback, min_size, keep)
        choice = AttemptSettings(attempts, keep_traits, degree_mode)
        proof = proof_of(parts, verify, keep, choice)
        written, done = anonymize_video(
            *(_clip(video, report), _new_file(), faces, watched(cls, parts)),
            painting=painting,
            pasting=pasting,
            identity=identity,
            proof=proof,
        )
        notes = [shown(parts.demonstration)] if parts.demonstration else []
        if notes and proof is not None:
            notes.append(on_drawn_faces(shown(Path(parts.folder).name), done.entries))
        report = done.noting(*notes, *notes_on_choice(proof, choice), *note_on_numbers(faces, keep, "keep"))
        return _changed(cls, _clip(video), written, faces, report)


class FaceAnonRedactVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonRedactVideo",
            display_name="Redact Video",
            category=VIDEO,
            description="Covers every face of a video of any length, without any model." + _KEEPS,
            search_aliases=["blur video", "pixelate video", "redact video"],
            inputs=[
                io.Video.Input("video", tooltip="Of Load Video, also trimmed."),
                FacesSocket.Input("faces", tooltip="Of Track Faces in Video."),
                *redaction_inputs(),
                ReportSocket.Input("report", optional=True, tooltip="Of an earlier step on the same video."),
                keep_input(COVERED_BUT_KEPT),
            ],
            outputs=video_outputs(),
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls,
        video,
        faces,
        mode=_REDACT.mode,
        shape=_REDACT.shape,
        detail=_REDACT.detail,
        margin=_REDACT.margin,
        report=None,
        keep=_REDACT.keep_faces,
    ) -> io.NodeOutput:
        settings = RedactSettings(mode, shape, detail, margin, keep)
        written, done = redact_video(_clip(video, report), _new_file(), faces, settings, frame_progress(cls))
        return _changed(cls, _clip(video), written, faces, done.noting(*note_on_numbers(faces, keep, "keep")))


def _clip(video, report=None) -> Clip:
    return Clip(video.get_stream_source(), video.get_active_trim_window(), report)


def _new_file() -> Path:
    """A name in ComfyUI's temporary folder, which it empties at its next start."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"face_anonymizer_{uuid.uuid4().hex}.mp4"


def _changed(node, clip: Clip, written: Path, faces, report) -> io.NodeOutput:
    """The video and its report; a page sees a few frames of it before and after."""
    output = io.NodeOutput(InputImpl.VideoFromFile(str(written)), report, ui=show_report(node, report))
    if shows_pictures(node):
        output.ui |= show_pictures(node, compared(clip.source, str(written), faces, _COMPARED, clip.window))
    return output
