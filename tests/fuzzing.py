"""Files as nobody meant them, made by hypothesis, and what is asked of every reader of files.

A file is a shipped one with parts taken out, exchanged or put in, as data or as text; or it is made up altogether. The
draws are the same in every run of the tests.
"""

import copy
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError

PATIENCE = 60
"""Seconds after which reading a file is taken for hanging; it takes some thousandths of that."""

WORDS = [
    *(
        "",
        " ",
        "~",
        "~x",
        "null",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "010",
        "1:30",
        "2024-01-01",
        "no",
        "x" * 5000,
        "9" * 5000,
    ),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "a\0b",
        "a\nb",
        "\u202eb",
        "\ud800",
        "𝔘" * 70,
        "é",
        "e\u0301",
        "%s{0}",
        "=1+1",
    ),
    *("<script>alert(1)</script>", "<<", "!!python/name:os.system", "x.yaml", "x\0.yaml", "-1", "0", "1e308", "true"),
    *(
        "four_tasks",
        "noise_levels",
        "cmc",
        "finetune",
        "packnet",
        "table1",
        "figure6",
        "layer",
        "derain",
        "noise",
        "jpeg",
    ),
    *(
        "name",
        "title",
        "again",
        "tasks",
        "stream",
        "order",
        "summary",
        "dataset",
        "degradation",
        "train",
        "test",
        "std",
    ),
    *(
        "training",
        "data",
        "backbone",
        "epochs",
        "batch_size",
        "patch_size",
        "root",
        "source",
        "width",
        "training.epochs",
    ),
    *(
        "strategies",
        "streams",
        "orders",
        "set",
        "vary",
        "presets",
        "seeds",
        "of",
        "measure",
        "printed",
        "smoke",
        "cmc.t",
    ),
]
NUMBERS = [0, 1, -1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(WORDS),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
)
keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
values = st.recursive(
    scalars,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(keys, below, max_size=4)),
    max_leaves=12,
)


@st.composite
def deep(draw: Any) -> Any:
    """Lists or mappings in each other, few or very many, or one list of very many entries."""
    depth, leaf = draw(st.sampled_from([3, 60, 90])), draw(scalars)
    kind = draw(st.sampled_from(["lists", "mappings", "wide"]))
    if kind == "wide":
        return [leaf] * 3000
    for _ in range(depth):
        leaf = [leaf] if kind == "lists" else {"a": leaf}
    return leaf


odd = st.one_of(values, values, values, deep())


@st.composite
def changed(draw: Any, originals: Sequence[Any]) -> Any:
    """One of some data with one to three parts taken out, exchanged for others, repeated or put in."""
    data = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(data))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["out", "other", "other", "in", "again"]))
        if how == "out":
            del holder[key]
        elif how == "other":
            holder[key] = draw(odd)
        elif isinstance(holder, dict):
            holder[draw(keys)] = draw(odd) if how == "in" else holder[key]
        else:
            holder.insert(key, draw(odd) if how == "in" else holder[key])
    return data


PIECES = [
    *(
        "\0",
        "\t",
        "\n",
        "\r",
        " ",
        ":",
        ": ",
        "- ",
        "? ",
        "#",
        "'",
        '"',
        "|\n",
        ">\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "---\n",
        "...\n",
    ),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "&a {<<: *a}",
        "!!python/object/apply:os.system [x]",
        "!x ",
        "%YAML 9.9\n",
        "\ufeff",
        "\x85",
    ),
    *(
        "[" * 90,
        "[" * 2000,
        "{a: " * 300,
        "- " * 500,
        "9" * 5000,
        "\\ud800",
        '"\\0"',
        "\udcff",
        "name: x\n",
        "order: x\n",
    ),
]


@st.composite
def disturbed(draw: Any, texts: st.SearchStrategy[str], pieces: Sequence[str] = PIECES) -> str:
    """A text with one to four pieces cut out, put in or repeated, anywhere."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        put = draw(st.one_of(st.just(""), st.sampled_from(pieces), st.just(text[start:end] * 2), st.text(max_size=4)))
        text = text[:start] + put + text[end:]
    return text


def written(data: Any, ascii_only: bool = False) -> str:
    """Data as YAML."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=not ascii_only)


def yaml_files(originals: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Contents of YAML files, most of them near the originals."""
    near = st.builds(written, changed(originals), st.booleans())
    made = st.builds(written, odd)
    disturbed_ = disturbed(st.sampled_from([written(one) for one in originals]))
    return st.one_of(near, near, disturbed_, made).map(as_bytes)


def as_bytes(text: str) -> bytes:
    """A text as bytes, whatever stands in it."""
    return text.encode("utf-8", errors="surrogatepass")


def fuzz(contents: st.SearchStrategy[Any], read: Callable[[Any], object], examples: int) -> None:
    """Ask of a reader that it takes each of so many contents, or tells in words what is wrong with it, and ends."""
    tried = 0

    def once(content: Any) -> None:
        nonlocal tried
        tried += 1
        with _watched():
            said = "read"
            try:
                read(content)
            except UserError as error:
                said = str(error)
            assert said.strip(), "an error without a word"

    settings(max_examples=examples)(given(contents)(once))()
    assert tried >= examples


class _Hang(BaseException):
    """Reading took longer than PATIENCE; no ``Exception``, so that nobody takes it for the file's fault."""


@contextmanager
def _watched() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _Hang(f"still reading after {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in nested data, as what holds it and its key or index there."""
    pairs = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, below in pairs:
        yield data, key
        yield from _places(below)
