"""Names and messages as a terminal may get them: what would move its cursor, change its colours or turn text around is
written out. Only the standard library.
"""

from __future__ import annotations

import unicodedata

# Control characters (ESC, BEL, tabs), those that turn text around or hide it, and halves of characters that are none.
_WRITTEN_OUT = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def shown(text: object, keep: str = "") -> str:
    """A text in which no character does anything but stand there: ESC is \\x1b, a line break in a name \\n.

    Args:
        text: a name, or a whole message.
        keep: characters that stay as they are; "\\n" for messages of several lines.
    """
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _WRITTEN_OUT
        else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )
