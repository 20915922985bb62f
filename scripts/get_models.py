#!/usr/bin/env python3
"""Download the published model files into the folder where the loader node looks for them.

Nothing in the node pack downloads by itself; this script does, and only when you start it:

    python scripts/get_models.py --dry-run            # what would be downloaded, how large, and where it goes
    python scripts/get_models.py                      # shows the same, asks, downloads
    python scripts/get_models.py --only unet,vae      # parts of the model
    python scripts/get_models.py --models-dir DIR     # a models folder that is not found by itself

It makes `<models>/face_anon/<name>/`:

    unet/, referencenet/, conditioning_referencenet/   hkung/face-anon-simple, as published
    image_encoder/                                     the vision part of openai/clip-vit-large-patch14
    vae/                                               stabilityai/sd-vae-ft-mse, as published
    checksums.json                                     sha256, repository and commit of every file

A file is put in place whole or not at all. Run the command again after a cut: it goes on where it stopped. Files that
are there and match `checksums.json` are not downloaded again; one that does not match is an error, never overwritten.

Exit status: 0 done, 1 refused or failed (the message names the next step), 2 wrong arguments, 3 hub not reachable,
130 interrupted. HF_ENDPOINT (another hub address) and HF_TOKEN are respected. Needs `huggingface_hub` and
`safetensors`, which ComfyUI's own requirements bring.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.downloads.hub import (
    GetModelsError,
    HubUnreachable,
    Item,
    Published,
    Record,
    download,
    published_files,
    sha256_of,
)

FACE_ANON = "hkung/face-anon-simple"
CLIP = "openai/clip-vit-large-patch14"
VAE = "stabilityai/sd-vae-ft-mse"

# Commits that the files are taken from, so that everybody gets the same bytes.
REVISIONS = {
    # The commit that adds the model card to the last upload of weights (9083211), as proposed in the repository's
    # discussion 1; the merge on `main` (0966720) has the same content. All three networks are in it.
    FACE_ANON: "575f54f93c9d8a67cefca98b8fa95288a4a4fb9e",
    CLIP: "32bd64288804d66eefd0ccbe215aa642df71cc41",
    VAE: "31f26fdeee1355a5c34592e401dd41e45d25a493",
}

# Sums known independently of what the hub says on the day, at the commits above. Files without one are checked
# against the hub's metadata of the commit.
PUBLISHED_SHA256 = {
    (FACE_ANON, "conditioning_referencenet/diffusion_pytorch_model.safetensors"):
        "9216c35961ce72a4cd82e843ae7cfb5bf4a3e44defbd39e3c2a2c4701f973bb3",
    (CLIP, "model.safetensors"): "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
    (VAE, "diffusion_pytorch_model.safetensors"): "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
}  # fmt: skip

VISION_PREFIX = "vision_model."
VISION_CONFIG_KEYS = (
    "attention_dropout", "hidden_act", "hidden_size", "image_size", "initializer_factor", "initializer_range",
    "intermediate_size", "layer_norm_eps", "num_attention_heads", "num_channels", "num_hidden_layers", "patch_size",
    "projection_dim",
)  # fmt: skip

WORK_NAME = ".download"  # inside the model folder: the same disk, so that the last move is atomic


# What is cut out of the CLIP repository --------------------------------------------------------------------------


def keep_vision_config(source: Path, target: Path) -> None:
    """Write the vision half of a CLIP config.json as the config of a `CLIPVisionModel`."""
    vision = json.loads(source.read_text(encoding="utf-8")).get("vision_config", {})
    missing = [key for key in VISION_CONFIG_KEYS if key not in vision]
    if missing:
        raise GetModelsError(
            f"the config.json of {CLIP} has no {', '.join(missing)} in its vision_config, so it is not the published "
            "file. Leave out --revision to use the tested commit."
        )
    config = {"architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model"}
    config |= {key: vision[key] for key in VISION_CONFIG_KEYS}
    target.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def keep_vision_tensors(source: Path, target: Path) -> None:
    """Copy the `vision_model.*` tensors of a safetensors file, unchanged; `position_ids` are buffers, not weights."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(source, framework="np") as tensors:
        names = [n for n in tensors.keys() if n.startswith(VISION_PREFIX) and not n.endswith("position_ids")]  # noqa: SIM118
        if not names:
            raise GetModelsError(
                f"the model.safetensors of {CLIP} has no {VISION_PREFIX}* tensors, so it is not the published file. "
                "Leave out --revision to use the tested commit."
            )
        # transformers refuses a file without this note
        save_file({name: tensors.get_tensor(name) for name in names}, target, metadata={"format": "pt"})


# The table of files ----------------------------------------------------------------------------------------------


def _network(part: str) -> list[Item]:
    weights = "diffusion_pytorch_model.safetensors"
    return [
        Item(part, FACE_ANON, f"{part}/config.json", "config.json", 1_880),
        Item(part, FACE_ANON, f"{part}/{weights}", weights, 3_463_726_000),
    ]


ITEMS = [
    *_network("unet"),
    *_network("referencenet"),
    *_network("conditioning_referencenet"),
    Item("image_encoder", CLIP, "config.json", "config.json", 4_519, keep_vision_config),
    Item("image_encoder", CLIP, "model.safetensors", "model.safetensors", 1_710_540_580, keep_vision_tensors),
    Item("vae", VAE, "config.json", "config.json", 547),
    Item("vae", VAE, "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors", 334_643_276),
]
PARTS = list(dict.fromkeys(item.part for item in ITEMS))


# The run ---------------------------------------------------------------------------------------------------------


@dataclass
class Plan:
    item: Item
    published: Published


class ModelFolder:
    """`<models>/face_anon/<name>`: what is there, what is missing, and how a missing file gets there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.work = folder / WORK_NAME
        self.record = Record(folder)

    def path(self, item: Item) -> Path:
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
        """Ask the hub about `items`, and check what it says against the sums that are known."""
        plans = []
        for repository in dict.fromkeys(item.repository for item in items):
            recorded = self.record.revision(repository)
            revision = overrides.get(repository) or recorded or REVISIONS[repository]
            files = published_files(repository, revision)
            for item in (item for item in items if item.repository == repository):
                if item.remote not in files:
                    raise GetModelsError(f"{repository} at {revision} has no file {item.remote}. Check --revision.")
                published = files[item.remote]
                if recorded and recorded != published.commit:
                    raise GetModelsError(
                        f"{self.folder} has files of {repository} at commit {recorded}, and --revision asks for "
                        f"{published.commit}. Use another --name, or delete the folder first."
                    )
                known = PUBLISHED_SHA256.get((repository, item.remote))
                if known and published.commit == REVISIONS[repository] and published.digest != known:
                    raise GetModelsError(
                        f"the hub offers another {item.remote} of {repository} than the one that was published.\n"
                        f"  known:   {known}\n  offered: {published.digest}\nDo not use it. If HF_ENDPOINT points to "
                        "a mirror, try without."
                    )
                plans.append(Plan(item, published))
        return plans

    def adopt(self, plan: Plan) -> bool:
        """Record a file that somebody put there by hand. False: there is none; an error: it is another file."""
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
        item, target = plan.item, self.path(plan.item)
        source = ready = download(item, plan.published, self.work)
        if item.convert:
            ready = source.with_suffix(".converted")
            item.convert(source, ready)
        target.parent.mkdir(parents=True, exist_ok=True)
        # First the record, then the file: an end between the two costs a second download, not an unknown file.
        self.record.add(item, plan.published, sha256_of(ready), ready.stat().st_size)
        os.replace(ready, target)
        source.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the work folder; while parts are missing, only if no download is waiting in it to be finished."""
        if all(self.is_recorded(item) for item in ITEMS):
            shutil.rmtree(self.work, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                self.work.rmdir()


def readable_size(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"


def show(folder: ModelFolder, rows: list[tuple[Item, str, int, str]]) -> int:
    """Print the list of files: item, commit, size, note. Returns the sum of the sizes without a note."""
    shown = None
    for item, commit, size, note in rows:
        if shown != (item.repository, commit):
            shown = (item.repository, commit)
            print(f"{item.repository}  at {commit}")
        print(f"  {item.remote}  {readable_size(size)}{f'  ({note})' if note else ''}\n    -> {folder.path(item)}")
    return sum(size for _, _, size, note in rows if not note)


def dry_run(folder: ModelFolder, items: list[Item], overrides: dict[str, str]) -> None:
    notes = {item: folder.note(item) for item in items}
    try:
        plans = folder.plan(items, overrides)
        rows = [(plan.item, plan.published.commit, plan.published.size, notes[plan.item]) for plan in plans]
    except HubUnreachable as error:
        print(f"{error}\nThe sizes below are the ones this script knows, not asked for now.\n")
        rows = []
        for item in items:
            commit = folder.record.revision(item.repository) or REVISIONS[item.repository]
            rows.append((item, overrides.get(item.repository, commit), item.size, notes[item]))
    total = show(folder, rows)
    print(f"Total to download: {readable_size(total)}. Nothing was downloaded (--dry-run).")


def confirm(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise GetModelsError("nobody to ask here. Add --yes to download without the question.") from None


def get_models(folder: ModelFolder, items: list[Item], overrides: dict[str, str], yes: bool) -> None:
    """Download what is missing of `items` and check what is there."""
    missing = []
    for item in items:
        if folder.is_recorded(item):
            print(f"checking {folder.path(item)}")
            folder.check(item)
        else:
            missing.append(item)
    plans = [plan for plan in folder.plan(missing, overrides) if not folder.adopt(plan)] if missing else []
    if not plans:
        print(f"Everything is there and matches its checksum: {folder.folder}")
        return

    total = show(folder, [(plan.item, plan.published.commit, plan.published.size, "") for plan in plans])
    existing = next(path for path in (folder.folder, *folder.folder.parents) if path.exists())
    needed, free = folder.bytes_needed(plans), shutil.disk_usage(existing).free
    if needed > free:
        raise GetModelsError(
            f"{readable_size(needed)} of free disk space needed in {existing}, {readable_size(free)} there. Free some, "
            "or use --models-dir for a folder on another disk (and list it in ComfyUI's extra_model_paths.yaml)."
        )
    print(f"Total to download: {readable_size(total)}; free disk space: {readable_size(free)}.")
    if not yes and not confirm("Download?"):
        raise GetModelsError("nothing was downloaded.")
    for plan in plans:
        folder.fetch(plan)
    folder.tidy()
    print(f"Done: {folder.folder}\nIn ComfyUI press R and choose {folder.folder.name} in Load Face Anonymizer Model.")


def models_folder(given: Path | None) -> Path:
    """The models folder: as given, or ComfyUI's."""
    if given is None:
        from face_anonymizer.modules.host.location import HostMissing, find_comfyui

        try:
            return Path(find_comfyui()) / "models"
        except HostMissing as error:
            raise GetModelsError(f"{error}\nOr say where the models are: --models-dir .../ComfyUI/models") from error
    if not given.is_dir():
        raise GetModelsError(f"{given} is not a folder. --models-dir wants ComfyUI's models folder, or one like it.")
    return given.resolve()


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'empty'}: choose from {', '.join(PARTS)}")
    return parts


def _folder_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a plain folder name (letters, digits, . _ -)")
    return text


def _revision(text: str) -> tuple[str, str]:
    repository, _, revision = text.partition("=")
    if repository not in REVISIONS or not revision:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted REPOSITORY=REVISION, one of {', '.join(REVISIONS)}")
    return repository, revision


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="get_models.py",
        description="Download the published model files for the Face Anonymizer nodes (about 12.4 GB).",
    )
    parser.add_argument("--dry-run", action="store_true", help="list repository, commit, file, size, destination; stop")
    parser.add_argument("--models-dir", type=Path, metavar="DIR", help="models folder (default: that of ComfyUI)")
    parser.add_argument(
        "--name", type=_folder_name, default="face-anon-simple", help="folder in face_anon (default: %(default)s)"
    )
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,...", help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--revision", type=_revision, action="append", default=[], metavar="REPOSITORY=REVISION",
        help="another commit or branch than the tested one; the commit it stands for is recorded",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="download without asking")
    options = parser.parse_args(arguments)

    try:
        folder = ModelFolder(models_folder(options.models_dir) / "face_anon" / options.name)
        items = [item for item in ITEMS if item.part in options.only]
        try:
            importlib.import_module("huggingface_hub")
            importlib.import_module("safetensors")
        except ImportError as error:
            raise GetModelsError(
                f"{error}. Use the Python that runs ComfyUI, or: {sys.executable} -m pip install huggingface_hub "
                "safetensors"
            ) from error
        if options.dry_run:
            dry_run(folder, items, dict(options.revision))
        else:
            get_models(folder, items, dict(options.revision), options.yes)
    except GetModelsError as error:
        print(f"get_models: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on where it stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
