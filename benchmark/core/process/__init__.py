"""How a command starts and ends, its home folders, which suite it is.

It is the first of the suite to be imported, before any module of Python that is not there anyway.
"""

import os
import sys


def _put_present_folder_last() -> None:
    """Have ``python -m benchmark`` look into the folder it is given in after all others.

    Python puts that folder first, so that a file of the user's there, called ``random.py`` or ``reports.py``, would be
    imported in place of Python's or the suite's own. Modules there are found all the same, as by ``--plugin``. Where
    the suite itself is found there nothing is changed.
    """
    words = sys.orig_argv
    if sys.argv[:1] != ["-m"] or not any(word in ("benchmark", "-mbenchmark") for word in words):
        return
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120
    try:
        present = os.getcwd()  # noqa: PTH109 (pathlib imports what a user's file may hide)
        if sys.path[:1] != [present] or os.path.samefile(present, root):  # noqa: PTH121
            return
    except OSError:
        return
    sys.path[:] = [*sys.path[1:], *([] if root in sys.path[1:] else [root]), present]


_put_present_folder_last()
