"""Names and messages as a terminal may get them: what would move its cursor, change its colours or turn text around is
written out, and what is secret in an address is left out. Only the standard library.
"""

from __future__ import annotations

import re
import unicodedata

# Control characters (ESC, BEL, tabs), those that turn text around or hide it, and halves of characters that are none.
_WRITTEN_OUT = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# as in s3://key:secret@bucket; what begins like a port is none, nor what stands in the brackets of an address of IPv6
_PASSWORD = re.compile(r"(://[^\s/?#:@\[]*:)(?!\d+(?:[/?#\s]|$))\S*@")
# as in https://token@host; in addresses of Azure what stands there is the name of a container
_USER = re.compile(r"(?<![\w+.-])(?!(?:abfs|wasb)s?:)([\w+.-]+://)[^\s/?#:@\[]+@", re.IGNORECASE)
# as in https://host/a.tar?token=secret&X-Amz-Signature=secret
_ADDRESS = re.compile(r"://\S+")
_SECRET = re.compile(r"([?&][^\s=&#]*(?:token|secret|passw|sig|key|credential)[^\s=&#]*=)[^\s&#'\"]+", re.IGNORECASE)


def shown(text: object, keep: str = "") -> str:
    """A text in which no character does anything but stand there: ESC is \\x1b, a line break in a name \\n.

    The password of an address is "...", and so are a user without a password, which may be a token, and what it asks
    with as a token, key or signature: terminals are logged, and shown to others.

    Args:
        text: a name, or a whole message.
        keep: characters that stay as they are; "\\n" for messages of several lines.
    """
    public = _USER.sub(r"\1...@", _PASSWORD.sub(r"\1...@", str(text)))
    public = _ADDRESS.sub(lambda address: _SECRET.sub(r"\1...", address[0]), public)
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _WRITTEN_OUT
        else character.encode("unicode_escape").decode("ascii")
        for character in public
    )
