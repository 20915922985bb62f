"""Requests to a hub that may be slow, broken or hostile: over HTTP alone, with an end to waiting, size and redirects.

A token goes to the host that it is for and to no other. Only the standard library; certificates are those of certifi,
where it is installed, as some Pythons bring none.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

_BLOCK_BYTES = 1 << 16  # at most read at a time


@dataclass(frozen=True)
class Limits:
    """How long and how much is waited for.

    Args:
        answer: seconds until an answer has begun, over all redirects.
        silence: seconds without a byte.
        window: seconds over which the speed is measured.
        speed: bytes a second that must come in a window.
        document: seconds for a whole document.
        document_bytes: of a document.
        redirects: one after the other.
    """

    answer: float = 20.0
    silence: float = 15.0
    window: float = 15.0
    speed: int = 1024
    document: float = 30.0
    document_bytes: int = 8 << 20
    redirects: int = 5


LIMITS = Limits()
NO_RANGE = "NoRange"
_HOPS = "face_anonymizer_hops"  # of a request, how many redirects led to it


class TransportError(OSError):
    """There was no usable answer.

    Args:
        message: what went wrong.
        status: of HTTP, where there was one.
        code: the hub's own word for it, such as "RepoNotFound"; NO_RANGE for a host that only sends whole files.
        cut: whether the connection ended in the middle, so that another try may bring the rest.
    """

    def __init__(self, message: str, status: int | None = None, code: str = "", cut: bool = False):
        super().__init__(message)
        self.status, self.code, self.cut = status, code, cut


def read_document(url: str, token: str | None = None) -> Any:
    """Get a JSON document.

    Args:
        url: http or https.
        token: for the host of the url.

    Raises:
        TransportError: no answer, too slow, too large, refused, or no JSON.
    """
    deadline, parts, size = time.monotonic() + LIMITS.document, [], 0
    for block in _Answer(url, token, 0).blocks():
        parts.append(block)
        size += len(block)
        if size > LIMITS.document_bytes:
            raise TransportError(f"{url} sends more than {LIMITS.document_bytes} bytes")
        if time.monotonic() > deadline:
            raise TransportError(f"{url} was not read after {LIMITS.document:g} s")
    try:
        return json.loads(b"".join(parts))
    except RecursionError:
        raise TransportError(f"{url} answers with JSON that is nested too deeply") from None
    except ValueError as error:
        raise TransportError(f"{url} answers with no JSON ({error})") from None


def read_from(url: str, start: int, size: int, token: str | None = None) -> Iterator[bytes]:
    """Get the bytes of a file from a place on, and no more than it has.

    Args:
        url: http or https.
        start: bytes that are here already.
        size: of the whole file.
        token: for the host of the url.

    Yields:
        Blocks of bytes.

    Raises:
        TransportError: no answer, too slow, refused, more or fewer bytes than the file has, or others than were asked
            for.
    """
    for block in _Answer(url, token, start).blocks():
        start += len(block)
        if start > size:
            raise TransportError(f"{url} sends more than the {size} bytes that the file has")
        yield block
    if start < size:
        raise TransportError(f"{url} ended after {start} of {size} bytes", cut=True)


class _Answer:
    """The answer to a GET, opened: status 200, or 206 from `start` on."""

    def __init__(self, url: str, token: str | None, start: int):
        self._url = url
        # byte positions count in the plain file, so it must not arrive compressed
        headers = {"User-Agent": "face-anonymizer get_models", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise TransportError(f"{url} is no address of a hub: it begins with https://")
        request = urllib.request.Request(url, headers=headers)
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        self._answer = _open(request)
        try:
            self._check(start)
        except BaseException:
            self._answer.close()
            raise

    def blocks(self) -> Iterator[bytes]:
        """The body, as it comes."""
        since, come = time.monotonic(), 0
        with self._answer as answer:
            while True:
                try:
                    block = answer.read1(_BLOCK_BYTES)
                except TimeoutError:
                    raise TransportError(f"{self._url} was silent for {LIMITS.silence:g} s") from None
                except (OSError, http.client.HTTPException) as error:
                    raise TransportError(f"{self._url}: {type(error).__name__}: {error}", cut=True) from None
                if not block:
                    return
                come += len(block)
                if (passed := time.monotonic() - since) > LIMITS.window:
                    if come < LIMITS.speed * passed:
                        raise TransportError(f"{self._url} sent {come} bytes in {passed:.0f} s, which would never end")
                    since, come = time.monotonic(), 0
                yield block

    def _check(self, start: int) -> None:
        status, headers = self._answer.status, self._answer.headers
        if status not in (200, 206):
            raise TransportError(f"{self._url} answered with status {status}", status)
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise TransportError(f"{self._url} answers compressed, which was not asked for")
        begins = headers.get("Content-Range", "bytes 0-").removeprefix("bytes ").partition("-")[0]
        if begins != str(start) or (status == 200 and start):
            other = f"{self._url} answers with other bytes than those from {start} on"
            raise TransportError(other, code=NO_RANGE if start else "")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow a few redirects, never to another scheme than http and https, nor from https to http."""

    def redirect_request(self, req, *answer):
        newurl = answer[-1]
        hops = getattr(req, _HOPS, 0) + 1
        before, after = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if hops > LIMITS.redirects:
            raise TransportError(f"{req.full_url} leads through more than {LIMITS.redirects} redirects")
        if after.scheme not in ("http", "https") or (before.scheme == "https" and after.scheme != "https"):
            raise TransportError(f"{req.full_url} leads to {newurl[:100]!r}, which is not followed")
        new = super().redirect_request(req, *answer)
        if new is None:
            return None
        setattr(new, _HOPS, hops)
        authorization = req.get_header("Authorization")
        if authorization and (before.scheme, before.netloc) == (after.scheme, after.netloc):
            new.add_unredirected_header("Authorization", authorization)
        return new


def _open(request: urllib.request.Request):
    """Open a request in a thread, as no setting of the library ends one whose headers come a byte at a time."""
    answers: SimpleQueue = SimpleQueue()
    given_up = threading.Event()

    def run() -> None:
        try:
            answer = _opener().open(request, timeout=LIMITS.silence)
        except BaseException as error:
            answers.put(error)
            return
        answers.put(answer)
        if given_up.is_set():
            answer.close()

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=LIMITS.answer)
    except Empty:
        given_up.set()
        raise TransportError(f"{request.full_url} did not answer in {LIMITS.answer:g} s") from None
    if not isinstance(answer, BaseException):
        return answer
    if isinstance(answer, TransportError):
        raise answer
    if isinstance(answer, urllib.error.HTTPError):
        with answer:
            code = answer.headers.get("X-Error-Code", "") if answer.headers else ""
        raise TransportError(f"{request.full_url} answered with status {answer.code}", answer.code, code)
    if isinstance(answer, urllib.error.URLError):
        raise TransportError(str(answer.reason))
    if isinstance(answer, (OSError, ValueError, http.client.HTTPException)):
        raise TransportError(f"{request.full_url}: {type(answer).__name__}: {answer}")
    raise answer


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS alone: what urllib opens by itself reads files too."""
    opener = urllib.request.OpenerDirector()
    handlers = [
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_certificates()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ]
    for handler in handlers:
        opener.add_handler(handler)
    return opener


def _certificates() -> ssl.SSLContext:
    if any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")):
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=importlib.import_module("certifi").where())
    except ImportError:
        return ssl.create_default_context()
