"""What every task owns is hashed when it is learned, and compared after every later task."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import made_run
from rich.console import Console

import reports
from benchmark.core import metrics
from benchmark.core.runs import schemas, seals, writing
from benchmark.core.runs.directory import Run, find_runs
from benchmark.engine.checkpoints import load_checkpoint
from benchmark.engine.local import execute
from benchmark.engine.recorder import tensor_digests
from benchmark.engine.setup import prepare, resolve
from benchmark.engine.template import RestorationTemplate
from benchmark.planning import plan
from reports import terminal
from reports.groups import collect
from reports.paper.claims import judge
from reports.paper.evidence import gather
from reports.results import read
from strategies.cmc.network import CMCNetwork, fold

ORDER = ("derain", "denoise", "deblock")


def smoke(strategy: str, out: Path, *assignments: str) -> Run:
    planned = plan(strategy, "four_tasks", "smoke", "0", ",".join(ORDER), None, None, list(assignments))
    return execute([resolve(config) for config in planned], out)[0]


def changed(run: Run) -> dict[tuple[int, int], tuple[int, int]]:
    """(after, place) → (tensors changed, tensors compared)."""
    rows = run.metrics.query("metric == 'owned_changed'")
    keys = zip(rows["after"], rows["place"], strict=True)
    return dict(zip(keys, zip(rows["value"].astype(int), rows["images"], strict=True), strict=True))


@pytest.mark.parametrize("strategy", ["independent", "pnn", "lira"])
def test_tiles_of_an_earlier_task_stay_where_they_are_as_a_network_grows(strategy: str, tmp_path: Path) -> None:
    """They overlap by the reach of what the task uses; cut elsewhere, they would be rounded otherwise."""
    images = ["data.tile=64", "data.test_size=112", "data.validation_size=32", "data.dead_leaves=0"]
    short = ["training.epochs=1", "training.updates_per_epoch=1", "backbone.width=4", "backbone.blocks=1"]
    metrics_of = smoke(strategy, tmp_path, *images, *short).metrics
    rows = metrics_of.query("metric == 'outputs_changed'")
    assert rows["images"].sum() > 0
    assert rows["value"].sum() == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return smoke("cmc", tmp_path_factory.mktemp("owned"))


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "measured"), [("cmc", 9 + 6 + 3), ("finetune", 9 + 9 + 9)])
def test_outputs_that_did_not_change_are_not_measured_again(
    strategy: str, measured: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three images of each of three tasks after every task; of cmc those of a learned task do not change any more."""
    counted = 0
    measure = metrics.recorded

    def counting(*images: Any) -> dict[str, float]:
        nonlocal counted
        counted += 1
        return measure(*images)

    monkeypatch.setattr(metrics, "recorded", counting)
    run = smoke(strategy, tmp_path)
    inputs = 9
    assert counted == inputs + measured
    rows = run.outputs
    assert len(rows) == 27
    for _, same in rows.groupby(["place", "image", "sha256"]):
        assert len(same[[metric.name for metric in metrics.METRICS]].drop_duplicates()) == 1


@pytest.mark.slow
def test_what_is_hashed_are_the_folded_kernels_and_biases(run: Run) -> None:
    """Against the last checkpoint, with hashes taken here."""
    strategy, network = prepare(plan("cmc", "four_tasks", "smoke", "0", ",".join(ORDER), None, None, [])[0])
    assert isinstance(network, CMCNetwork)
    for task in range(3):
        network.begin(task)
        network.end()
    load_checkpoint(run.checkpoint(3), network, strategy)
    rows = run.rows("owned.csv")
    for task, name in enumerate(ORDER):
        told = {row["tensor"]: row["sha256"] for row in rows if row["place"] == task + 1}
        expected = {
            key: hashlib.sha256(f"torch.float32 {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
            for key, tensor in fold(network, task).state_dict().items()
        }
        assert told == {key: digest.hexdigest() for key, digest in expected.items()}
        assert {(row["after"], row["task"]) for row in rows if row["place"] == task + 1} == {(task + 1, name)}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["packnet", "independent", "deform", "cmc"])
def test_nothing_changes_in_what_is_protected(strategy: str, run: Run, tmp_path: Path) -> None:
    found = changed(run if strategy == "cmc" else smoke(strategy, tmp_path))
    assert set(found) == {(2, 1), (3, 1), (3, 2)}
    assert all(count == 0 and compared >= 4 for count, compared in found.values())


@pytest.mark.slow
def test_a_plain_network_has_no_rows(tmp_path: Path) -> None:
    plain = smoke("finetune", tmp_path)
    assert not changed(plain)
    assert not plain.rows("owned.csv")
    assert read(plain).owned is None


@pytest.mark.slow
def test_a_single_changed_number_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far too small to be seen in a picture, and then put back."""
    end = CMCNetwork.end

    def tampering(network: CMCNetwork) -> None:
        end(network)
        kernel = network.layers[1].get_buffer("kernel_0")
        if network.known[-1] == 1:
            network.before = kernel.clone()
            kernel[torch.nonzero(kernel)[0]] *= 1 + 1e-6
        elif network.known[-1] == 2:
            kernel.copy_(network.before)

    monkeypatch.setattr(CMCNetwork, "end", tampering)
    found = changed(smoke("cmc", tmp_path))
    assert [found[key][0] for key in ((2, 1), (3, 1), (3, 2))] == [1, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True], ids=["kept", "its table lost"])
def test_a_resumed_run_compares_with_what_was_learned(
    lost: bool, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = RestorationTemplate.learn

    def interrupted(template: Any, experience: Any, *rest: Any) -> None:
        learn(template, experience, *rest)
        if experience.current_experience == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RestorationTemplate, "learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            smoke("cmc", tmp_path)
    (cut,) = find_runs([tmp_path])
    if lost:
        (cut.path / "owned.csv").unlink()
    resumed = smoke("cmc", tmp_path)
    for name in ("owned.csv", "metrics.csv"):
        assert (resumed.path / name).read_bytes() == (run.path / name).read_bytes()


def test_type_shape_and_bytes_decide() -> None:
    def digest(tensor: torch.Tensor) -> str:
        return tensor_digests({"one": tensor})["one"]

    ones = torch.ones(2, 3)
    others = [ones.double(), ones.view(3, 2), ones.to(torch.bfloat16), torch.tensor(1.0), ones.bool(), -ones]
    assert len({digest(tensor) for tensor in [ones, *others]}) == 7
    zeros = [torch.zeros(2, 3, dtype=dtype) for dtype in (torch.float32, torch.int32, torch.float16, torch.int16)]
    assert len({digest(tensor) for tensor in zeros}) == 4, "types of one size, whose bytes are the same"
    assert digest(ones.T.contiguous().T) == digest(ones), "not how they lie in memory"
    assert digest(torch.arange(6.0)[::2]) == digest(torch.tensor([0.0, 2.0, 4.0]))
    assert digest(torch.zeros(1).expand(2, 3)) == digest(zeros[0])
    assert list(tensor_digests({"b": ones, "a": ones})) == ["a", "b"]


class TestReports:
    """Runs whose table says how many tensors changed."""

    @pytest.fixture
    def told(self, tmp_path: Path) -> Run:
        return self.made(tmp_path / "runs", 0)

    def made(self, folder: Path, tensors: int) -> Run:
        made = made_run(folder, "cmc")
        rows = made.rows("metrics.csv")
        for place in (1, 2, 3):
            one = {"after": 4, "place": place, "subject": "owned", "metric": "owned_changed", "unit": "count"}
            rows.append({**one, "value": tensors, "images": 28})
        writing.write_table(made.path / "metrics.csv", rows, schemas.METRICS)
        seals.seal(made.path)
        return made

    @pytest.mark.slow
    def test_they_stand_beside_the_outputs(self, told: Run, tmp_path: Path) -> None:
        result = read(told)
        assert (result.changed, result.owned) == ((0, 6), (0, 84))
        stream = io.StringIO()
        terminal.show(told, Console(file=stream, width=200))
        assert "0 of 6 outputs changed, and 0 of 84 tensors that they depend on" in stream.getvalue()
        page = reports.build([told.path], tmp_path / "page").index.read_text(encoding="utf-8")
        assert "0 of 84 tensors" in page
        assert "proof, for any image" in page
        table = next((tmp_path / "page" / "tables").glob("*-comparison.csv")).read_text(encoding="utf-8")
        assert "owned tensors changed,owned tensors compared" in table

    @pytest.mark.slow
    def test_runs_from_before_have_no_word_of_them(self, tmp_path: Path) -> None:
        page = reports.build([made_run(tmp_path / "runs", "cmc").path], tmp_path / "page").index.read_text(
            encoding="utf-8"
        )
        assert not re.search(r"\d tensors", page)
        assert "proof, for any image" not in page

    @pytest.mark.slow
    def test_the_claim_holds_only_if_no_tensor_changed(self, told: Run, tmp_path: Path) -> None:
        made_run(tmp_path / "runs", "cmc", seed=1)
        assert self.verdict(tmp_path).state == "holds"
        words = "0 of 84 tensors on which such outputs depend, in the 1 where they were compared"
        assert words in self.verdict(tmp_path).measured
        self.made(tmp_path / "runs", 1)
        assert self.verdict(tmp_path).state == "contradicted"
        assert "3 of 168 tensors" in self.verdict(tmp_path).measured

    def verdict(self, folder: Path) -> Any:
        (evidence,) = gather(collect([folder / "runs"]))
        return next(one for one in judge(evidence) if one.claim.key == "never-changes")
