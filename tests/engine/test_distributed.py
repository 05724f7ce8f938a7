"""Two processes that share each batch, as torchrun starts them: they learn what one learns, and end together."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from avalanche.core import SupervisedPlugin
from conftest import PATIENCE, ROOT, wait_until
from safetensors.torch import load_file
from torch import nn
from two_processes import FAULTS, learned

from benchmark.config import Training
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import find_runs
from benchmark.engine import job
from benchmark.engine.distributed import group, meeting, sharing
from benchmark.engine.distributed.group import Group
from benchmark.engine.executors.execute import execute
from benchmark.engine.executors.workers import Workers
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from strategies.built_in import BUILT_IN

ROUNDING = 1e-12
"""What float64 may differ by after 15 updates: weights are below 10, each update rounds them and their gradients by
some 1e-16 of that, and nothing in so short a training enlarges it a thousandfold (1e-14 was the largest seen)."""
PSNR = 0.01
"""What float32 may differ by in dB, and in the loss relatively, after 12 updates of the real command; 1e-5 was seen."""
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SMALL = ["--preset", "smoke", "--order", "denoise,deblock"]
PLUGIN = '''
import os, signal, time
from pathlib import Path
from pydantic import Field
from strategies.base import Settings, Strategy
from benchmark.core.process import endings
from benchmark.engine.distributed import group

HOLD = Path(__file__).with_name("hold")

class FaultySettings(Settings):
    """What goes wrong."""
    fault: str = Field("none", description="what goes wrong in process 1 at the fourth update")

class Faulty(Strategy):
    """A strategy that fails in one of two processes."""
    name = "faulty"
    Settings = FaultySettings

    def before_training_iteration(self, trainer):
        fourth = trainer.clock.train_exp_iterations == 3
        held = fourth and self.settings.fault == "held" and trainer.experience.current_experience == 1
        while held and HOLD.exists() and not endings.pending():
            time.sleep(0.05)
        if group.rank() == 1 and fourth:
            if self.settings.fault == "raises":
                raise RuntimeError("out of luck")
            if self.settings.fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.settings.fault == "stopped":
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
'''


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}


def start(*words: str) -> subprocess.Popen[str]:
    """The command in two processes; both outputs in one."""
    return subprocess.Popen(
        [*LAUNCH, *words],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def done(*words: str) -> tuple[int, str]:
    """Exit code and output of the command in two processes."""
    process = start(*words)
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def pair_done(*words: str) -> tuple[int, str]:
    """Exit code of the first and output of both of two processes, which start sooner than torchrun's; this one keeps
    the store, as torchrun does, and stops neither."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    surroundings = {
        **environment(),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RUN_ID": "test",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    both = [forked.begin(*words, env=surroundings | {"RANK": rank, "LOCAL_RANK": rank}) for rank in "01"]
    said = ["".join(one.communicate(timeout=PATIENCE)) for one in both]
    return both[0].returncode or 0, "".join(said)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each strategy has learned in two processes."""
    folder = tmp_path_factory.mktemp("shared")
    code, said = done(str(ROOT / "tests" / "two_processes.py"), str(folder), *BUILT_IN, *FAULTS)
    assert code == 0, said
    return folder


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Group:
    """This process as the second of two that are not there."""
    made = Group(store=torch.distributed.HashStore(), rank=1, size=2, here=2, on_gpus=False)
    monkeypatch.setattr(group, "_group", made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("strategy", BUILT_IN)
def test_distributed_training_learns_what_one_process_learns(shared: Path, strategy: str) -> None:
    together, alone = load_file(shared / f"{strategy}.safetensors"), learned(strategy)
    assert together.keys() == alone.keys()
    for name, tensor in alone.items():
        assert tensor.dtype == together[name].dtype
        if tensor.is_floating_point():
            torch.testing.assert_close(together[name], tensor, rtol=ROUNDING, atol=ROUNDING, msg=name)
        else:
            assert torch.equal(together[name], tensor), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("draws", "'batch[0]' is not the same in processes 0 and 1 in the first batch of an epoch"),
        ("drifts", "'head.weight' is not the same in processes 0 and 1 after 5 updates of a task"),
        ("hides", "'strategy.hidden' is not the same in processes 0 and 1 before the task"),
    ],
)
def test_distributed_processes_that_differ_are_found(shared: Path, fault: str, told: str) -> None:
    for rank in (0, 1):
        assert told in (shared / f"{fault}.{rank}.txt").read_text()


@pytest.mark.slow
def test_distributed_runs_of_the_real_command(tmp_path: Path) -> None:
    code, said = done("-m", "benchmark", "run", "--strategy", "cmc,replay", *SMALL, "--out", str(tmp_path / "two"))
    assert code == 0, said
    assert said.count("run 1 of 2") == 1  # one process prints
    assert "Warning" not in said
    for two in find_runs([tmp_path / "two"]):
        one = job.run(two.config, tmp_path / "one" / two.name)
        assert (two.finished, two.environment["processes"], one.environment["processes"]) == (True, 2, 1)
        for table, columns in (("metrics", ["value"]), ("curves", ["loss", "psnr"])):
            found, expected = getattr(two, table), getattr(one, table)
            compared = found["unit"] == "dB" if table == "metrics" else found["loss"].notna()
            assert compared.any()
            for column in columns:
                assert (found[column] - expected[column])[compared].abs().max() < PSNR
        assert two.ledger.equals(one.ledger)


@pytest.fixture
def faulty(tmp_path: Path) -> list[str]:
    """The command for a strategy that fails, but for how."""
    (tmp_path / "faulty.py").write_text(PLUGIN)
    plugin = ["--plugin", str(tmp_path / "faulty.py")]
    return ["run", "--strategy", "faulty", *SMALL, *plugin, "--out", str(tmp_path / "runs"), "--set"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "state", "told"),
    [
        ("raises", "failed", "Process 1 of 2, counted from 0, has failed: RuntimeError: out of luck"),
        ("killed", "failed", "Another process of this run has ended without a word"),
        ("stopped", "interrupted", "stopped by SIGTERM"),
    ],
)
def test_distributed_processes_end_together(
    faulty: list[str], tmp_path: Path, fault: str, state: str, told: str
) -> None:
    words = [*faulty, f"faulty.fault={fault}"]
    by_torchrun = fault == "raises"  # which stops all processes once one has ended
    code, said = done("-m", "benchmark", *words) if by_torchrun else pair_done(*words)
    assert code != 0
    (run,) = find_runs([tmp_path / "runs"])
    assert run.status["state"] == state, said
    assert told in run.status["error"], said
    assert said.count("Traceback") == by_torchrun + (fault == "raises"), said  # its own, and that of an error in code


@pytest.mark.slow
def test_distributed_run_is_stopped_by_a_signal_and_goes_on(faulty: list[str], tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    process = start("-m", "benchmark", *faulty, "faulty.fault=held")
    wait_until(lambda: [*(tmp_path / "runs").glob("*/checkpoints/task-1-update-3.safetensors")], process)
    (run,) = find_runs([tmp_path / "runs"])
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE)
    assert run.status["state"] == "interrupted", said
    assert run.status["error"] == "stopped by SIGTERM"
    assert "Go on with: torchrun --nproc-per-node 2 -m benchmark run" in said
    hold.unlink()
    code, said = pair_done(*faulty, "faulty.fault=held")
    assert code == 0, said
    assert "goes on after 1 of 2 tasks, 10 updates in all" in said, said
    assert run.finished
    (config,) = plan(
        "finetune", "four_tasks", "smoke", "0", "denoise,deblock", None, None, []
    )  # which it is but for time
    alone = job.run(resolve(config), tmp_path / "alone")
    assert list(run.curves["update"]) == list(alone.curves["update"])
    assert (run.curves["psnr"] - alone.curves["psnr"]).abs().max() < PSNR


@pytest.mark.parametrize("size", [2, 4])
def test_distributed_shares_make_up_the_batch(pair: Group, size: int) -> None:
    batch = [torch.arange(8.0), torch.arange(8)]
    shares = []
    for rank in range(size):
        pair.rank, pair.size = rank, size
        shares.append(sharing.share(batch))
    for place, part in enumerate(batch):
        assert torch.equal(torch.cat([one[place] for one in shares]), part)
        assert {len(one[place]) for one in shares} == {8 // size}


def test_distributed_batches_that_cannot_be_shared_are_refused(pair: Group) -> None:
    cpu = torch.device("cpu")
    group.require(Training(batch_size=16), cpu)
    with pytest.raises(UserError, match=r"training\.batch_size = 15 patches .* 2 processes"):
        group.require(Training(batch_size=15), cpu)
    with pytest.raises(UserError, match=r"A batch of 3 patches .* 2 processes"):
        sharing.share([torch.zeros(3)])
    with pytest.raises(UserError, match="2 processes on this machine cannot each have one of its 0 GPUs"):
        group.require(Training(batch_size=16), torch.device("cuda"))
    with pytest.raises(UserError, match="cannot be given to 2 processes: SupervisedPlugin"):
        group.require(Training(batch_size=16), cpu, [SupervisedPlugin()])


@pytest.mark.parametrize(("workers", "told"), [(Workers(jobs=2), "--jobs 2"), (Workers(engine="ray"), "--engine ray")])
def test_distributed_processes_train_one_run_at_a_time(
    pair: Group, tmp_path: Path, workers: Workers, told: str
) -> None:
    with pytest.raises(UserError, match=f"{told}: the 2 processes of torchrun train one run at a time"):
        execute([], tmp_path, workers=workers)


def test_distributed_processes_do_no_run_after_one_that_failed(pair: Group) -> None:
    settings, cpu = Training(batch_size=16), torch.device("cpu")
    with group.together():
        pass
    group.require(settings, cpu)
    with pytest.raises(UserError, match="it diverged"), group.together():
        raise UserError("it diverged")
    with pytest.raises(UserError, match="The 2 processes ended with the run before"):
        group.require(settings, cpu)
    pair.rank = 0
    with pytest.raises(UserError, match="Process 1 of 2, counted from 0, has failed: it diverged"), group.together():
        raise RuntimeError("Connection closed by peer")


def test_distributed_layers_that_mix_a_batch_are_refused() -> None:
    meeting.refuse_mixing(nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3), nn.Dropout(0)))
    refused: list[tuple[Any, str]] = [
        (nn.BatchNorm2d(3), "'1' .BatchNorm2d. normalises by the whole batch"),
        (nn.InstanceNorm2d(3, track_running_stats=True), "'1' .InstanceNorm2d. normalises"),
        (nn.Dropout(0.5), "'1' .Dropout. drops features at random"),
    ]
    for layer, told in refused:
        with pytest.raises(UserError, match=told):
            meeting.refuse_mixing(nn.Sequential(nn.Conv2d(3, 3, 1), layer))


def test_distributed_functions_do_nothing_in_one_process() -> None:
    batch, loss, layer = [torch.zeros(3)], torch.zeros(1), nn.Conv2d(1, 1, 1)
    assert group.size() == 1
    assert group.leads()
    group.require(Training(batch_size=15), torch.device("cpu"))
    assert torch.equal(sharing.share(batch)[0], batch[0])
    assert sharing.average(layer, loss) is loss
    assert layer.weight.grad is None
