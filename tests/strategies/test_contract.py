"""What cannot be used as a strategy is told before anything is trained, with the line where it stands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.engine import setup
from benchmark.planning import plan
from strategies import registry
from strategies.base import Experience, Settings, Strategy, TaskNetwork
from strategies.contract import check_loss, check_pass, check_restored, check_trained

HEAD = """from strategies.base import Settings, Strategy, TaskNetwork
class Mine(Strategy):
    name = "mine"
"""


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Prepares a run of the class Mine with some more lines; gives the error."""
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})

    def prepare(lines: str) -> str:
        file = tmp_path / "mine.py"
        file.write_text(HEAD + lines)
        registry.add_plugin(str(file))
        (config,) = plan("mine", "four_tasks", "smoke", "0", "derain,deblock", None, None, [])
        with pytest.raises(UserError) as caught:
            setup.prepare(config)
        return str(caught.value).replace(str(file), "mine.py")

    return prepare


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("    def __init__(self):\n        pass\n", "Mine.__init__ takes () beside self (mine.py, line 4)"),
        (
            "    def __init__(self, settings):\n        pass\n",
            "Mine.__init__ takes (settings) beside self",
        ),
        ("    def __init__(self, a, b):\n        pass\n", "super().__init__(settings, seed) first (mine.py, line 4)"),
        ("    def adapt(self, backbone):\n        pass\n", "Mine.adapt takes (backbone) (mine.py, line 4)"),
        ("\n    def rounds(self):\n        pass\n", "Mine.rounds takes () (mine.py, line 5)"),
        ("    def load_state(self):\n        pass\n", "It is called as load_state(state)."),
        ("    def progress(self, x):\n        pass\n", "Mine.progress takes (x) (mine.py, line 4)"),
    ],
)
def test_a_method_that_takes_something_else_is_told(lines: str, told: str, prepare: Callable[[str], str]) -> None:
    assert told in prepare(lines)


@pytest.mark.parametrize(
    ("assigned", "told"),
    [
        ("self.state = {}", "Mine.state is {}, which cannot be called (mine.py, line 2). It is called as state()."),
        ("self.progress = 0", "Give what is kept under this name another one."),
        ("self.before_update = True", "Mine.before_update is True, which cannot be called"),
        (
            "self.settings = {'a': 1}",
            "self.settings is {'a': 1}, and has to stay its checked settings (mine.py",
        ),
        ("self.traits = {}", "self.traits is {}, and has to stay its Traits"),
    ],
)
def test_an_attribute_in_the_way_is_told(assigned: str, told: str, prepare: Callable[[str], str]) -> None:
    begins = "    def __init__(self, settings, seed):\n        super().__init__(settings, seed)\n"
    assert told in prepare(f"{begins}        {assigned}\n")


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("super().__init__(); self.net = b\n", "Net has no backbone (mine.py, line 6)"),
        ("super().__init__(); self.backbone = b\n    def begin(self): pass\n", "Net.begin takes () (mine.py, line 8)"),
        ("super().__init__(); self.backbone = b\n    parts = []\n", "Net.parts is [], which cannot"),
    ],
)
def test_a_network_that_cannot_be_told_the_task(network: str, told: str, prepare: Callable[[str], str]) -> None:
    adapt = "    def adapt(self, backbone, tasks):\n        return Net(backbone)\n"
    assert told in prepare(f"{adapt}class Net(TaskNetwork):\n    def __init__(self, b): {network}")


class Whole(TaskNetwork):
    """What a network needs."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 3, 1)


class Task(Experience):
    """The second task."""

    task_labels = [1]  # noqa: RUF012


def test_a_network_that_does_not_begin_its_task_is_told() -> None:
    class Net(Whole):
        def begin(self, task: int) -> None:
            pass

    with pytest.raises(
        UserError, match=r"Net.begin has to call super\(\).begin\(task\), which moves the cursor \(.*py"
    ):
        Net().adaptation(Task())


def test_a_network_that_does_not_select_its_task_is_told() -> None:
    class Net(Whole):
        def select(self, task: int) -> None:
            pass

    network = Net()
    network.begin(1)
    with pytest.raises(UserError, match=r"Net.select has to call super\(\).select\(task\)"):
        network(torch.zeros(1, 3, 4, 4), 1)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (None, "the loss is None"),
        (0.5, "the loss is 0.5"),
        (torch.zeros(2, requires_grad=True), r"the loss is of shape \(2,\)"),
        (torch.tensor(0.5), r"the loss is tensor\(0.5000\), which depends on nothing trained"),
    ],
)
def test_a_loss_without_a_gradient_is_told(loss: Any, told: str) -> None:
    class Mine(Strategy):
        name = "mine"

    with pytest.raises(UserError, match=rf"Strategy 'mine': {told} \(.*test_contract.py, line \d+\)"):
        check_loss(loss, Mine(Settings()))
    check_loss(torch.zeros(1, requires_grad=True), Mine(Settings()))


def test_a_network_of_which_nothing_is_trained_is_told() -> None:
    class Mine(Strategy):
        name = "mine"

    network = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(UserError, match=r"Strategy 'mine': no parameter of the network Linear requires a gradient"):
        check_trained(Mine(Settings()), network)
    network.bias.requires_grad_(True)
    assert check_trained(Mine(Settings()), network) == [network.bias]


def test_a_network_that_gives_no_tensor_or_changes_its_input_is_told() -> None:
    image = torch.zeros(1, 3, 4, 4)
    check_pass(nn.Identity(), image, changed=False)
    with pytest.raises(UserError, match="The network Identity gives None"):
        check_pass(nn.Identity(), None, changed=False)
    with pytest.raises(UserError, match="The network Identity changes the images that it is given"):
        check_pass(nn.Identity(), image, changed=True)


def test_complex_numbers_are_no_images() -> None:
    image = torch.zeros(1, 3, 4, 4)
    check_restored("It", image.double(), image, image.shape)
    with pytest.raises(UserError, match=r"It gives complex numbers \(torch.complex64\)"):
        check_restored("It", image.cfloat(), image, image.shape)


class Halves(nn.Module):
    """Changes its input."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x.mul_(0.5))


def test_a_run_refuses_a_network_that_changes_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are restored tile by tile, and what a tile changes the next one sees."""
    from benchmark.engine import job

    methods = {"name": "mine", "adapt": lambda self, backbone, tasks: Halves(backbone)}
    kind = type("Mine", (Strategy,), methods)
    monkeypatch.setattr(registry, "load", lambda name: kind)
    words = ["training.epochs=1", "training.updates_per_epoch=1", "data.dead_leaves=0"]
    (config,) = plan("finetune", "four_tasks", "smoke", "0", "denoise,deblur", None, None, words)
    with pytest.raises(UserError, match="The network Halves changes the images"):
        job.run(setup.resolve(config), tmp_path / "run")
