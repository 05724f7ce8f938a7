"""The command line: parse, call, print. torch and Avalanche are imported inside the commands that train."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from benchmark import config
from benchmark.backbones import BACKBONES
from benchmark.commands.options import number, place, words
from benchmark.config import Assignment
from benchmark.core import printing
from benchmark.core.errors import UserError
from benchmark.core.process.endings import Stopped
from benchmark.core.validation import limits
from benchmark.core.yaml_files import command
from benchmark.planning import plan, root_assignments, seeds, split_names
from strategies import registry
from strategies.traits import WORDS, answers

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.experiments.matrix import Choices, Experiment
    from benchmark.experiments.tuning import Trial


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # raised by code, not by a signal; typer would end without a word
            stop = Stopped("SIGINT")
            stop.__notes__ = getattr(error, "__notes__", [])
            raise stop from error


app = typer.Typer(
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
data_app = typer.Typer(no_args_is_help=True, help="Look at datasets on disk, and prepare them for training.")
app.add_typer(data_app, name="data")
profile_app = typer.Typer(no_args_is_help=True, help="Measure where the time goes.")
app.add_typer(profile_app, name="profile")
console = printing.Plain()
NARROW = 8
"""Letters of a column that says yes or no; its heading wraps."""

LARGEST_FEATURES = 4 * 2**30
"""Bytes of the features that ``profile layer`` convolves, at most; the paper's take 0.24 GiB."""


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        parser=words("--plugin"), help="A Python file or module that defines strategies; it is imported. Repeatable."
    ),
]


Root = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        parser=place("--data-root"),
        help="Folder that holds the stream's datasets; used instead of embedded photographs.",
    ),
]
Fallback = Annotated[
    str | None,
    typer.Option(
        parser=words("--fallback"), help="With --data-root: embedded stands in for datasets that are not there."
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", parser=words("--set"), help="One setting, such as cmc.fraction=0.05. Repeatable. See: list settings"
    ),
]
Preset = Annotated[str, typer.Option(parser=words("--preset"), help="Training length and sizes. See: list presets")]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seed", parser=words("--seed"), help="One seed, or several with commas between; by default the experiment's."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        parser=place("--out", made="folder"), help="Folder for the run directories; finished ones below it are reused."
    ),
]
Page = Annotated[Path, typer.Option(parser=place("--report", made="folder"), help="Folder for the report.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files in the report's folder that no report wrote.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list the runs: which are done, and the expected time.")]


class Kind(StrEnum):
    """What ``list`` can list."""

    strategies = "strategies"
    streams = "streams"
    presets = "presets"
    backbones = "backbones"
    datasets = "datasets"
    settings = "settings"


@app.command()
def run(
    strategy: Annotated[
        str,
        typer.Option(
            parser=words("--strategy"), help="One strategy, or several with commas between. See: list strategies"
        ),
    ],
    stream: Annotated[
        str, typer.Option(parser=words("--stream"), help="A shipped stream, or the path of a stream file (.yaml).")
    ] = "four_tasks",
    preset: Preset = "quick",
    seed: Annotated[str, typer.Option(parser=words("--seed"), help="One seed, or several with commas between.")] = "0",
    order: Annotated[
        str | None,
        typer.Option(parser=words("--order"), help="Another order of the stream's tasks, or only some: denoise,derain"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(parser=words("--data"), help="Where images come from. See: list datasets")
    ] = None,
    data_root: Root = None,
    fallback: Fallback = None,
    out: Out = Path("runs"),
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", parser=place("--config"), help="YAML file of settings, in sections like those of a preset."
        ),
    ] = None,
    assignments: Assignments = None,
    plugin: Plugins = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are finished.")] = False,
) -> None:
    """Train strategies on a stream, one run after another, and measure them after every task.

    A finished run is not done twice; an interrupted one goes on after its last finished task. Later settings win:
    preset, then --config, then --set.
    """
    _add_plugins(plugin)
    given: list[str | Assignment] = [*root_assignments(data_root, fallback), *(assignments or [])]
    configs = plan(strategy, stream, preset, seed, order, data, config_file, given)
    from benchmark.engine.events import Reporter
    from benchmark.engine.local import execute, resolve

    configs = [resolve(planned, console) for planned in configs]
    _tell_leaks(configs[0])
    _show_lines_at_once()
    with Reporter(console, sum(c.training.updates * len(c.order) for c in configs)) as reporter:
        done = execute(configs, out, reporter, force)
    from reports.terminal import show as show_run

    for finished in done:
        show_run(finished, console)
    console.print(f"\nA report of these runs: {command('report', out)}")


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    names: Annotated[bool, typer.Option("--names", help="Names alone, one a line, for scripts.")] = False,
    strategy: Annotated[
        str | None,
        typer.Option(parser=words("--strategy"), help="With settings: a strategy whose own settings to show."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List what can be chosen, with one line about each."""
    if strategy is not None and kind is not Kind.settings:
        raise UserError(f"--strategy {strategy} goes with 'list settings' alone, not with 'list {kind.value}'.")
    _add_plugins(plugin)
    if kind is Kind.settings:
        rows = _settings(strategy)
        columns = ["setting", "default", "accepted", "meaning"]
    else:
        rows = [[name, summary] for name, summary in _choices(kind).items()]
        columns = ["name", "summary"]
        if kind is Kind.strategies:
            declared = {name: answers(entry.traits) for name, entry in registry.entries().items()}
            rows = [[name, *declared[name].values(), summary] for name, summary in rows]
            columns = ["name", *WORDS.values(), "summary"]
    if names:
        for row in rows:
            console.print(row[0])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        narrow = NARROW if column in WORDS.values() else None
        table.add_column(column, no_wrap=column == columns[0], overflow="fold", max_width=narrow)
    for row in rows:
        table.add_row(*row)
    console.print(table)


@app.command()
def show(
    run: Annotated[Path, typer.Argument(parser=place("RUN"), help="A run directory.", metavar="RUN")],
) -> None:
    """Show one run in the terminal: settings, PSNR after each task, forgetting, cost."""
    from benchmark.core.runs.directory import find_runs
    from reports.terminal import show as show_run

    for found in find_runs([run]):
        show_run(found, console)


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(parser=place("RUN"), help="Run directories, or folders that hold some.", metavar="RUN..."),
    ],
    out: Annotated[Path, typer.Option(parser=place("--out", made="folder"), help="Folder for the report.")] = Path(
        "report"
    ),
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML report of runs, with every table as CSV and every figure as SVG and PNG."""
    from reports import build
    from reports.terminal import show_unreadable

    made = build(runs, out, overwrite=overwrite)
    show_unreadable(made.collection.unreadable, console)
    console.print(f"Report: {made.index.resolve()}")


@app.command()
def check(
    strategy: Annotated[
        str, typer.Option(parser=words("--strategy"), help="One strategy, or several with commas between.")
    ],
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Sizes; training is lengthened to 100 updates a task.")
    ] = "smoke",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", parser=words("--set"), help="One setting; repeatable.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Check that a strategy is what it declares: it learns, repeats, resumes, keeps no data, counts its costs truly."""
    _add_plugins(plugin)
    configs = plan(strategy, "four_tasks", preset, "0", "derain,denoise,deblur", None, None, assignments or [])
    from benchmark.conformance import check as examine
    from benchmark.engine.endings import blamed
    from benchmark.engine.local import resolve

    failed = 0
    for planned in configs:
        console.print(planned.strategy, style="bold")
        with blamed(planned.strategy):
            for finding in examine(resolve(planned)):
                failed += not finding.holds
                mark = ("ok  ", "green") if finding.holds else ("FAIL", "red")
                console.print(Text.assemble("  ", mark, printing.literal(f" {finding.question} ({finding.detail})")))
    if failed:
        console.print(f"{failed} check(s) failed.")
        raise typer.Exit(1)


@app.command()
def tune(
    strategy: Annotated[
        str | None,
        typer.Option(parser=words("--strategy"), help="Strategies to tune, with commas between; all by default."),
    ] = None,
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Training length and sizes to tune for.")
    ] = "quick",
    stream: Annotated[str, typer.Option(parser=words("--stream"), help="The stream to tune on.")] = "four_tasks",
    seed: Annotated[
        str,
        typer.Option(
            parser=words("--seed"), help="The first seed tries every value, the others the two best of each setting."
        ),
    ] = "0,1,2",
    out: Annotated[
        Path,
        typer.Option(
            parser=place("--out", made="folder"), help="Folder for the run directories; finished ones are reused."
        ),
    ] = Path("runs/tuning"),
    table: Annotated[
        Path, typer.Option(parser=place("--table", made="file"), help="CSV of what was tried, extended.")
    ] = Path("tuning.csv"),
) -> None:
    """Try the values of benchmark/experiments/tuning.yaml and score them on the validation photographs.

    The score is the mean PSNR over all tasks after the last one. The best values belong into the preset. A best value
    at the end of what was tried is told, since the next one might be better still.
    """
    from benchmark.experiments import tuning

    tuning.check_table(table)
    first, *others = seeds(seed)
    trials = tuning.grid(split_names(strategy) if strategy else None)
    tried = _tune(trials, [first], preset, stream, out, table)
    if others:
        tried = _tune(tuning.finalists(tried, trials), others, preset, stream, out, table)
    chosen = tuning.choices(tried)
    shown = Table("strategy", "setting", "best", "score", "next", "better by", box=None, header_style="bold")
    for one in chosen:
        spread = f" ± {one.spread:.3f}" if one.seeds > 1 else ""
        next_best = "" if one.second is None else f"{one.second:g}"
        better = "" if one.second is None else f"{one.margin:.3f}{spread} dB ({one.seeds} seed{'s'[: one.seeds - 1]})"
        shown.add_row(one.strategy, one.setting, f"{one.value:g}", f"{one.score:.3f}", next_best, better)
    console.print(shown)
    for one in chosen:
        if one.open_end:
            console.print(
                f"{one.setting} = {one.value:g} is the best and the last that was tried; add values beyond it to "
                "benchmark/experiments/tuning.yaml and run this command again."
            )


def _tune(
    trials: "Sequence[Trial]", numbers: Sequence[int], preset: str, stream: str, out: Path, table: Path
) -> "DataFrame":
    """Do the runs of some trials with some seeds, and write them into the table."""
    from benchmark.experiments import tuning

    listed = ",".join(str(number) for number in numbers)
    planned = [
        (trial, config)
        for trial in trials
        for config in plan(trial.strategy, stream, preset, listed, trial.order, None, None, [trial.assignment])
    ]
    from benchmark.engine.events import Reporter
    from benchmark.engine.local import execute, resolve

    configs = [resolve(config) for _, config in planned]
    with Reporter(console, sum(c.training.updates * len(c.order) for c in configs)) as reporter:
        done = execute(configs, out, reporter)
    return tuning.write(table, [(trial, run) for (trial, _), run in zip(planned, done, strict=True)])


@app.command()
def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(parser=words("NAME"), help="table1 to table7, figure4 to figure6, or all.", metavar="NAME..."),
    ],
    preset: Preset = "quick",
    seed: Seeds = None,
    data_root: Root = None,
    fallback: Fallback = None,
    out: Out = Path("runs"),
    report: Page = Path("report"),
    assignments: Assignments = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Make tables and figures of the paper: do the runs that are missing, then report ours beside the published ones.

    The experiment behind each is a file in benchmark/experiments/paper. With --preset paper and --data-root it is the
    paper's; with quick it is the same, small. No run is done twice, and one that was interrupted goes on.

        python -m benchmark reproduce table2 figure6

        python -m benchmark reproduce all --dry-run
    """
    from benchmark.experiments import paper

    asked = [paper.load(name) for name in dict.fromkeys(names) if name != "all"]
    experiments = [paper.load(name) for name in paper.names()] if "all" in names else asked
    choices = _choices_of(preset, seed, data_root, fallback, assignments)
    _experiment(experiments, choices, out, report, overwrite, dry_run)


@app.command()
def sweep(
    files: Annotated[list[Path], typer.Argument(parser=place("FILE"), help="Experiment files.", metavar="FILE...")],
    preset: Preset = "quick",
    seed: Seeds = None,
    data_root: Root = None,
    fallback: Fallback = None,
    out: Out = Path("runs"),
    report: Page = Path("report"),
    assignments: Assignments = None,
    plugin: Plugins = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Do the runs of an experiment of your own, a YAML matrix of strategies, streams, settings and seeds, and report.

    How to write one: docs/experiments.md.
    """
    from benchmark.experiments import matrix

    _add_plugins(plugin)
    experiments = [matrix.load(file) for file in files]
    _experiment(
        experiments, _choices_of(preset, seed, data_root, fallback, assignments), out, report, overwrite, dry_run
    )


@data_app.command("check")
def data_check(
    root: Annotated[
        Path, typer.Argument(parser=place("ROOT"), help="Folder that holds datasets.", metavar="[ROOT]")
    ] = Path("data"),
) -> None:
    """Open every image under ROOT: what was found, what is damaged or missing, what leaks from training to test."""
    from benchmark.data.checks.check import check as examine
    from benchmark.data.checks.view import render

    found = examine(root, console)
    render(found, console)
    if found.problems:
        raise typer.Exit(1)


@data_app.command("prepare")
def data_prepare(
    root: Annotated[Path, typer.Argument(parser=place("ROOT"), help="Folder that holds datasets.", metavar="ROOT")],
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=place("--cache", made="folder"), help="Folder for the cache; beside the data if not given."
        ),
    ] = None,
) -> None:
    """Decode the training images under ROOT once, so that a patch costs a crop. Run it again after an interruption."""
    from benchmark.data.cache import prepare_all

    prepared = prepare_all(root, cache, console)
    for one in prepared:
        state = one.problem or (str(one.place) if one.place else "only test images, nothing to cache")
        console.print(f"{one.dataset.name}: {state}")
    if any(one.problem for one in prepared):
        raise typer.Exit(1)


@profile_app.command("data")
def profile_data(
    step_ms: Annotated[
        float | None,
        typer.Option(
            parser=number("--step-ms", 0.001, 1e6, whole=False),
            help="Milliseconds of a training step, to tell one worker's share of it; else measured at quick.",
        ),
    ] = None,
) -> None:
    """Time a training patch: cropped from the cache, against decoding the PNG it comes from, and against a step."""
    from benchmark.profiling import patches

    step = step_ms or patches.step_milliseconds(*config.sizes("quick"))
    patches.render(patches.profile(step), console)
    console.print(f"A training step takes {step:.1f} ms; a share below 100% keeps one worker ahead of training.")


@profile_app.command("layer")
def profile_layer(
    out: Annotated[Path, typer.Option(parser=place("--out", made="file"), help="The CSV file to write.")] = Path(
        "layer-patches.csv"
    ),
    size: Annotated[
        int, typer.Option(parser=number("--size", 8, 8192), help="Height and width of the features in pixels.")
    ] = 1000,
    channels: Annotated[
        int, typer.Option(parser=number("--channels", 1, 1024), help="Channels into and out of the layer.")
    ] = 64,
    repeats: Annotated[
        int, typer.Option(parser=number("--repeats", 1, 1000), help="How often each is timed; the median counts.")
    ] = 7,
) -> None:
    """Measure the paper's Table 6: what more parameters cost as larger kernels, as more layers, and in CMC's memory.

    Times are those of a forward pass, taken by turns; ratios are to a plain convolution.
    """
    features = 4 * channels * size**2
    if features > LARGEST_FEATURES:
        raise UserError(
            f"--channels {channels} and --size {size} are {features / 2**30:.1f} GiB of features; at most "
            f"{LARGEST_FEATURES / 2**30:g} GiB."
        )
    from benchmark.profiling import layer

    layer.render(layer.profile(out, channels, size, repeats, console), console)
    console.print(f"Written: {out.resolve()}")


def _choices_of(
    preset: str, seed: str | None, data_root: Path | None, fallback: str | None, assignments: list[str] | None
) -> "Choices":
    from benchmark.experiments.matrix import Choices

    given: list[str | Assignment] = [*root_assignments(data_root, fallback), *(assignments or [])]
    return Choices(preset, tuple(seeds(seed)) if seed else (), tuple(given))


def _experiment(
    experiments: "Sequence[Experiment]",
    choices: "Choices",
    out: Path,
    page: Path,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Do what is missing of some experiments, and report their runs."""
    from benchmark.experiments import matrix, schedule
    from benchmark.experiments.measurements import MEASUREMENTS
    from reports import folder

    if not dry_run:
        folder.check(page, overwrite)

    matrix.refuse_strangers(experiments, choices)
    asked = [(experiment.name, matrix.expand(experiment, choices)) for experiment in experiments]
    from benchmark.engine.events import Reporter
    from benchmark.engine.local import execute, resolve

    needed: dict[str, list[str]] = {}
    configs = []
    for name, members in asked:
        for config_ in members:
            resolved = resolve(config_, console)
            configs.append(resolved)
            if name not in needed.setdefault(resolved.identity, []):
                needed[resolved.identity].append(name)
    planned = schedule.schedule(configs, out)
    measurements = {one.name: MEASUREMENTS[one.measure] for one in experiments if one.measure}
    if dry_run:
        if planned:
            schedule.render(planned, needed, console)
        for name, one in measurements.items():
            path = out / one.file
            console.print(f"{name}: {'measured' if path.exists() else 'to be measured'}, {path}")
        return
    if planned:
        console.print(schedule.summary(planned))
    _show_lines_at_once()
    configs = [one.config for one in planned]
    for config_ in {one.stream: one for one in configs}.values():
        _tell_leaks(config_)
    weights = [one.seconds_per_task / one.config.training.updates for one in planned]
    work = sum(one.seconds_per_task * len(one.config.order) for one in planned)
    with Reporter(console, work) as reporter:
        done = execute(configs, out, reporter, weights=weights)
    measured = [one.of(out, console) for one in measurements.values()]
    from reports import build
    from reports.terminal import show_scorecard

    made = build([run.path for run in done], page, layer=next(iter(measured), None), overwrite=overwrite)
    show_scorecard(made.scorecard, console)
    console.print(f"Report: {made.index.resolve()}")


def _show_lines_at_once() -> None:
    """Where the output is no terminal but a log, let every line be there as soon as it is printed."""
    if not console.is_terminal:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _tell_leaks(planned: config.RunConfig) -> None:
    """Say which tasks train on images that a test set holds, too; their results flatter."""
    for task, source in zip(planned.order, planned.sources, strict=True):
        if source["leaks"]:
            console.print(
                f"Note: {source['leaks']} training images of {task} ({source['train']['name']}) also stand in a test "
                "set of this stream. See: data check"
            )


def main() -> None:
    """Run the command line; an error of the user's ends with its message and exit code 2."""
    try:
        app()
    except UserError as error:
        printing.error("\n".join([str(error), *getattr(error, "__notes__", [])]))
        sys.exit(2)


def _choices(kind: Kind) -> dict[str, str]:
    if kind is Kind.strategies:
        return {name: entry.summary for name, entry in registry.entries().items()}
    if kind is Kind.presets:
        return config.presets()
    if kind is Kind.backbones:
        return {name: summary for name, (_, summary) in BACKBONES.items()}
    if kind is Kind.datasets:
        return dict(config.SOURCES)
    from benchmark.streams.definition import load, shipped

    return {name: load(name).summary for name in shipped()}


def _settings(strategy: str | None) -> list[list[str]]:
    models: dict[str, Any] = dict(config.SECTIONS)
    if strategy is not None:
        models = {strategy: registry.load(strategy).Settings}
    rows = []
    for section, model in models.items():
        for name, field in model.model_fields.items():
            accepted = limits(field) or _type_name(field.annotation)
            rows.append([f"{section}.{name}", str(field.default), accepted, field.description or ""])
    return rows


def _type_name(annotation: Any) -> str:
    if getattr(annotation, "__args__", None):
        return " | ".join(_type_name(part) if isinstance(part, type) else str(part) for part in annotation.__args__)
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _add_plugins(sources: list[str] | None) -> None:
    for source in sources or []:
        registry.add_plugin(source)
