"""A run on another machine: what it is sent, how it is done there, and what comes back from it.

Where that machine sees the folder from which the command was given, the run is written there. Where it does not, the
run is written to a folder of its own and comes back file by file, after each task and at its end; a further attempt,
elsewhere perhaps, is sent what has come back, and goes on from that.

Code that a person has named with ``--plugin`` is sent by content, with all that it imports of theirs.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from benchmark import backbones
from benchmark.config import RunConfig, checked
from benchmark.core.errors import UserError
from benchmark.core.plugins.content import sources
from benchmark.core.process import endings
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.seals import SEAL
from benchmark.core.runs.writing import write_text
from benchmark.engine import events
from benchmark.engine.events import Event
from benchmark.engine.executors.attempt import Ended, Throttled, attempt
from strategies import registry

if TYPE_CHECKING:
    from avalanche.core import SupervisedPlugin

LAST = ("status.json", SEAL)
"""What says how far a run is, and that it is whole; both are written after what they speak of."""


@dataclass(frozen=True)
class Token:
    """A file by which a machine finds out whether it sees a folder.

    Args:
        path: the file, as the machine that wrote it calls it.
        content: what no other file holds.
    """

    path: Path
    content: str

    def put(self) -> None:
        """Write the file."""
        self.path.write_text(self.content, "utf-8")

    def seen(self) -> bool:
        """Whether the file is here."""
        with suppress(OSError):
            return self.path.read_text("utf-8") == self.content
        return False


@dataclass(frozen=True)
class Code:
    """A plugin by content.

    Args:
        imports: what imports it where it comes from: the path of a file, or a module's name.
        files: of it and of all that it imports, by their place below a folder from which Python imports.
    """

    imports: str
    files: Mapping[str, bytes]

    @property
    def is_file(self) -> bool:
        """Whether it is a file, and no module."""
        return self.imports.endswith(".py")

    def unpack(self, folder: Path) -> str:
        """Write it below a folder and have Python import from that; gives what imports it."""
        for name, content in self.files.items():
            write_text(folder / inside(name), content)
        sys.path.insert(0, str(folder))
        return str(folder / Path(self.imports).name) if self.is_file else self.imports


@dataclass(frozen=True)
class Parcel:
    """All that another machine needs for a run.

    Args:
        config: resolved, as plain values.
        path: the run directory, where the command was given.
        token: in the folder of that.
        files: what is there of the run, by name; empty where nothing is.
        codes: the plugins that it needs.
        threads: that torch uses.
        force: begin again.
        plugins: further Avalanche plugins.
    """

    config: Mapping[str, Any]
    path: Path
    token: Token
    files: Mapping[str, bytes]
    codes: Sequence[Code]
    threads: int
    force: bool = False
    plugins: "Sequence[SupervisedPlugin]" = ()


@dataclass(frozen=True)
class Files:
    """What has changed in a run directory.

    Args:
        written: content by name, in the order in which it is to be written.
        gone: names of files that are no more.
    """

    written: Mapping[str, bytes]
    gone: Sequence[str] = ()

    def write(self, path: Path) -> None:
        """Bring a run directory to the same state."""
        for name, content in self.written.items():
            write_text(path / inside(name), content)
        for name in self.gone:
            (path / inside(name)).unlink(missing_ok=True)


Letter = Event | Files
"""What a run tells, and sends back."""


def work(parcel: Parcel, send: Callable[[Letter], str]) -> Ended:
    """Do a run that was sent here.

    Args:
        parcel: the run.
        send: takes what it tells and gives the signal for which it is to stop, a key of ``endings.CODES``, or nothing.
    """
    import torch

    torch.set_num_threads(parcel.threads)

    def tell(event: Event) -> None:
        if (reason := send(event)) and not endings.pending():
            endings.stop_for(reason)

    try:
        _learn(parcel)
        if parcel.token.seen():
            return _attempt(parcel, parcel.path, Throttled(tell))
        with tempfile.TemporaryDirectory(prefix="continual-restoration-") as folder:
            return _elsewhere(parcel, Path(folder) / parcel.path.name, tell, send)
    except UserError as error:
        return Ended("failed", str(error))
    except Stopped as stop:
        return Ended("lost", f"it was stopped by {stop}")


def pack(config: RunConfig) -> list[Code]:
    """The plugins of a configuration by content."""
    found: dict[str, Code] = {}
    for entry in (registry.entries().get(config.strategy), backbones.entries().get(config.backbone.name)):
        if entry is not None and entry.imports:
            module = entry.target.partition(":")[0]
            own = Path(sys.modules[module].__file__ or "")
            files = {}
            for name, (file, content) in sources(module, own).items():
                parents = [] if file == own and entry.imports.endswith(".py") else name.split(".")
                if parents and file.stem != "__init__":
                    parents.pop()
                files[str(PurePosixPath(*parents, file.name))] = content
            found[entry.imports] = Code(entry.imports, files)
    return [*found.values()]


def read(path: Path) -> dict[str, bytes]:
    """The files of a run directory but hidden ones, by name; what says how far it is comes last."""
    return {name: (path / name).read_bytes() for name in _names(path)}


def inside(name: str) -> Path:
    """A name as a path below a folder.

    Raises:
        ValueError: it leads out of that.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"'{name}' leads out of its folder")
    return Path(*path.parts)


def _learn(parcel: Parcel) -> None:
    """Make the plugins known here that a run needs, unless they are, or lie where they come from."""
    config = checked(**parcel.config)
    if registry.known(config) or all(code.is_file and _lies_here(code) for code in parcel.codes):
        return
    for code in parcel.codes:
        folder = Path(tempfile.mkdtemp(prefix="continual-restoration-plugin-"))
        registry.add_plugin(code.unpack(folder))


def _lies_here(code: Code) -> bool:
    path = Path(code.imports)
    return path.is_file() and path.read_bytes() == code.files[path.name]


def _elsewhere(parcel: Parcel, place: Path, tell: Callable[[Event], None], send: Callable[[Letter], str]) -> Ended:
    """Do a run in a folder of this machine, and send back what it writes."""
    Files(parcel.files).write(place)
    sent = _stamps(place)

    def send_back() -> None:
        nonlocal sent
        now = _stamps(place)
        changed = {name: (place / name).read_bytes() for name in _names(place) if now.get(name) != sent.get(name)}
        send(Files(changed, [name for name in sent if name not in now]))
        sent = now

    def listener(event: Event) -> None:
        if isinstance(event, events.TaskBegun):  # which comes once the task before it is complete on disk
            send_back()
        tell(event)

    try:
        ended = _attempt(parcel, place, Throttled(listener))
    finally:
        send_back()
    here, there = str(place), str(parcel.path)
    notes = tuple(note.replace(here, there) for note in ended.notes)
    return replace(ended, message=ended.message.replace(here, there), notes=notes)


def _attempt(parcel: Parcel, path: Path, listener: Throttled) -> Ended:
    return attempt(parcel.config, path, listener, force=parcel.force, plugins=parcel.plugins).sent()


def _names(path: Path) -> list[str]:
    found = [
        str(PurePosixPath(file.relative_to(path)))
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    ]
    return sorted(found, key=lambda name: LAST.index(name) if name in LAST else -1)


def _stamps(path: Path) -> dict[str, tuple[int, int, int]]:
    """What tells that a file was written again: it is a new one then, as all are written whole."""
    found = {}
    for name in _names(path):
        with suppress(OSError):
            state = (path / name).stat()
            found[name] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found
