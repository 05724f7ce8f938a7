"""How many cores there are to share out."""

import contextlib
import io
import warnings


def usable() -> int:
    """The physical cores that this process may use; the logical ones where the physical ones cannot be told.

    That is so in containers without ``lscpu``, and joblib then warns and prints a traceback, of which nobody who starts
    a run can make anything.
    """
    import joblib

    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return int(joblib.cpu_count(only_physical_cores=True))
