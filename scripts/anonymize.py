"""Anonymize photos and videos, single files or whole folders: the shipped graphs, run headless in ComfyUI.

    python scripts/with_env.py scripts/anonymize.py PHOTOS clip.mp4 --output OUT --model face-anon-simple
    python scripts/with_env.py scripts/anonymize.py PHOTOS --output OUT --redact
    python scripts/with_env.py scripts/anonymize.py PHOTOS --output OUT --redact --server http://gpu:8188 --workers 2

Each source becomes OUT/FOLDERS/NAME_anonymized.png or .mp4 (NAME_redacted with --redact), without metadata. Folders are
read with all below them; hidden files and linked folders are left out, and other files are listed as skipped. Sources
are never touched and nothing is overwritten. A result is written whole or not at all: after a kill, Ctrl-C or a full
disk the same command goes on where it stopped (OUT/face_anonymizer_journal.jsonl). A file that cannot be read is
reported and the rest is done. OUT/face_anonymizer_report.json says what became of every file and face; it and the
journal name the sources, so keep them when you publish the results.

The ComfyUI that this starts works in a temporary folder, which is removed at the end, after a kill too. With --server
a running one is used: ComfyUI deletes no file on request, so uploads (under random names) stay in its temp folder until
it starts again, and results and previews in its output and temp folders. Use only servers that may see the faces.

A missed face is a leak: photos are searched thoroughly, videos with --thorough all (else a face that is lost for a few
frames is covered from those around), and faces that cannot be painted are redacted (--fallback). Without --model and
--redact the demo model is used, which ships with the pack and paints synthetic faces of nobody: it shows that and how
everything works, and is not for real use. Steps, guidance and crop size are those that a model says of itself.

Exit status: 0 all done, 1 refused, stopped or some files failed, 2 wrong arguments, an output folder that cannot be
written, or no usable ComfyUI, 130 interrupted.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable
from tqdm import tqdm

from face_anonymizer.modules.files import remove_parts
from face_anonymizer.modules.host.location import PACK, HostMissing, find_comfyui
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.runs import folder_report as reports
from face_anonymizer.modules.runs.client import Client
from face_anonymizer.modules.runs.folder_run import FolderRun, Outcome, RunStopped
from face_anonymizer.modules.runs.jobs import PHOTO, VIDEO, Found, Job, PlanRefused, find_sources, plan_jobs, unfinished
from face_anonymizer.modules.runs.journal import Journal, JournalRefused
from face_anonymizer.modules.runs.prompts import load_prompt, node_classes
from face_anonymizer.modules.runs.server import Server, ServerFailed

GRAPHS = PACK / "workflows" / "api"
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


class OutputUnwritable(RuntimeError):
    """The output folder cannot be made or written."""


def main() -> int:
    options = parse_arguments()
    found = find_sources(options.paths, options.output)
    if not found.sources:
        raise PlanRefused(f"No photo or video in {', '.join(map(str, options.paths))}.")
    task = "redact" if options.redact else "anonymize"
    own = find_own_settings(options)
    settings = make_settings(options, own)
    with open_journal(options.output, settings) as journal:
        known = {source: entry["result"] for source, entry in journal.entries.items()}
        suffixes = {PHOTO: SUFFIXES[options.format], VIDEO: ".mp4"}
        jobs = plan_jobs(found.sources, "_redacted" if options.redact else "_anonymized", suffixes, known)
        remove_parts({journal.output, *((journal.output / job.result).parent for job in jobs)})
        left = unfinished(jobs, journal)
        if not reports.is_ours(report := journal.output / reports.REPORT_NAME):
            raise JournalRefused(f"Nothing is overwritten, and {report} is no report of this script. Move it away.")
        prompts = {
            kind: load_prompt(GRAPHS, task, kind, settings | settings_of_kind(options, kind))
            for kind in {job.source.kind for job in left}
        }
        errors: dict[str, str] = {}
        try:
            if left:
                if own.notice:
                    print(reports.format_banner(f"{options.model}: {own.notice}"), file=sys.stderr)
                do_jobs(options, FolderRun(journal, prompts), prompts, left, errors)
        finally:
            if journal.entries or errors:
                tell(reports.make_report(settings, list_files(found, jobs, journal, left, errors)), journal.output)
    return 1 if errors or found.unreadable else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a photo, a video, or a folder")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results; made if need be")
    parser.add_argument("--format", choices=SUFFIXES, default="png", help="of photos; png by default")
    parser.add_argument("--quality", type=int, default=95, help="1..100, of jpeg and webp")
    parser.add_argument("--server", action="append", metavar="URL", help="a running ComfyUI; again for more of them")
    parser.add_argument("--workers", type=int, help="files at a time, over all servers; one a server by default")
    parser.add_argument(
        "--min-score", type=float, default=0.35, help="of the detector; lower finds more, also no faces"
    )
    parser.add_argument(
        "--thorough",
        choices=("photos", "all", "none"),
        default="photos",
        help="where to look in tiles for small faces, which takes about ten times as long; photos by default",
    )
    paint = parser.add_argument_group("anonymize")
    paint.add_argument("--model", help="a folder under models/face_anon of ComfyUI; demo by default")
    paint.add_argument("--degree", type=float, default=1.25, help="0..2; 1.25 anonymizes (default)")
    paint.add_argument("--steps", type=int, help="1..1000; by default the model's own for photos, 25 for videos")
    paint.add_argument("--seed", type=int, default=0, help="of each file: face i of a photo has seed + i")
    paint.add_argument("--size", type=int, help="side of a photo's crop in pixels; the model's own by default")
    paint.add_argument(
        "--identity", choices=("same noise", "same face"), default="same noise", help="of a person in a video"
    )
    paint.add_argument(
        "--fallback",
        choices=("solid", "mosaic", "blur", "keep"),
        default="solid",
        help="for faces that are too small or came back broken; keep is a leak",
    )
    redact = parser.add_argument_group("redact")
    redact.add_argument("--redact", action="store_true", help="cover faces instead, without a model")
    redact.add_argument("--mode", choices=("solid", "mosaic", "blur"), default="solid", help="solid leaves nothing")
    redact.add_argument("--shape", choices=("ellipse", "box", "oval", "crop"), default="ellipse")
    redact.add_argument("--detail", type=float, default=6.0, help="samples that mosaic and blur leave across a face")
    options = parser.parse_args()
    ranges = {
        **{"degree": (0, 2), "steps": (1, 1000), "seed": (0, 2**64 - 1), "size": (64, 2048)},
        **{"min_score": (0.05, 1), "detail": (2, 32), "quality": (1, 100), "workers": (1, 64)},
    }
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            parser.error(f"--{name.replace('_', '-')} is {low} to {high}, not {value}")
    if options.redact and options.model:
        parser.error("--redact needs no --model: choose one")
    if options.workers and not options.server:
        parser.error("--workers needs --server: ComfyUI does one file at a time, so several only fill a queue")
    if options.server and not (options.model or options.redact):
        parser.error("--server needs --model or --redact")
    options.model = None if options.redact else options.model or checkpoint.DEMO
    return options


def find_own_settings(options: argparse.Namespace) -> checkpoint.Settings:
    """What the model says of itself, where it is on this machine; else what holds for the published one."""
    bases = [] if options.server else [find_comfyui() / "models" / "face_anon"]
    folder = checkpoint.find_model_folders([*bases, checkpoint.PACK_MODELS]).get(options.model)
    try:
        return checkpoint.read_settings(folder) if folder else checkpoint.Settings()
    except ValueError as error:
        raise PlanRefused(str(error)) from None


def make_settings(options: argparse.Namespace, own: checkpoint.Settings) -> dict:
    """Everything that makes results what they are. own: the model's."""
    common = {name: getattr(options, name) for name in ("min_score", "thorough", "format", "quality")}
    if options.redact:
        return {"task": "redact", **common, **{name: getattr(options, name) for name in ("mode", "shape", "detail")}}
    return {
        "task": "anonymize",
        **common,
        "steps": options.steps or own.steps,
        "guidance_scale": own.guidance_scale,
        "size": options.size or own.resolution,
        **{name: getattr(options, name) for name in ("model", "degree", "seed", "identity", "fallback")},
    }


def settings_of_kind(options: argparse.Namespace, kind: str) -> dict:
    """What differs between photos and videos. None: as the graph has it."""
    thorough = {"thorough": options.thorough in ("all", f"{kind}s")}
    # a model's own steps are for the paper's sampler, and the videos' graph has a faster one
    return thorough if kind == PHOTO else thorough | {"steps": options.steps}


def open_journal(output: Path, settings: dict) -> Journal:
    try:
        return Journal(output, settings)
    except OSError as error:
        raise OutputUnwritable(
            f"Cannot write into {output}: {error.strerror}. Allow writing there or take another --output."
        ) from None


def do_jobs(options: argparse.Namespace, run: FolderRun, prompts: dict, jobs: list[Job], errors: dict) -> None:
    """Do the jobs on the servers of the command line, or on one of our own. errors: source -> why, filled here."""
    with use_servers(options) as servers:
        for server in servers:
            check_server(server, set().union(*map(node_classes, prompts.values())), options)
        count = options.workers or len(servers)
        # A client can follow one prompt at a time.
        clients = [*servers, *(Client(servers[i % len(servers)].url) for i in range(len(servers), count))][:count]
        many = len(jobs) > 1
        with (
            tqdm(total=len(jobs), unit="file", disable=None if many else True) as files,
            tqdm(unit="step", position=int(many), leave=False, disable=None if count == 1 else True) as steps,
        ):

            def note(outcome: Outcome) -> None:
                files.update()
                if outcome.error:
                    errors[outcome.job.source.name] = outcome.error

            run.do(jobs, clients, note, _steps_on(steps) if count == 1 else None)


@contextlib.contextmanager
def use_servers(options: argparse.Namespace) -> Iterator[list[Client]]:
    if options.server:
        yield [Client(url) for url in options.server]
        return
    print(f"Starting ComfyUI of {find_comfyui()} ...", file=sys.stderr)
    with Server(arguments=("--max-upload-size", "1000000")) as server:
        yield [server]


def check_server(server: Client, classes: set[str], options: argparse.Namespace) -> None:
    """Raise ServerFailed unless the server answers and has the nodes, PlanRefused unless it has the model."""
    try:
        missing = sorted(name for name in classes if not server.get(f"/object_info/{name}"))
        if missing:
            raise ServerFailed(f"{server.url} lacks {', '.join(missing)}: install or update this pack there.")
        if options.redact:
            return
        info = server.get("/object_info/FaceAnonLoadModel")["FaceAnonLoadModel"]["input"]["required"]["model"]
    except (OSError, ValueError) as error:
        raise ServerFailed(f"{server.url} does not answer as ComfyUI does: {error}") from None
    known = info[1]["options"] if info[0] == "COMBO" else info[0]
    if options.model not in known:
        raise PlanRefused(
            f'There is no model "{options.model}" under models/face_anon of {getattr(server, "host", server.url)}; '
            f"there is: {', '.join(known) or 'none'}. `{checkpoint.GET_MODELS}` downloads the published one."
        )


def _steps_on(bar: tqdm):
    """What FolderRun.do wants as show_step: the bar starts anew with every node that reports steps, and names it."""

    def follow(job: Job, prompt: dict):
        current = None

        def show(node: str, value: int, maximum: int) -> None:
            nonlocal current
            if node != current:
                current = node
                bar.reset(total=maximum)
                bar.set_description(f"{job.source.path.name}: {prompt[node]['_meta']['title']}")
            bar.update(value - bar.n)

        return show

    return follow


def list_files(found: Found, jobs: list[Job], journal: Journal, left: list[Job], errors: dict) -> Iterator[dict]:
    """Every file with its outcome, as the report has it."""
    again = {job.source.name for job in left}
    for job in jobs:
        name = job.source.name
        entry = journal.entries.get(name)
        if name in errors:
            yield {"source": name, "outcome": reports.FAILED, "error": errors[name]}
        elif entry and (name not in again or (journal.output / job.result).exists()):
            hidden = ("sha256", "result_sha256")
            yield {"source": name, "outcome": reports.DONE} | {key: entry[key] for key in entry if key not in hidden}
        else:
            yield {"source": name, "outcome": reports.PENDING}
    for name, error in found.unreadable.items():
        yield {"source": name, "outcome": reports.FAILED, "error": error}
    for name, why in found.skipped.items():
        yield {"source": name, "outcome": reports.SKIPPED, "error": why}


def tell(report: dict, output: Path) -> None:
    """Write the report, print the table and every error."""
    print(reports.format_table(report))
    for file in report["files"]:
        if file["outcome"] == reports.FAILED:
            print(f"\n{file['source']}: {file['error']}", file=sys.stderr)
    try:
        reports.write_report(report, output)
    except OSError as error:
        print(f"\nThe report could not be written into {output}: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names of files may be no valid text
    try:
        sys.exit(main())
    except (PlanRefused, JournalRefused) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except RunStopped as error:
        print(f"\nStopped: {error}\nFinished files are kept; the same command goes on.", file=sys.stderr)
        sys.exit(1)
    except (HostMissing, ServerFailed, OutputUnwritable) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted; finished files are kept, and the same command goes on.", file=sys.stderr)
        sys.exit(130)
