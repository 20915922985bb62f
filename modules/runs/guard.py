"""Run a command no longer than the process that started this one lives: `guard.py FOLDER COMMAND ...`.

Standard input is a pipe that only that process holds. When it ends, even by kill -9, the pipe closes: the command and
its children are ended and FOLDER, with the pictures in it, is removed. When the command ends by itself, this ends with
its status and the folder stays, as its log says why. Only the standard library.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the command; returns its exit status, or 128 and the number of the signal that ended it."""
    folder, *command = sys.argv[1:]
    # A group of its own, so that its children can be ended with it.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    alone = threading.Event()

    def watch() -> None:
        os.read(0, 1)  # nothing is ever sent: this returns when the pipe closes
        alone.set()
        end(child)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, args=(child,)).start())
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    status = child.wait()
    if alone.is_set():
        watcher.join()
        shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


def end(process: subprocess.Popen) -> None:
    """End a process and its group: politely, then after ten seconds for certain."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


if __name__ == "__main__":
    sys.exit(main())
