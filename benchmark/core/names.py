"""From names that people give to file names: readable, and different wherever the names are.

A picture may be called anything: ``東京``, ``IMG(1)``, ``a`` beside ``A``. File systems fold upper and lower case, or é
in one and in two characters, and file names end at 255 bytes. A name of plain letters is its own file name; any other
is spelled in plain letters, and told apart by a digest of all of it.
"""

import hashlib
import re
import unicodedata

LONGEST = 60
"""Letters of a name that its file name shows."""

_PLAIN = re.compile(r"[a-z0-9_]+([-.][a-z0-9_]+)*")
"""Names that are themselves on every file system. They hold no ``--``, which stands between the names of a picture's
file, and no ``+``, which stands before a digest."""


def file_name(name: str) -> str:
    """A part of a file name, or of an anchor, that no other name has.

    >>> file_name("kodim-01.crop")
    'kodim-01.crop'
    >>> file_name("IMG (1)")
    'IMG-1+48db7ca088'
    """
    if len(name) <= LONGEST and _PLAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{_spelled(name)}+{digest}"


def _spelled(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-")[:LONGEST] or "unnamed"


def is_text(name: str) -> bool:
    """Whether a name is valid Unicode, so that it can be written into a record; on Linux it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
