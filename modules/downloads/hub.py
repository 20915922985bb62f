"""Published files: what the hub publishes of one, its download, and the sums it is held against.

The catalogue knows the files that are wanted, the model folder where they go. Here a file is known by what is
published: an `Item` names it, `published_files` asks for its size and sum at a commit, and `download` fetches it,
goes on with a download that was cut, and hands out nothing that does not match. `Record` is the checksums.json,
which lists where each file came from. What goes wrong is a `GetModelsError`.

What a hub says is data: a digest is one by all its digits, a size is a number and a limit, and neither is a path.
Only the standard library, but for the login that huggingface_hub keeps and tqdm's bar, where they are installed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..files import replace_whole, sha256_of
from . import transport
from .transport import TransportError

ALLOWED_SUFFIXES = (".safetensors", ".json")
RECORD_NAME = "checksums.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_PUBLIC_HUB = "https://huggingface.co"
_LARGEST = 1 << 50  # bytes, of a file: what is larger is no size
_SMALL_BYTES = 1 << 20  # a try that brings less than this is one of the _TRIES
_TRIES = 5


class GetModelsError(Exception):
    """Something the user must know; the text names the next step."""

    exit_status = 1


class HubUnreachable(GetModelsError):
    """The hub cannot be reached, or does not answer as a hub."""

    exit_status = 3


@dataclass(frozen=True)
class Item:
    """One file of the model folder, and where it comes from."""

    part: str  # folder inside the model folder, and what --only names
    repository: str
    remote: str  # path in the repository
    name: str  # file name in the folder
    size: int  # bytes of the remote file, for the listing without network; the hub's number counts otherwise
    convert: Callable[[Path, Path], None] | None = None  # makes the local file of the remote one; None: as it is

    def __post_init__(self):
        for path in (self.remote, self.name):
            if PurePosixPath(path).suffix not in ALLOWED_SUFFIXES:
                raise ValueError(f"{path}: only {' and '.join(ALLOWED_SUFFIXES)} files are accepted")

    @property
    def key(self) -> str:
        """Its name in checksums.json."""
        return f"{self.part}/{self.name}"


# Checksums -------------------------------------------------------------------------------------------------------


def git_blob_id(path: Path) -> str:
    """The id git gives a file's content: all that the hub has of files that are not in LFS (the small ones)."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Published:
    """What the hub publishes about one file at one commit.

    Args:
        commit: 40 hexadecimal digits.
        size: in bytes.
        digest: a SHA-256, or a git blob id where the file is not in LFS.
        in_lfs: whether the file is in LFS.
    """

    commit: str
    size: int
    digest: str
    in_lfs: bool

    def digest_of(self, path: Path) -> str:
        """The sum of a file on disk, of the kind of `digest`."""
        return sha256_of(path) if self.in_lfs else git_blob_id(path)

    def partial_in(self, work: Path) -> Path:
        """Where its download grows, named by its content: parts of two versions never mix."""
        return work / f"{self.digest}.partial"


class Record:
    """checksums.json of a model folder: for every file its SHA-256 and size, and where it came from.

    Args:
        folder: of the model.

    Raises:
        GetModelsError: the checksums.json that is there cannot be read.
    """

    def __init__(self, folder: Path):
        self.path = folder / RECORD_NAME
        try:
            self.files: dict[str, dict] = json.loads(self.path.read_text(encoding="utf-8"))["files"]
            for name, entry in self.files.items():
                _check_recorded(name, entry)
        except FileNotFoundError:
            self.files = {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
            raise GetModelsError(
                f"{self.path} cannot be read ({error}). Delete it and run this again: files that match what the hub "
                "publishes are recorded anew and not downloaded twice."
            ) from error

    def revision(self, repository: str) -> str | None:
        """The commit that the recorded files of a repository came from."""
        for entry in self.files.values():
            if entry.get("repository") == repository:
                return entry["revision"]
        return None

    def add(self, item: Item, published: Published, sha256: str, size: int) -> None:
        """Record a file, and write checksums.json.

        Args:
            item: of the catalogue.
            published: what it was made from.
            sha256: of the file in the folder.
            size: of that file, in bytes.
        """
        self.files[item.key] = {
            "sha256": sha256,
            "size": size,
            "repository": item.repository,
            "revision": published.commit,
            "source": item.remote,
        }
        if item.convert and published.in_lfs:
            self.files[item.key]["source_sha256"] = published.digest
        text = json.dumps({"files": dict(sorted(self.files.items()))}, indent=2) + "\n"
        replace_whole(self.path, text.encode())


# The hub ---------------------------------------------------------------------------------------------------------


def endpoint() -> str:
    """The address of the hub."""
    return (os.environ.get("HF_ENDPOINT") or _PUBLIC_HUB).rstrip("/")


def find_token() -> str | None:
    """The user's token for the hub: HF_TOKEN, or what huggingface_hub keeps of a login."""
    if token := os.environ.get("HF_TOKEN"):
        return token.strip()
    try:
        return importlib.import_module("huggingface_hub").get_token()
    except Exception:  # not installed, or broken: public files need no token
        return None


@contextlib.contextmanager
def hub_errors(repository: str, revision: str) -> Iterator[None]:
    """Turn what goes wrong while talking to the hub into messages with a next step."""
    hub, again = endpoint(), "Run the same command again: it goes on where it stopped."
    try:
        yield
    except TransportError as error:
        if error.code == "RevisionNotFound":
            raise GetModelsError(
                f"{repository} has no commit {revision} any more. Look at {hub}/{repository}; to take what is there "
                f"now, add --revision {repository}=main (the commit is then recorded in {RECORD_NAME})."
            ) from error
        if error.code == "RepoNotFound" or error.status in (401, 403):
            raise GetModelsError(
                f"{hub}/{repository} is not there, or is not public any more. The README lists the files and the "
                "folders: put copies you have there by hand."
            ) from error
        if error.status is not None:
            raise HubUnreachable(
                f"{hub} answered with status {error.status} for {repository}. Try again later."
            ) from error
        raise HubUnreachable(f"no connection to {hub} ({error}). Check the network. {again}") from error
    except OSError as error:
        space = " Free some disk space." if error.errno == errno.ENOSPC else ""
        raise GetModelsError(f"cannot write: {error}.{space} {again}") from error


def published_files(repository: str, revision: str, wanted: Collection[str]) -> dict[str, Published]:
    """Path -> what the hub publishes of the wanted files of a repository, as far as it has them.

    Args:
        repository: of the hub, OWNER/NAME.
        revision: a commit, branch or tag.
        wanted: paths in the repository.

    Raises:
        GetModelsError: the hub has no such repository or revision, or answers with another commit.
        HubUnreachable: it does not answer, or not as a hub does.
    """
    place = urllib.parse.quote(revision, safe="")
    with hub_errors(repository, revision):
        url = f"{endpoint()}/api/models/{repository}/revision/{place}?blobs=true"
        info = transport.read_document(url, find_token())
    if not isinstance(info, dict) or not isinstance(info.get("siblings"), list):
        raise _no_hub("the list of files is missing")
    commit = info.get("sha")
    if not isinstance(commit, str) or not _is(COMMIT, commit) or (_is(COMMIT, revision) and commit != revision):
        raise GetModelsError(
            f"the hub answers with commit {str(commit)[:60]!r} of {repository}, asked for {revision}. Check "
            "HF_ENDPOINT and --revision."
        )
    siblings = (entry for entry in info["siblings"] if isinstance(entry, dict))
    named = {entry["rfilename"]: entry for entry in siblings if isinstance(entry.get("rfilename"), str)}
    return {name: _published(name, named[name], commit) for name in wanted if name in named}


def _published(name: str, entry: dict, commit: str) -> Published:
    """What the hub says of a file; HubUnreachable where that is no digest or no size."""
    lfs = entry.get("lfs")
    if lfs is not None and not isinstance(lfs, dict):
        raise _no_hub(f"lfs of {name} is no object")
    size, digest = (entry.get("size"), entry.get("blobId")) if lfs is None else (lfs.get("size"), lfs.get("sha256"))
    if type(size) is not int or not 0 <= size <= _LARGEST:
        raise _no_hub(f"the size of {name} is {str(size)[:60]!r}")
    if not isinstance(digest, str) or not _is(COMMIT if lfs is None else SHA256, digest):
        raise _no_hub(f"the digest of {name} is {str(digest)[:60]!r}")
    return Published(commit, size, digest, in_lfs=lfs is not None)


def _no_hub(what: str) -> HubUnreachable:
    return HubUnreachable(
        f"{endpoint()} gave an answer that is not a hub's: {what}. A login page of the network in between? If "
        "HF_ENDPOINT points to a mirror, try without."
    )


def _is(pattern: re.Pattern, value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_recorded(name: str, entry: dict) -> None:
    if not _is(SHA256, entry["sha256"]):
        raise ValueError(f"sha256 of {name} is no SHA-256")
    if not isinstance(entry.get("repository"), str) or not _is(COMMIT, entry.get("revision")):
        raise ValueError(f"{name} comes from no commit")


def download(item: Item, published: Published, work: Path) -> Path:
    """Download one file as it is published, going on with what an earlier run left.

    Args:
        item: of the catalogue.
        published: what the hub publishes about it.
        work: folder for the download; made if need be.

    Returns:
        The whole file in `work`, which matches the sum that is published.

    Raises:
        HubUnreachable: no connection; what has arrived stays.
        GetModelsError: the file arrived damaged, or cannot be written.
    """
    work.mkdir(parents=True, exist_ok=True)
    partial = published.partial_in(work)
    if partial.exists() and partial.stat().st_size > published.size:
        partial.unlink()
    path = urllib.parse.quote(item.remote)
    url = f"{endpoint()}/{item.repository}/resolve/{published.commit}/{path}"
    with hub_errors(item.repository, published.commit), partial.open("ab") as file, _bar(item, published) as bar:
        small = 0
        while (before := file.tell()) < published.size:
            bar.update(before - bar.n)
            try:
                for block in transport.read_from(url, before, published.size, find_token()):
                    file.write(block)
                    file.flush()
                    bar.update(len(block))
            except TransportError as error:
                if error.code == transport.NO_RANGE:
                    file.truncate(0)  # it is begun anew
                    file.seek(0)
                    continue
                # cut connections are gone on with, for as long as the tries bring something
                small = 0 if file.tell() - before >= _SMALL_BYTES else small + 1
                if not error.cut or file.tell() == before or small >= _TRIES:
                    raise
    found = published.digest_of(partial)
    if found != published.digest:
        partial.unlink()  # it would be continued forever otherwise
        raise GetModelsError(
            f"{item.remote} of {item.repository} arrived damaged.\n  published: {published.digest}\n"
            f"  received:  {found}\nIt was thrown away. Run the same command again; if it happens again, a proxy or "
            "mirror in between (HF_ENDPOINT?) changes the file."
        )
    return partial


class _NoBar:
    n = 0

    def update(self, count: int) -> None:
        self.n += count


@contextlib.contextmanager
def _bar(item: Item, published: Published) -> Iterator[Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        yield _NoBar()
        return
    with tqdm(total=published.size, unit="B", unit_scale=True, desc=item.key, disable=None) as bar:
        yield bar
