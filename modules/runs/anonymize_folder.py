"""A run over folders from beginning to end: what is to be done, the ComfyUIs that do it, and the report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from ..faces.settings import KEEP
from ..files import remove_parts, sha256_of, sha256_of_folder
from ..host.location import PACK, HostMissing, find_comfyui, pack_version
from ..model import checkpoint
from ..model.own import OWN_GUIDANCE, OWN_SIZE, OWN_STEPS
from ..output.formats import EXTENSIONS
from ..photos.sample_files import CLIP, PICTURES
from ..proof.proof import Proof
from ..terminal import shown
from . import folder_proof
from . import folder_report as reports
from .anonymous_report import without_names
from .demo import check_demo
from .engines import COMFYUI, DIFFUSERS, EngineMissing, choose_engine
from .folder_options import FolderOptions
from .folder_run import FolderRun, ShowStep
from .jobs import PHOTO, VIDEO, Found, Job, PlanRefused, find_sources, plan_jobs, unfinished
from .journal import Journal, JournalRefused
from .journal_lines import check_summary
from .prompts import load_prompt, node_classes
from .publishing import Outcome, RunStopped
from .server import ServerFailed
from .servers import check_server, clients_for, use_servers

GRAPHS = PACK / "workflows" / "api"

_LARGE = 1 << 30  # bytes, of a model of which one waits for the digest
_NOT_HERE = checkpoint.ModelSettings(resolution=OWN_SIZE, steps=OWN_STEPS, guidance_scale=OWN_GUIDANCE)
_BY_FRAMES = ("FaceAnonTrackVideo", "FaceAnonRedactVideo")  # nodes whose steps are frames
_DIGESTED = 1 << 30  # bytes at most, of a file that is skipped, for its digest in an anonymous report

Say = Callable[[str], None]


class OutputUnwritable(RuntimeError):
    """The output folder cannot be made or written."""


def run_folder(options: FolderOptions, show_report: Callable[[Mapping], None], say: Say) -> int:
    """anonymize_folder as a command: what ends it is said.

    Returns:
        The exit status: 0 all done, 1 not all, refused or stopped, 2 nowhere to write or nothing that paints, 130
        interrupted.
    """
    try:
        return 0 if anonymize_folder(options, show_report, say) else 1
    except RunStopped as error:
        say(f"\nStopped: {error}\nFinished files are kept; the same command goes on.")
        return 1
    except (PlanRefused, JournalRefused) as error:
        say(str(error))
        return 1
    except (HostMissing, ServerFailed, OutputUnwritable, EngineMissing) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("\nInterrupted; finished files are kept, and the same command goes on.")
        return 130


def anonymize_folder(options: FolderOptions, show_report: Callable[[Mapping], None], say: Say) -> bool:
    """Do what is not done yet of all that the options name.

    Args:
        options: what is asked for.
        show_report: called with the report at the end, also where the run stops before it.
        say: takes lines of progress and warnings.

    Returns:
        Whether everything is done, could be read and has no face left open, broken or seen as its original, so that
        the page's headline is not red: what is no picture does not count, nor do faces that the options allow to be
        kept. What nobody could measure or compare is named, and counts as done.

    Raises:
        PlanRefused, JournalRefused: the options, or what is in the output folder, do not allow it.
        RunStopped: no further file can be done; what is done is kept.
        OutputUnwritable, HostMissing, ServerFailed, EngineMissing: there is nowhere to write, or nothing that paints.
    """
    engine = choose_engine(DIFFUSERS if options.source is not None else options.engine, options.servers)
    found = find_sources(list(options.paths), options.output)
    if options.source is not None:
        found = without_videos(found)
    if not found.sources:
        reasons = sorted((found.undone | found.skipped).items())
        why = "".join(f"\n{shown(name)}: {shown(reason)}" for name, reason in reasons)
        raise PlanRefused(f"No photo or video that can be done in {', '.join(map(shown, options.paths))}.{why}")
    if engine.why:
        say(engine.why)
    if options.painted_by and not (options.model or options.demo):
        check_demo(found.sources, [PACK / name for name in (*PICTURES.values(), CLIP)])
    folder = find_model_folder(options, engine.name)
    own = read_own_settings(folder)
    if folder and not options.servers and sum(path.stat().st_size for path in folder.rglob("*")) > _LARGE:
        say(f"Reading {folder} for its digest ...")
    settings = options.of_results(own) | find_makers(None if options.servers else folder)
    if engine.name == DIFFUSERS and folder:  # which paints the same but for rounding; one folder has one
        settings |= {"engine": engine.name} | ({"source": sha256_of(options.source)} if options.source else {})
    with open_journal(options.output, settings) as journal:
        known = {source: entry["result"] for source, entry in journal.entries.items()}
        suffixes = {PHOTO: EXTENSIONS[options.format], VIDEO: ".mp4"}
        jobs = plan_jobs(found.sources, options.ending, suffixes, known)
        remove_parts({journal.output, *(journal.place(job.result).parent for job in jobs)})
        left = unfinished(jobs, journal)
        ours = {reports.REPORT_NAME: reports.is_ours, **folder_proof.NAMES}
        for path, is_ours in ((journal.output / name, is_ours) for name, is_ours in ours.items()):
            if not is_ours(path):
                raise JournalRefused(
                    f"Nothing is overwritten, and {shown(path)} is no report of this script. Move it away."
                )
        errors: dict[str, str] = {}
        wrong: list[object] = []
        try:
            if left:
                if own.notice:
                    say(reports.format_banner(f"{options.painted_by}: {own.notice}"))
                if engine.name == DIFFUSERS:
                    do_jobs_here(options, journal, folder, left, errors)
                else:
                    prompts = load_prompts(options, settings, left)
                    do_jobs(options, FolderRun(journal, prompts, bool(options.servers)), left, errors, say)
        finally:
            if journal.entries or errors:
                made = reports.make_report(settings, list_files(found, jobs, journal, left, errors))
                keeps = options.fallback == KEEP
                proof = folder_proof.prove(made, (own.notice,) if own.notice else ())
                wrong = [*reports.incomplete(made), *reports.left_open(made, keeps)]
                wrong += folder_proof.red_files(proof, keeps)
                show_report(made)
                for line in folder_proof.lines_of(proof, made):
                    say(line)
                if options.anonymous_report:
                    made = without_names(made, find_digests(options, found, journal))
                write_report(made, proof, journal.output, say)
    return not (errors or found.unreadable or found.undone or wrong)


def without_videos(found: Found) -> Found:
    """What was found, with the videos among what is not done: the face of one photo is put on photos alone."""
    why = "a video, and --source swaps faces in photos alone: without --source its faces become strangers"
    videos = {source.name: why for source in found.sources if source.kind == VIDEO}
    photos = [source for source in found.sources if source.kind != VIDEO]
    return found._replace(sources=photos, undone=found.undone | videos)


def load_prompts(options: FolderOptions, settings: dict, left: list[Job]) -> dict[str, dict]:
    """Kind of source -> the graph for it, with the settings, of the kinds that are left."""
    kinds = {job.source.kind for job in left}
    return {kind: load_prompt(GRAPHS, options.task, kind, settings | options.of_kind(kind)) for kind in kinds}


def find_model_folder(options: FolderOptions, engine: str = COMFYUI) -> Path | None:
    """The folder of the model that paints, as far as this machine has it; None for a redaction.

    Of the models of a named server only those that ship with the pack are known here.

    Args:
        options: what is asked for.
        engine: COMFYUI; DIFFUSERS also takes the path of a folder, and needs no ComfyUI.

    Raises:
        PlanRefused: DIFFUSERS does not find it, or COMFYUI is given a path.
    """
    name = options.painted_by
    if name is None:
        return None
    is_path = (Path(name) / checkpoint.UNET / "config.json").is_file()
    if engine == DIFFUSERS and is_path:
        return Path(name)
    bases = [checkpoint.PACK_MODELS]
    if not options.servers:
        try:
            bases.insert(0, find_comfyui() / "models" / "face_anon")
        except HostMissing:
            if engine != DIFFUSERS:
                raise
    known = checkpoint.find_model_folders(bases)
    if engine == COMFYUI and name not in known and (is_path or len(Path(name).parts) > 1):
        raise PlanRefused(
            f"--model {name} is a path, but ComfyUI loads models by their names: put the folder, or a link to it, into "
            f"its models/face_anon, and name it --model {Path(name).name}. Or: --engine diffusers, which takes a path."
        )
    if engine == DIFFUSERS and name not in known:
        raise PlanRefused(
            f'There is no model "{name}", neither as a folder nor in {" or ".join(map(str, bases))}; there is: '
            f"{', '.join(known) or 'none'}. `{checkpoint.GET_MODELS}` downloads the published one."
        )
    return known.get(name)


def read_own_settings(folder: Path | None) -> checkpoint.ModelSettings:
    """The settings of a model's own folder; without one the values that the nodes take for the model's own.

    A server knows its models, and only those of the pack are known here too.

    Raises:
        PlanRefused: its face_anon.json is not readable.
    """
    try:
        return checkpoint.read_settings(folder) if folder else _NOT_HERE
    except ValueError as error:
        raise PlanRefused(str(error)) from None


def find_makers(folder: Path | None) -> dict:
    """What results are made with beside the settings: the version of the pack and the contents of the model's folder.

    With them in the journal, one output folder never holds results of two versions or of two models of one name.

    Args:
        folder: of the model, all of which is read; None for a redaction, or where the model is a server's.
    """
    model = {"model_sha256": sha256_of_folder(folder, (".safetensors", ".json"))} if folder else {}
    return {"pack": pack_version(), **model}


def open_journal(output: Path, settings: Mapping) -> Journal:
    """The journal of the output folder; OutputUnwritable where it cannot be written."""
    try:
        return Journal(output, settings, check_summary)
    except OSError as error:
        raise OutputUnwritable(
            f"Cannot write into {shown(output)}: {error.strerror}. Allow writing there or take another --output."
        ) from None


def do_jobs(options: FolderOptions, run: FolderRun, jobs: list[Job], errors: dict[str, str], say: Say) -> None:
    """Do the jobs on the servers that the options name, or on one of our own.

    Args:
        options: what is asked for.
        run: of the output folder.
        jobs: what is not done yet.
        errors: source -> why; filled here with the jobs that fail.
        say: takes lines of progress.

    Raises:
        RunStopped: no further job can be done.
        PlanRefused: a server lacks the model.
        HostMissing, ServerFailed: there is no usable ComfyUI.
    """
    with use_servers(options.servers, say) as servers:
        for server in servers:
            check_server(server, set().union(*map(node_classes, run.prompts.values())), options.painted_by)
        clients = clients_for(servers, options.workers or len(servers))
        for client in clients:
            client.asks_makers = bool(options.servers)
        alone = len(clients) == 1
        with _bars(len(jobs), errors, alone) as (note, steps):
            run.do(jobs, clients, note, _steps_on(steps) if alone else None)


def do_jobs_here(
    options: FolderOptions, journal: Journal, model: Path | None, jobs: list[Job], errors: dict[str, str]
) -> None:
    """Do the jobs in this process, by diffusers' networks.

    Args:
        options: what is asked for.
        journal: of the output folder.
        model: folder of the model that paints; None for a redaction.
        jobs: what is not done yet.
        errors: source -> why; filled here with the jobs that fail.

    Raises:
        RunStopped: no further job can be done.
        PlanRefused: the photo that gives the faces cannot be read, or the model not be loaded.
    """
    from ..headless.folder_run import EngineRun  # with torch, which a run on servers does without

    with _bars(len(jobs), errors) as (note, steps):
        try:
            run = EngineRun(journal, model, options.source, steps, options.of_kind(VIDEO).get("steps"))
        except (OSError, ValueError) as error:
            raise PlanRefused(str(error)) from None
        run.do(jobs, note)


@contextlib.contextmanager
def _bars(count: int, errors: dict[str, str], follows_steps: bool = True) -> Iterator[tuple[Callable, tqdm]]:
    """A bar of files, as what takes each outcome and fills `errors`, and one of steps for what is done just now."""
    many = count > 1
    with (
        tqdm(total=count, unit="file", disable=None if many else True) as files,
        tqdm(unit="step", position=int(many), leave=False, disable=None if follows_steps else True) as steps,
    ):

        def note(outcome: Outcome) -> None:
            files.update()
            if outcome.error:
                errors[outcome.job.source.name] = outcome.error

        yield note, steps


def _steps_on(bar: tqdm) -> Callable[[Job, dict], ShowStep]:
    """What FolderRun.do wants as show_step: the bar starts anew with every node that reports steps, and names it."""

    def follow(job: Job, prompt: dict) -> ShowStep:
        current = None

        def show(node: str, value: int, maximum: int) -> None:
            nonlocal current
            if node != current:
                current = node
                bar.reset(total=maximum)
                bar.unit = "frame" if prompt[node]["class_type"] in _BY_FRAMES else "step"
                bar.set_description(f"{shown(job.source.path.name)}: {prompt[node]['_meta']['title']}")
            bar.update(value - bar.n)

        return show

    return follow


def list_files(found: Found, jobs: list[Job], journal: Journal, left: list[Job], errors: dict) -> Iterator[dict]:
    """List every file with its outcome.

    Args:
        found: everything below the paths of the command.
        jobs: one a source.
        journal: of the output folder.
        left: the jobs that were not done when the run began.
        errors: source -> why, of the jobs that failed.

    Yields:
        The files as folder_report.make_report takes them.
    """
    again = {job.source.name for job in left}
    for job in jobs:
        name = job.source.name
        entry = journal.entries.get(name)
        if name in errors:
            yield {"source": name, "outcome": reports.FAILED, "error": errors[name]}
        elif entry and (name not in again or (journal.output / job.result).exists()):
            yield {"source": name, "outcome": reports.DONE} | {key: entry[key] for key in entry if key != "sha256"}
        else:
            yield {"source": name, "outcome": reports.PENDING}
    for name, error in found.unreadable.items():
        yield {"source": name, "outcome": reports.FAILED, "error": error}
    for name, why in (found.skipped | found.undone).items():
        yield {"source": name, "outcome": reports.SKIPPED, "error": why}


def find_digests(options: FolderOptions, found: Found, journal: Journal) -> dict[str, str]:
    """The name of every source and result -> the SHA-256 of the file, as far as it can be read.

    Args:
        options: what was asked for.
        found: everything below the paths of the command.
        journal: of the output folder.
    """
    digests: dict[str, str] = {}
    for entry in journal.entries.values():
        digests |= {entry["source"]: entry["sha256"], entry["result"]: entry["result_sha256"]}
    paths = {source.name: source.path for source in found.sources}
    for name in found.skipped | found.undone:
        for place in (path / name if path.is_dir() else path for path in options.paths):
            if place.name == Path(name).name and place.is_file() and place.stat().st_size <= _DIGESTED:
                paths[name] = place
    for name, path in paths.items():
        with contextlib.suppress(OSError):
            digests.setdefault(name, sha256_of(path))
    return digests


def write_report(report: Mapping, proof: Proof, output: Path, say: Say) -> None:
    """Write the report, as JSON, page and table; where that is not possible, it is a line and no error, as the results
    are there all the same.

    Args:
        report: of folder_report.make_report.
        proof: of it.
        output: the output folder.
        say: takes the line.
    """
    try:
        reports.write_report(report, output)
        folder_proof.write(proof, output)
    except OSError as error:
        say(f"\nThe report could not be written into {shown(output)}: {error.strerror}")
