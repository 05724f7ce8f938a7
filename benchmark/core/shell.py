"""Texts as terminals and shells take them: what is shown, what is obeyed, and how a command is written to be pasted."""

import shlex
import unicodedata
from collections.abc import Iterable

_STEERING = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, lone surrogates (bytes of names that are no text) and line breaks."""

_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Unicode's classes of the characters that embed, override or isolate a direction of writing."""

_MARKS = "\u200e\u200f\u061c"
"""Letters without a shape that turn the figures, brackets and commas beside them."""


def steers(letter: str) -> bool:
    """Whether a terminal obeys a character, or cannot show it.

    Those that turn the direction of what follows are among them; letters that run from right to left need none.
    """
    turns = letter in _MARKS or unicodedata.bidirectional(letter) in _TURNING
    return turns or unicodedata.category(letter) in _STEERING


def literal(text: str) -> str:
    """A text in which what steers a terminal is written out, but for the ends of lines and tabs."""
    return "".join(letter if letter in "\n\t" or not steers(letter) else repr(letter)[1:-1] for letter in text)


def joined(words: Iterable[str]) -> str:
    """Words as a line for a shell, quoted where they need it.

    A word in which something steers a terminal is spelled as bash, zsh and ksh read it.
    """
    return " ".join(f"$'{_spelled(word)}'" if any(map(steers, word)) else shlex.quote(word) for word in words)


def _spelled(word: str) -> str:
    return "".join(
        "".join(f"\\{byte:03o}" for byte in _bytes(letter)) if steers(letter) or letter in "\\'" else letter
        for letter in word
    )


def _bytes(letter: str) -> bytes:
    """A letter in UTF-8; of one that stands for a byte of a file's name that byte."""
    return letter.encode("utf-8", "surrogateescape" if "\udc80" <= letter <= "\udcff" else "surrogatepass")
