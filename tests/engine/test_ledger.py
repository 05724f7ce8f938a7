"""What is counted: images that have to be kept, and parameters that a task trains."""

import pytest
import torch

from baselines.cumulative import Cumulative
from baselines.finetune import Finetune
from baselines.together import Together, TogetherTaskId
from benchmark import presets
from benchmark.backbones import build
from benchmark.config import Backbone
from benchmark.core.process import memory
from benchmark.engine import ledger
from benchmark.engine.ledger import needed_again, plain_parameters, trainable_parameters
from strategies import registry
from strategies.base import EXEMPLARS, Settings, Strategy, TaskNetwork
from strategies.built_in import BUILT_IN

CPU = torch.device("cpu")


class Pairwise(Strategy):
    """Trains every task together with the one before, a plugin's own way."""

    name = "pairwise"

    def rounds(self, tasks: int) -> list[list[int]]:
        return [[0], *([task - 1, task] for task in range(1, tasks))]


class Halves(Strategy):
    """Trains the two halves of a stream jointly, each by itself."""

    name = "halves"

    def rounds(self, tasks: int) -> list[list[int]]:
        return [list(range(tasks // 2)), list(range(tasks // 2, tasks))] if tasks > 1 else [[0]]


@pytest.mark.parametrize(
    ("kind", "learned", "needed"),
    [
        (Finetune, 2, set()),
        (Finetune, 4, set()),
        (Cumulative, 1, {0}),
        (Cumulative, 4, {0, 1, 2, 3}),
        (Together, 4, {0, 1, 2, 3}),
        (TogetherTaskId, 4, {0, 1, 2, 3}),
        (Pairwise, 1, {0}),
        (Pairwise, 4, {3}),
        (Halves, 4, {2, 3}),
    ],
)
def test_what_is_trained_on_again_has_to_be_kept(kind: type[Strategy], learned: int, needed: set[int]) -> None:
    """With a task more than was learned, halves would train on tasks 2, 3 and 4 together."""
    assert needed_again(kind(Settings()), learned, 4) == needed


def test_what_is_stored_is_told_by_kind_and_complex_numbers_are_no_masks() -> None:
    model = {"weight": torch.zeros(6), "spectrum": torch.zeros(5, dtype=torch.complex64)}
    model["owner"] = torch.zeros(3, dtype=torch.int8)
    strategy = {"used": torch.zeros(2, dtype=torch.bool), f"{EXEMPLARS}0": torch.zeros(4, dtype=torch.uint8)}
    assert ledger.storage(model, strategy) == ledger.Storage(11, 6 * 4 + 5 * 8 + 3 + 2 + 4, 3 + 2, 4)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_keeps_images_outside_of_its_checkpoint_declares_it(name: str) -> None:
    kind = registry.load(name)
    strategy = kind(kind.Settings())
    assert kind.traits.stores_data or not needed_again(strategy, 2, 4)


def begun(name: str, preset: str, width: int) -> list[int]:
    """Parameters that the first and the second task train and keep, with the preset's settings."""
    kind = registry.load(name)
    strategy = kind(registry.settings(kind, presets.settings(preset, name)))
    network = strategy.adapt(build("resnet", width, 6, False), 4)
    assert isinstance(network, TaskNetwork)
    network.train()
    sizes = []
    for task in range(2):
        network.begin(task)
        if name == "packnet":
            network.prune()
        sizes.append(trainable_parameters(network))
        network.end()
    return sizes


def test_the_papers_numbers_of_parameters() -> None:
    """Section 4.3: pruning takes 12.5 % of the network, CMC-5 10 % of its own five times as many."""
    weights, biases, layers = 445_824, 835, 14
    assert plain_parameters(Backbone(width=64)) == weights + biases
    assert begun("cmc", "paper", 64) == [weights // 2 + biases + 5 * layers] * 2
    assert begun("packnet", "paper", 64) == [weights // 8 + biases, weights // 8]


def peak() -> int | None:
    ledger.reset_peak_memory(CPU)
    torch.ones(2**22)
    return ledger.peak_memory(CPU)


def test_the_peak_of_a_task_is_its_own_whatever_the_process_did_before() -> None:
    """Half a GiB that was freed before is kept by the process, and no part of the next peak."""
    memory.keep()
    memory.give_back()
    first = peak()
    earlier = [torch.ones(2**24) for _ in range(8)]
    del earlier
    again = peak()
    if first is None or again is None:
        pytest.skip("this system tells no peak")
    assert again - first < 2**27
