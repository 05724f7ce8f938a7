"""Which trackers there are, and how they listen beside the command's own progress: never in its way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmark.core.errors import UserError, unknown
from benchmark.engine.events import Event, Listener
from benchmark.tracking.sink import Sink


@dataclass(frozen=True)
class Tracker:
    """Where a tracker is.

    Args:
        module: defines it.
        sink: its class there.
        needs: the modules that it imports; the extra of its name installs them.
    """

    module: str
    sink: str
    needs: tuple[str, ...]

    def load(self) -> type[Sink]:
        """The class, once its library is imported."""
        found: type[Sink] = getattr(import_module(f"benchmark.tracking.{self.module}"), self.sink)
        return found


TRACKERS = {
    "tensorboard": Tracker("to_tensorboard", "TensorBoard", ("tensorboard",)),
    "mlflow": Tracker("to_mlflow", "MLflow", ("mlflow", "sqlalchemy", "alembic")),
    "wandb": Tracker("to_wandb", "WeightsAndBiases", ("wandb",)),
}


def check(name: str) -> str:
    """The name itself, if there is such a tracker and it is installed.

    Raises:
        UserError: there is none, or its library is missing.
    """
    if name not in TRACKERS:
        raise unknown("tracker: --track", name, TRACKERS)
    missing = [module for module in TRACKERS[name].needs if find_spec(module) is None]
    if missing:
        raise UserError(
            f"--track {name}: {', '.join(missing)} is not installed. Install it from a checkout with: "
            f"pip install '.[{name}]'"
        )
    return name


@contextmanager
def tracked(
    names: Sequence[str] | None, out: Path, listener: Listener, say: Callable[[str], None]
) -> Iterator[Listener]:
    """A listener that tells another one, and writes to trackers besides; an error of theirs is told once.

    Args:
        names: keys of TRACKERS.
        out: folder of the run directories; trackers write below ``tracking`` in it.
        listener: is told first.
        say: tells a person.
    """
    if not names:
        yield listener
        return
    sinks: list[Sink] = []

    def guarded(title: str, action: Callable[[], object]) -> bool:
        try:
            action()
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            say(f"{title} has failed ({type(error).__name__}: {said}); it is left out from here, and the runs go on.")
            return False
        return True

    def begin(name: str) -> None:
        sinks.append(TRACKERS[name].load()(out / "tracking" / name))

    def tell(event: Event) -> None:
        listener(event)
        for sink in list(sinks):
            if not guarded(sink.title, partial(sink, event)):
                sinks.remove(sink)
                with suppress(Exception):
                    sink.end()

    for name in dict.fromkeys(names):
        guarded(name, partial(begin, name))
    try:
        yield tell
    finally:
        for sink in sinks:
            if guarded(sink.title, sink.end) and sink.used:
                say(f"{sink.title}: {sink.view}")
