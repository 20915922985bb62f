"""A dataset from the options to the exit status: checked, planned, done on Ray, counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from tqdm import tqdm

from ..faces.settings import KEEP
from ..files import sha256_of, sha256_of_folder
from ..host import requirements
from ..host.location import PACK
from ..runs import engines
from ..runs.anonymize_folder import find_makers, find_model_folder, read_own_settings
from ..runs.engines import DIFFUSERS, EngineMissing
from ..runs.folder_report import format_banner
from ..runs.jobs import PlanRefused as ModelRefused
from ..terminal import shown
from . import folders, parts, plan, rows, state, tables
from .chunks import Shard
from .ends import Stopped, Told
from .options import FOLDER, PARQUET, DatasetOptions
from .places import Place
from .state import OutputRefused, OutputUnwritable
from .work import Work

REPORT = "face_anonymizer_report.json"
REPORT_SCHEMA = "face-anonymizer/dataset-report/1"
_PACKAGES = ("ray", "pyarrow")
_LARGE = 1 << 30  # bytes of a model, whose digest takes a while

Say = Callable[[object], None]
Runner = Callable[[Work, Sequence[Shard], Told], None]  # does shards, none of which is done; Stopped


class RunEnded(RuntimeError):
    """Not all could be done; what is done is kept."""


def run_dataset(options: DatasetOptions, say: Say, runner: Runner | None = None) -> int:
    """Do a dataset, and say what ends it.

    Args:
        options: what is asked for.
        say: takes lines of progress and warnings.
        runner: does the shards; None: Ray, where the options say.

    Returns:
        The exit status: 0 all done, 1 not all, refused or stopped, 2 nowhere to write or packages are missing, 130
        interrupted.
    """
    try:
        return 0 if anonymize_dataset(options, say, runner) else 1
    except RunEnded as error:
        say(f"\nStopped: {error}\nFinished shards are kept, and the chunks of others; the same command goes on.")
        return 1
    except (plan.PlanRefused, ModelRefused, OutputRefused, tables.WrongTable) as error:
        say(str(error))
        return 1
    except (EngineMissing, OutputUnwritable) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("\nInterrupted. Finished shards are kept, and the chunks of others; the same command goes on.")
        return 130


def anonymize_dataset(options: DatasetOptions, say: Say, runner: Runner | None = None) -> bool:
    """Do what is not done yet of a dataset.

    Args:
        options: what is asked for.
        say: takes lines of progress and warnings.
        runner: does the shards; None: Ray, where the options say.

    Returns:
        Whether every picture has a result, and no face stayed open that was not meant to.

    Raises:
        plan.PlanRefused, ModelRefused, OutputRefused, WrongTable: it cannot be done as it is asked for.
        EngineMissing, OutputUnwritable: packages are missing, or the output cannot be written.
        RunEnded: no further shard can be done.
    """
    if runner is None:
        _check_packages()
        runner = _on_ray(options, say)
    found = _reading(lambda: plan.find(options))
    if found.skipped:
        say(f"Left out: {plan.said(found.skipped)} (of another kind than {found.form}).")
    work, notice = _work(options, found.form, say)
    output = Place(options.output)
    first = plan.plan(found, plan.digest_of(work.settings), options.faces.format)
    if found.form == PARQUET:
        for shard in first:
            _reading(lambda shard=shard: tables.check(shard, options.column, options.keep))
    with _claimed(output, work, say) as claim:
        work = replace(work, run=claim.run)
        shards, marks = _left(output, found, work, options.faces.format)
        if notice and shards:
            say(format_banner(f"{options.faces.painted_by}: {notice}"))
        try:
            if shards:
                before = f" ({len(marks)} are done already)" if marks else ""
                say(f"{len(shards)} shards are to be done{before}.")
                _do(work, shards, runner, claim, marks)
            else:
                say("All shards are done already.")
        finally:
            totals = rows.added(mark["totals"] for mark in marks.values())
            _report(work, found.skipped, marks, totals, say)
    open_faces = totals["broken"] + (0 if options.faces.fallback == KEEP else totals["kept"])
    return not (totals["failed"] or totals["cut"] or open_faces)


def _check_packages() -> None:
    engines.choose_engine(DIFFUSERS)
    if lacks := requirements.missing(_PACKAGES):
        where = str(PACK) if (PACK / "pyproject.toml").is_file() else "face-anonymizer"
        raise EngineMissing(
            f"{' and '.join(lacks)} {'is' if len(lacks) == 1 else 'are'} missing: pip install '{where}[dataset]' "
            "brings what datasets need beside the engine."
        )


def _reading(do):
    """What reads the inputs; where it cannot, that is said."""
    try:
        return do()
    except (plan.PlanRefused, tables.WrongTable):
        raise
    except (OSError, ValueError) as error:
        raise plan.PlanRefused(f"The input cannot be read: {error}") from None


def _work(options: DatasetOptions, form: str, say: Say) -> tuple[Work, str]:
    """What the workers are told, and what the model's folder says of it."""
    folder = find_model_folder(options.faces, DIFFUSERS)
    own = read_own_settings(folder)
    if folder and sum(path.stat().st_size for path in folder.rglob("*")) > _LARGE:
        say(f"Reading {folder} for its digest ...")
    settings = options.faces.of_results(own) | find_makers(folder)
    settings |= {"form": form, "batch": options.batch, "keep": list(options.keep), "schema": state.SCHEMA}
    if form == PARQUET:
        settings |= {"column": options.column}
    if folder:
        settings |= {"model_configs_sha256": sha256_of_folder(folder, (".json",))}
    source = None
    if options.faces.source is not None:
        try:
            source = options.faces.source.read_bytes()
        except OSError as error:
            raise plan.PlanRefused(f"{shown(options.faces.source)} cannot be read: {error.strerror}") from None
        _check_source(source, shown(options.faces.source), settings)
        settings |= {"source": sha256_of(options.faces.source)}
    work = Work(
        settings,
        str(Place(options.output)),
        run="",
        model=str(folder.resolve()) if folder else None,
        source=source,
        column=options.column,
        keep=tuple(options.keep),
        batch=options.batch,
    )
    return work, own.notice if folder and own.notice else ""


def _check_source(data: bytes, name: str, settings: dict) -> None:
    """That a swap's source shows a face: else every picture of the dataset would fail."""
    from ..headless.anonymizer import Anonymizer  # and with it torch, which the driver else needs not
    from ..headless.folder_run import options_of
    from ..photos.reading import read_photo

    try:
        found = Anonymizer().detect(read_photo(data).seen, replace(options_of(settings).detecting, max_faces=0))
    except ValueError as error:
        raise plan.PlanRefused(f"{name}: {error}") from None
    if not len(found):
        raise plan.PlanRefused(f"{name} shows no face that is found: take a photo of one from the front.")


def _claimed(output: Place, work: Work, say: Say) -> state.Claim:
    try:
        state.open_output(output, work.settings)
        return state.Claim(output, say)
    except (OSError, ValueError) as error:
        raise OutputUnwritable(
            f"Cannot write into {shown(output)}: {error}. Allow writing there or take another --output."
        ) from None


def _left(output: Place, found: plan.Found, work: Work, format: str) -> tuple[list[Shard], dict[str, dict]]:
    """The shards that are not done, with their finished chunks; and the marks of those that are."""
    service = output.below(state.FOLDER)
    marks = {id: mark for id, mark in state.marks_of(output).items() if output.size(mark["result"]) == mark["bytes"]}
    known: dict[str, str] = {}
    if found.form == FOLDER:
        for mark in marks.values():
            known |= folders.names_in(output.read(mark["result"]))
    shards = [s for s in plan.plan(found, plan.digest_of(work.settings), format, known) if s.id not in marks]
    there = parts.numbers_of(service)
    for id in set(there) - {shard.id for shard in shards}:
        parts.Parts(service, id).remove()
    # a file that is another now than when it was done: its result is made anew
    results = {shard.result for shard in shards}
    marks = {id: mark for id, mark in marks.items() if mark["result"] not in results}
    return [replace(shard, done=there.get(shard.id, frozenset())) for shard in shards], marks


def _on_ray(options: DatasetOptions, say: Say) -> Runner:
    def run(work: Work, shards: Sequence[Shard], told: Told) -> None:
        from .on_ray import Machines, cluster, run_shards

        machines = Machines(options.address, options.workers, options.gpus_per_worker)
        with cluster(machines, say):
            run_shards(work, shards, machines, told)

    return run


def _do(work: Work, shards: list[Shard], runner: Runner, claim: state.Claim, marks: dict[str, dict]) -> None:
    """Do the shards; `marks` gets those that are done. RunEnded."""
    with tqdm(unit="picture", disable=None) as bar:
        try:
            runner(work, shards, _Hears(bar, claim, marks))
        except Stopped as error:
            raise RunEnded(str(error)) from None


class _Hears:
    """Moves the bar and fills the marks; ends the run where it has no claim any more."""

    def __init__(self, bar: tqdm, claim: state.Claim, marks: dict[str, dict]):
        self._bar, self._claim, self._marks = bar, claim, marks

    def saved(self, pictures: int) -> None:
        self._bar.update(pictures)
        if self._claim.lost:
            raise RunEnded("another run has taken over the output folder, as this one gave no sign of life")

    def done(self, shard: Shard, mark: dict) -> None:
        self._marks[shard.id] = mark


def _report(work: Work, skipped: dict[str, int], marks: dict, totals: dict, say: Say) -> None:
    """Write what was done of all shards, and say it."""
    output = Place(work.output)
    trouble = ("failed", "cut", "broken", "kept", "elsewhere")
    report = {
        "schema": REPORT_SCHEMA,
        "settings": dict(work.settings),
        "totals": totals,
        "left_out": skipped,
        "shards": [
            {"name": mark["name"], "result": mark["result"], "totals": mark["totals"]}
            for mark in sorted(marks.values(), key=lambda mark: mark["name"])
        ],
    }
    try:
        output.write(REPORT, json.dumps(report, indent=1).encode() + b"\n")
    except OSError as error:
        say(f"\nThe report could not be written into {shown(output)}: {error}")
    say(f"\n{len(marks)} shards are done: " + ", ".join(f"{count} {name}" for name, count in totals.items() if count))
    for mark in report["shards"]:
        if told := [f"{mark['totals'][name]} {name}" for name in trouble if mark["totals"].get(name)]:
            say(f"{shown(mark['name'])}: {', '.join(told)}; its rows say which and why")
