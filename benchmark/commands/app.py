"""The command line: which commands there are. Each is a function in a file of its group: it parses, calls and prints.

Help and errors in options import nothing but these files; what a command needs is imported when it is called.
"""

import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from benchmark.commands import check, data, listing, profile, reference, report, reproduce, run, tune
from benchmark.core import printing
from benchmark.core.errors import UserError, shortage, told
from benchmark.core.files import temporary_place
from benchmark.core.process import torchrun
from benchmark.core.process.endings import Stopped, mute


class _Helpful:
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print help, as everything is printed; where Python drops docstrings, which are its texts, that is told."""
        with printing.written():
            super().format_help(ctx, formatter)  # type: ignore[misc]
        if sys.flags.optimize > 1:
            printing.Plain().print(
                "Texts are missing here: Python drops them with -OO or PYTHONOPTIMIZE=2. Ask for help without."
            )


class _Commands(_Helpful, TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # raised by code, not by a signal; typer would end without a word
            stop = Stopped("SIGINT")
            stop.__notes__ = getattr(error, "__notes__", [])
            raise stop from error


class _Command(_Helpful, TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option that takes one value and is given two, of which the first would count for nothing."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        *_, order = self.make_parser(ctx).parse_args(args=given)
        for option in {one.name: one for one in order if isinstance(one, TyperOption)}.values():
            if order.count(option) > 1 and not (option.multiple or option.count or option.is_flag):
                raise UserError(
                    f"{option.opts[0]} is given {order.count(option)} times, and takes one value. Where several are "
                    "meant, they go into one with commas between, as in --seed 0,1."
                )
        return rest


class _Typer(typer.Typer):
    def command(self, name: str | None = None, **kwargs: Any) -> Any:
        """A command that is a :class:`_Command`."""
        return super().command(name, cls=_Command, **kwargs)


app = _Typer(
    name="python -m benchmark",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Train strategies on a stream of image restoration tasks and measure what they learn and forget.

    A first comparison, and its report:

        python -m benchmark run --strategy cmc,finetune --stream four_tasks

        python -m benchmark report runs
    """,
)
app.command()(run.run)
app.command("list")(listing.list_)
app.command()(listing.show)
app.command()(report.report)
app.command()(check.check)
app.command()(tune.tune)
app.command()(reproduce.reproduce)
app.command()(reproduce.sweep)

data_app = _Typer(cls=_Commands, no_args_is_help=True, help="Look at datasets on disk, and prepare them for training.")
data_app.command("check")(data.data_check)
data_app.command("prepare")(data.data_prepare)
app.add_typer(data_app, name="data")

runs_app = _Typer(cls=_Commands, no_args_is_help=True, help="Look after run directories.")
runs_app.command("check")(check.runs_check)
app.add_typer(runs_app, name="runs")

reference_app = _Typer(
    cls=_Commands,
    no_args_is_help=True,
    help="Finished runs that come with the suite: what there is, and whether it can be repeated.",
)
reference_app.command("list")(reference.reference_list)
reference_app.command("verify")(reference.reference_verify)
reference_app.command("page")(reference.reference_page)
reference_app.command("pack")(reference.reference_pack)
app.add_typer(reference_app, name="reference")

profile_app = _Typer(cls=_Commands, no_args_is_help=True, help="Measure where the time goes.")
profile_app.command("data")(profile.profile_data)
profile_app.command("layer")(profile.profile_layer)
profile_app.command("train")(profile.profile_train)
profile_app.command("inference")(profile.profile_inference)
profile_app.command("start")(profile.profile_start)
app.add_typer(profile_app, name="profile")


def main() -> None:
    """Run the command line; an error of the user's ends with its message and exit code 2.

    Of several processes that torchrun has started, one does; the others train along.
    """
    try:
        _call()
    except UserError as error:
        printing.error("\n".join([str(error), *getattr(error, "__notes__", [])]))
        sys.exit(error.exit_code)
    except OSError as error:
        code = getattr(error.__context__, "exit_code", None)
        if code is None:
            raise
        mute(stderr=True)  # an error in options that cannot be written
        sys.exit(code)


def _call() -> None:
    try:
        if torchrun.processes() > 1:
            from benchmark.engine.follower import share_command

            share_command(app)
        else:
            app()
    except FileNotFoundError:
        temporary_place()  # without which torch cannot be imported; where there is none, that is told
        raise
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if short := _short(error):
            raise UserError(f"{short} ({told(error).removesuffix(': ')})") from error
        raise


def _short(error: Exception) -> str:
    """What to do where a command had too little of something; empty where it had not."""
    match shortage(error):
        case "memory" | "shared memory" as what:
            return f"The {what} is full, or less of it may be used than is needed (ulimit -v). End what else uses it."
        case "files":
            return "More files are open at once than may be. Raise the limit before the command: ulimit -n 4096"
        case "room":
            place = temporary_place()
            return f"A disk is full. Make room where this writes, and for temporary files in '{place}' (TMPDIR)."
    return ""
