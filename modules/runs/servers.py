"""The ComfyUIs of a run over folders: those that are named, or one of our own; and whether they have what it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from ..host.location import find_comfyui
from ..model import checkpoint
from .client import Client
from .jobs import PlanRefused
from .server import Server, ServerFailed


@contextlib.contextmanager
def use_servers(urls: Sequence[str], say: Callable[[str], None]) -> Iterator[list[Client]]:
    """A client of each of these servers; without any, of a ComfyUI that runs for the length of the block.

    Raises HostMissing or ServerFailed where that one does not start.
    """
    if urls:
        yield [Client(url) for url in urls]
        return
    say(f"Starting ComfyUI of {find_comfyui()} ...")
    with Server(arguments=("--max-upload-size", "1000000")) as server:
        yield [server]


def clients_for(servers: Sequence[Client], count: int) -> list[Client]:
    """`count` clients over all servers in turn, as one can follow one prompt at a time."""
    return [*servers, *(Client(servers[i % len(servers)].url) for i in range(len(servers), count))][:count]


def check_server(server: Client, classes: set[str], model: str | None) -> None:
    """See whether a server can do what is asked for.

    Args:
        server: to ask.
        classes: of nodes that it must have.
        model: that it must have; None for none.

    Raises:
        ServerFailed: it does not answer, or lacks nodes.
        PlanRefused: it lacks the model.
    """
    try:
        missing = sorted(name for name in classes if not server.get(f"/object_info/{name}"))
        if missing:
            raise ServerFailed(f"{server.url} lacks {', '.join(missing)}: install or update this pack there.")
        if model is None:
            return
        info = server.get("/object_info/FaceAnonLoadModel")["FaceAnonLoadModel"]["input"]["required"]["model"]
    except (OSError, ValueError) as error:
        raise ServerFailed(f"{server.url} does not answer as ComfyUI does: {error}") from None
    known = info[1]["options"] if info[0] == "COMBO" else info[0]
    if model not in known:
        raise PlanRefused(
            f'There is no model "{model}" under models/face_anon of {getattr(server, "host", server.url)}; '
            f"there is: {', '.join(known) or 'none'}. `{checkpoint.GET_MODELS}` downloads the published one."
        )
