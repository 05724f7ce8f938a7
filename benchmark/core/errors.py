"""The one kind of error a user can mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user gave cannot be used.

    The message names what was given, what is accepted and how to mend it. The command line prints it
    without a traceback and exits with ``exit_code``.
    """

    exit_code = 2


def shortened(given: str, longest: int = 200) -> str:
    """What was given, as an error repeats it: cut where it grows too long to be read."""
    return given if len(given) <= longest else f"{given[:longest]}…"


def told(error: BaseException) -> str:
    """The type and the message of an error that code from outside raised, whatever its own methods do."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be read"
    return f"{type(error).__name__}: {message}"


def meant(given: str, choices: Iterable[str]) -> str:
    """A question after the choice that is nearest to what was given, after a blank; empty if none is near."""
    near = get_close_matches(given, list(choices), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown(kind: str, given: str, choices: Iterable[str], hint: str = "") -> UserError:
    """The error for a name that is not among the choices, with the nearest choice pointed out."""
    names = sorted(choices)
    given = shortened(given)
    suggestion = meant(given, names)
    accepted = ", ".join(names) if names else "none available"
    return UserError(f"Unknown {kind} '{given}'.{suggestion} Accepted: {accepted}.{' ' + hint if hint else ''}")
