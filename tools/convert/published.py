"""That a file which is converted is the one that was published."""

import hashlib


def check_bytes(data: bytes, expected: str, what: str) -> str:
    """The sha256 of some bytes; ends with a message unless it is the expected one.

    Args:
        data: all of them.
        expected: of those that were published.
        what: they are, for the message.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise SystemExit(f"{what} has sha256 {digest}, not the published {expected}.")
    return digest
