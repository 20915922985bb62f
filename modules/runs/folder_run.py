"""Do the jobs of a folder run: upload, queue, fetch, write each result whole or not at all; several at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import NamedTuple

from ..photos.pages import UnreadablePhoto
from .client import Cancelled, Client, PromptFailed
from .folder_report import summarize
from .jobs import Job
from .journal import Journal
from .prompts import find_makers, find_report, photo_settings, saved_files, with_source
from .publishing import DISK_FULL, Made, Outcome, RunStopped, publish
from .sending import Sent, finish, send
from .server import ServerFailed

ShowStep = Callable[[str, int, int], None]


class Done(NamedTuple):
    """What the server did for a job.

    Args:
        prompt: that was run.
        history: its history entry.
        sent: the source, as the server got it.
        started: by time.monotonic().
    """

    prompt: dict
    history: dict
    sent: Sent
    started: float


class FolderRun:
    """The jobs of one output folder.

    Args:
        journal: of the folder, open.
        prompts: kind of source -> the graph with its settings, but for the source.
        by_others: the ComfyUIs that do it are not of this machine's files: each line says what made its result.
    """

    def __init__(self, journal: Journal, prompts: Mapping[str, dict], by_others: bool = False):
        self._journal = journal
        self.prompts = prompts
        self._by_others = by_others
        self._stopped = threading.Event()

    def do(
        self,
        jobs: list[Job],
        clients: list[Client],
        on_outcome: Callable[[Outcome], None],
        show_step: Callable[[Job, dict], ShowStep] | None = None,
    ) -> None:
        """Do the jobs, one at a time for each client. Whatever ends this early cancels the prompts that run.

        A client whose server does not answer any more ends; its job goes to another.

        Args:
            jobs: what is to be done, in this order.
            clients: one for each file that is done at a time.
            on_outcome: called in this thread with each job as it is done.
            show_step: of (job, prompt), gives the callback for the steps of a job's nodes (see Client.wait), which is
                called in a thread of the client.

        Raises:
            RunStopped: no client is left, or the disk is full.
        """
        waiting: SimpleQueue[Job] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        messages: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()
        # Daemons: a server that hangs must not keep this process.
        threads = [
            threading.Thread(target=self._report_end, args=(client, waiting, messages, show_step), daemon=True)
            for client in clients
        ]
        for thread in threads:
            thread.start()
        running, why = len(threads), None
        try:
            while running:
                # With a timeout, as Windows hears Ctrl-C only between waits.
                with contextlib.suppress(Empty):
                    message = messages.get(timeout=0.5)
                    if isinstance(message, Outcome):
                        on_outcome(message)
                        continue
                    if message is not None and not isinstance(message, RunStopped):
                        raise message  # a fault of this script
                    running -= 1
                    why = message or why
            if why is not None and (self._stopped.is_set() or not waiting.empty()):
                raise why
        finally:
            self._stopped.set()
            for client in clients:
                client.stop.set()
            for thread in threads:
                thread.join(timeout=10)

    def _report_end(self, client: Client, waiting: SimpleQueue, messages: SimpleQueue, show_step) -> None:
        try:
            self._work(client, waiting, messages, show_step)
            messages.put(None)
        except BaseException as error:
            messages.put(error)

    def _work(self, client: Client, waiting: SimpleQueue, messages: SimpleQueue, show_step) -> None:
        """Do jobs until there are none. RunStopped when this client cannot go on."""
        while not self._stopped.is_set():
            try:
                job = waiting.get_nowait()
            except Empty:
                return
            try:
                messages.put(Outcome(job, self._do_one(client, job, show_step)))
            except (Cancelled, ServerFailed) as error:
                waiting.put(job)
                raise RunStopped(str(error)) from None
            except Exception as error:  # whatever one file causes, the others are done all the same
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    self._stopped.set()
                    raise RunStopped(str(error)) from None
                if not _answers(client):
                    waiting.put(job)
                    raise RunStopped(f"{client.url} does not answer any more ({error}).") from None
                messages.put(Outcome(job, None, _explained(error)))

    def _do_one(self, client: Client, job: Job, show_step) -> dict:
        """Upload, wait, fetch and publish; the job's line of the journal."""
        started = time.monotonic()
        kind = job.source.kind
        sent = send(client, job, self.prompts[kind])
        prompt = with_source(sent.prompt, kind, sent.name)
        prompt_id = None
        try:
            prompt_id = client.queue(prompt)
            history = client.wait(prompt_id, show_step and show_step(job, prompt))
            return self._keep(client, job, Done(prompt, history, sent, started))
        finally:
            with contextlib.suppress(OSError):
                client.forget(prompt_id)

    def _keep(self, client: Client, job: Job, done: Done) -> dict:
        """Fetch a job's result and publish it; its line of the journal."""
        summary = summarize(find_report(done.prompt, done.history), job.source.kind)

        def write(part: Path) -> Made:
            suffix = done.sent.suffix or PurePosixPath(job.result).suffix
            client.download(_only_file(saved_files(done.prompt, done.history), suffix), part)
            finish(done.sent, part, photo_settings(self.prompts[job.source.kind]))
            makers = find_makers(done.prompt, done.history) if self._by_others else None
            return Made(done.sent.sha256, summary, done.sent.notes, makers)

        return publish(self._journal, job, done.started, write)


def _only_file(files: list[dict], suffix: str) -> dict:
    if len(files) != 1 or PurePosixPath(files[0]["filename"]).suffix != suffix:
        names = ", ".join(file["filename"] for file in files) or "nothing"
        raise LookupError(f"The graph saved {names}, where one {suffix} file was expected.")
    return files[0]


def _answers(client: Client) -> bool:
    try:
        client.get("/queue")
    except OSError:
        return False
    return True


def _explained(error: BaseException) -> str:
    return str(error) if isinstance(error, (PromptFailed, UnreadablePhoto)) else f"{type(error).__name__}: {error}"
