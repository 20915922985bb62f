"""The folder of a published model: what is there, what is missing, and how it gets there.

A download hands its lines to `say`; what goes wrong is a GetModelsError.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..files import sha256_of
from ..host import location
from . import catalogue
from .hub import GetModelsError, HubUnreachable, Item, Published, Record, download, published_files

WORK_NAME = ".download"  # inside the model folder: the same disk, so that the last move is atomic

Say = Callable[[str], None]


@dataclass
class Plan:
    """A file to download, and what the hub publishes about it."""

    item: Item
    published: Published


class ModelFolder:
    """`<models>/face_anon/<name>`: what is there, what is missing, and how a missing file gets there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.work = folder / WORK_NAME
        self.record = Record(folder)

    def path(self, item: Item) -> Path:
        """Where a file of the catalogue has its place."""
        return self.folder / item.part / item.name

    def is_recorded(self, item: Item) -> bool:
        """Whether the file is there and in checksums.json; its content is not looked at."""
        return item.key in self.record.files and self.path(item).is_file()

    def note(self, item: Item) -> str:
        """For the listing: why an item would not be downloaded; empty if it would."""
        if not self.path(item).exists():
            return ""
        return "already there" if self.is_recorded(item) else "there, not from this script; will be compared"

    def check(self, item: Item) -> None:
        """Compare a recorded file with its recorded checksum; a difference is an error."""
        recorded, found = self.record.files[item.key]["sha256"], sha256_of(self.path(item))
        if recorded != found:
            raise GetModelsError(
                f"{self.path(item)} does not match its checksum.\n  recorded: {recorded}\n  on disk:  {found}\n"
                "It was changed or damaged after it was downloaded. Delete it and run the same command again."
            )

    def plan(self, items: list[Item], overrides: dict[str, str]) -> list[Plan]:
        """Ask the hub about files, and check its answers against the sums that are known.

        Args:
            items: of the catalogue.
            overrides: repository -> commit or branch, instead of the recorded or tested one.

        Returns:
            One plan an item.

        Raises:
            HubUnreachable: the hub does not answer.
            GetModelsError: it lacks a file or offers another than the known one, or the folder has files of another
                commit.
        """
        plans = []
        for repository in dict.fromkeys(item.repository for item in items):
            recorded = self.record.revision(repository)
            revision = overrides.get(repository) or recorded or catalogue.REVISIONS[repository]
            of_repository = [item for item in items if item.repository == repository]
            files = published_files(repository, revision, {item.remote for item in of_repository})
            for item in of_repository:
                if item.remote not in files:
                    raise GetModelsError(f"{repository} at {revision} has no file {item.remote}. Check --revision.")
                published = files[item.remote]
                if recorded and recorded != published.commit:
                    raise GetModelsError(
                        f"{self.folder} has files of {repository} at commit {recorded}, and --revision asks for "
                        f"{published.commit}. Use another --name, or delete the folder first."
                    )
                known = catalogue.PUBLISHED_SHA256.get((repository, item.remote))
                if known and published.commit == catalogue.REVISIONS[repository] and published.digest != known:
                    raise GetModelsError(
                        f"the hub offers another {item.remote} of {repository} than the one that was published.\n"
                        f"  known:   {known}\n  offered: {published.digest}\nDo not use it. If HF_ENDPOINT points to "
                        "a mirror, try without."
                    )
                plans.append(Plan(item, published))
        return plans

    def adopt(self, plan: Plan) -> bool:
        """Record a file that somebody put there by hand.

        Returns:
            Whether there is one.

        Raises:
            GetModelsError: it is another file than the published one.
        """
        path = self.path(plan.item)
        if not path.exists():
            return False
        if plan.item.convert is None and plan.published.digest_of(path) == plan.published.digest:
            self.record.add(plan.item, plan.published, sha256_of(path), path.stat().st_size)
            return True
        raise GetModelsError(
            f"{path} is there, but not from this script, and is not the published file.\n"
            "It is left as it is. Move it away and run the same command again, or name only the other parts with "
            "--only."
        )

    def bytes_needed(self, plans: list[Plan]) -> int:
        """Free bytes needed for `plans`, not counting what an earlier run already left in the work folder."""
        needed = 0
        for plan in plans:
            partial = plan.published.partial_in(self.work)
            needed += plan.published.size - (partial.stat().st_size if partial.exists() else 0)
            if plan.item.convert:
                needed += plan.published.size  # the part that is kept lies beside its source for a moment
        return needed

    def fetch(self, plan: Plan) -> None:
        """Download a file, and put it in its place. What a kill leaves in the work folder is gone on with."""
        item, target = plan.item, self.path(plan.item)
        source = ready = download(item, plan.published, self.work)
        try:
            catalogue.check_content(item, source)
            if item.convert:
                ready = source.with_suffix(".converted")
                item.convert(source, ready)
        except GetModelsError:
            source.unlink()  # it would be gone on with forever otherwise
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        # First the record, then the file: an end between the two costs a second download, not an unknown file.
        self.record.add(item, plan.published, sha256_of(ready), ready.stat().st_size)
        os.replace(ready, target)  # by hand: what is downloaded is gone on with, files.py's hidden files are not
        source.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the work folder; while parts are missing, only if no download is waiting in it to be finished."""
        if all(self.is_recorded(item) for item in catalogue.ITEMS):
            shutil.rmtree(self.work, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                self.work.rmdir()


def readable_size(size: int) -> str:
    """Bytes as people read them: 3.46 GB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"


def list_downloads(folder: ModelFolder, items: list[Item], overrides: dict[str, str], say: Say) -> None:
    """Say what would be downloaded; without the hub, with the sizes that the catalogue knows.

    Args:
        folder: of the model.
        items: of the catalogue.
        overrides: repository -> commit or branch, instead of the tested one.
        say: takes the lines.
    """
    notes = {item: folder.note(item) for item in items}
    try:
        plans = folder.plan(items, overrides)
        rows = [(plan.item, plan.published.commit, plan.published.size, notes[plan.item]) for plan in plans]
    except HubUnreachable as error:
        say(f"{error}\nThe sizes below are the ones this script knows, not asked for now.\n")
        rows = []
        for item in items:
            commit = folder.record.revision(item.repository) or catalogue.REVISIONS[item.repository]
            rows.append((item, overrides.get(item.repository, commit), item.size, notes[item]))
    total = _list(folder, rows, say)
    say(f"Total to download: {readable_size(total)}. Nothing was downloaded (--dry-run).")


def get_models(
    folder: ModelFolder,
    items: list[Item],
    overrides: dict[str, str],
    confirm: Callable[[str], bool],
    say: Say,
) -> None:
    """Download what is missing of `items`, and check what is there.

    Args:
        folder: of the model.
        items: of the catalogue.
        overrides: repository -> commit or branch, instead of the tested one.
        confirm: asked before anything is downloaded; False ends it.
        say: takes the lines of progress.

    Raises:
        GetModelsError: with the next step, HubUnreachable among them; what is there is then as it was.
    """
    missing = []
    for item in items:
        if folder.is_recorded(item):
            say(f"checking {folder.path(item)}")
            folder.check(item)
        else:
            missing.append(item)
    plans = [plan for plan in folder.plan(missing, overrides) if not folder.adopt(plan)] if missing else []
    if not plans:
        say(f"Everything is there and matches its checksum: {folder.folder}")
        return

    total = _list(folder, [(plan.item, plan.published.commit, plan.published.size, "") for plan in plans], say)
    existing = next(path for path in (folder.folder, *folder.folder.parents) if path.exists())
    needed, free = folder.bytes_needed(plans), shutil.disk_usage(existing).free
    if needed > free:
        raise GetModelsError(
            f"{readable_size(needed)} of free disk space needed in {existing}, {readable_size(free)} there. Free some, "
            "or use --models-dir for a folder on another disk (and list it in ComfyUI's extra_model_paths.yaml)."
        )
    say(f"Total to download: {readable_size(total)}; free disk space: {readable_size(free)}.")
    if not confirm("Download?"):
        raise GetModelsError("nothing was downloaded.")
    for plan in plans:
        folder.fetch(plan)
    folder.tidy()
    say(f"Done: {folder.folder}\nIn ComfyUI press R and choose {folder.folder.name} in Load Face Anonymizer Model.")


def models_folder(given: Path | None) -> Path:
    """The models folder: as given, or ComfyUI's, or the pack's own where there is no ComfyUI.

    Raises:
        GetModelsError: there is none, or an installed package stands where the pack would be.
    """
    if given is None:
        try:
            return Path(location.find_comfyui()) / "models"
        except location.HostMissing as error:
            is_a_clone = (location.PACK / "pyproject.toml").is_file() and (location.PACK / "nodes").is_dir()
            if is_a_clone and not os.environ.get("COMFYUI_PATH"):
                return location.PACK / "models"
            raise GetModelsError(
                f"{error}\nOr say where the models are to go, without a ComfyUI too: --models-dir FOLDER, one that is "
                "there; programs and commands then take FOLDER/face_anon/NAME as their model."
            ) from error
    if not given.is_dir():
        raise GetModelsError(f"{given} is not a folder. --models-dir wants ComfyUI's models folder, or one like it.")
    return given.resolve()


def _list(folder: ModelFolder, rows: Iterable[tuple[Item, str, int, str]], say: Say) -> int:
    """Say a list of files: item, commit, size, note. Returns the sum of the sizes without a note."""
    shown, total = None, 0
    for item, commit, size, note in rows:
        if shown != (item.repository, commit):
            shown = (item.repository, commit)
            say(f"{item.repository}  at {commit}")
        say(f"  {item.remote}  {readable_size(size)}{f'  ({note})' if note else ''}\n    -> {folder.path(item)}")
        total += 0 if note else size
    return total
