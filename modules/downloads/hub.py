"""Published files: what the hub publishes of one, its download, and the sums it is held against.

The catalogue knows the files that are wanted, the model folder where they go. Here a file is known by what is
published: an `Item` names it, `published_files` asks for its size and sum at a commit, and `download` fetches it,
goes on with a download that was cut, and hands out nothing that does not match. `Record` is the checksums.json,
which lists where each file came from. What goes wrong is a `GetModelsError`.

Only the standard library at import: `huggingface_hub` is imported where it is used, so that get_models.py can name
the way to get it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..files import replace_whole, sha256_of

ALLOWED_SUFFIXES = (".safetensors", ".json")
RECORD_NAME = "checksums.json"
COMMIT = re.compile(r"[0-9a-f]{40}")


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
        except FileNotFoundError:
            self.files = {}
        except (ValueError, KeyError, TypeError) as error:
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


def _transport_errors() -> Iterator[type[Exception]]:
    """Connection errors that are not OSErrors: huggingface_hub 1 uses httpx, 2 httpx2, 0.x requests (OSErrors)."""
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            yield importlib.import_module(name).TransportError


@contextlib.contextmanager
def hub_errors(repository: str, revision: str) -> Iterator[None]:
    """Turn what goes wrong while talking to the hub into messages with a next step."""
    from huggingface_hub.utils import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    again = "Run the same command again: it goes on where it stopped."
    try:
        yield
    except RevisionNotFoundError as error:
        raise GetModelsError(
            f"{repository} has no commit {revision} any more. Look at {endpoint}/{repository}; to take what is there "
            f"now, add --revision {repository}=main (the commit is then recorded in {RECORD_NAME})."
        ) from error
    except RepositoryNotFoundError as error:
        raise GetModelsError(
            f"{endpoint}/{repository} is not there, or is not public any more. The README lists the files and the "
            "folders: put copies you have there by hand."
        ) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        raise HubUnreachable(f"{endpoint} answered with status {status} for {repository}. Try again later.") from error
    except tuple(_transport_errors()) as error:
        raise HubUnreachable(f"no connection to {endpoint} ({error}). Check the network. {again}") from error
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError) or error.errno is None:
            raise HubUnreachable(f"no connection to {endpoint} ({error}). Check the network. {again}") from error
        space = " Free some disk space." if error.errno == errno.ENOSPC else ""
        raise GetModelsError(f"cannot write: {error}.{space} {again}") from error
    except ValueError as error:
        raise HubUnreachable(
            f"{endpoint} gave an answer that is not a hub's ({error}). A login page of the network in between?"
        ) from error


def published_files(repository: str, revision: str) -> dict[str, Published]:
    """Path -> what the hub publishes, for every file of a repository.

    Args:
        repository: of the hub, OWNER/NAME.
        revision: a commit, branch or tag.

    Raises:
        GetModelsError: the hub has no such repository or revision, or answers with another commit.
        HubUnreachable: it does not answer.
    """
    from huggingface_hub import HfApi

    with hub_errors(repository, revision):
        info = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).model_info(
            repository, revision=revision, files_metadata=True
        )
    if info.sha is None or (COMMIT.fullmatch(revision) and info.sha != revision):
        raise GetModelsError(f"the hub answers with commit {info.sha} of {repository}, asked for {revision}.")
    files = {}
    for file in info.siblings or []:
        if file.lfs is not None:
            files[file.rfilename] = Published(info.sha, file.lfs.size, file.lfs.sha256, in_lfs=True)
        elif file.blob_id is not None and file.size is not None:
            files[file.rfilename] = Published(info.sha, file.size, file.blob_id, in_lfs=False)
    return files


def download(item: Item, published: Published, work: Path) -> Path:
    """Download one file as it is published, going on with what an earlier run left.

    `hf_hub_download` throws a partial file away when the process ends, and Xet transfers start anew. So the file is
    written here by the function under it, which continues at a given byte, tries again, and shows a progress bar.

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
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    work.mkdir(parents=True, exist_ok=True)
    partial = published.partial_in(work)
    if partial.exists() and partial.stat().st_size > published.size:
        partial.unlink()
    url = hf_hub_url(
        item.repository, item.remote, revision=published.commit, endpoint=os.environ.get("HF_ENDPOINT") or None
    )
    # byte positions count in the plain file, so it must not arrive compressed
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    while True:
        try:
            with hub_errors(item.repository, published.commit), partial.open("ab") as file:
                before = partial.stat().st_size
                http_get(
                    url,
                    file,
                    resume_size=before,
                    headers=headers,
                    expected_size=published.size,
                    displayed_filename=item.key,
                )
            break
        except HubUnreachable:
            # versions before 1.0 give up at the first cut: go on for as long as every try brings something
            if partial.stat().st_size <= before:
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
