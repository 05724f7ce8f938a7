"""Joint training on all tasks at once: two references, without and with knowledge of the task; neither is a bound."""

from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.base import Strategy, TaskNetwork, Traits
from strategies.surgery import TaskConv2d, replace_convolutions
from strategies.tasks import check_begin


class Together(Strategy):
    """One plain network, trained on all tasks mixed and never told which task an image belongs to (section 4.3)."""

    name = "together"
    traits = Traits(stores_data=True)

    def rounds(self, tasks: int) -> list[list[int]]:
        """A single round of all tasks."""
        return [list(range(tasks))]


class TogetherTaskId(Together):
    """Joint training where every task has its own biases; ours, not the paper's.

    The fairer reference for strategies that are told the task at test time, as CMC is: `together` has to guess it.
    """

    name = "together_task_id"
    traits = Traits(stores_data=True, needs_task_id=True)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Give every convolution one bias per task."""
        return TaskBiasNetwork(backbone)


class TaskBiasConv2d(TaskConv2d):
    """A convolution whose weight all tasks share, with a bias for each task.

    Args:
        conv: the convolution; its weight is kept, its bias is where every task's own bias starts.
    """

    start: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv)
        assert conv.bias is not None
        del self._parameters["bias"]
        self.weight = conv.weight
        self.register_buffer("start", conv.bias.detach(), persistent=False)
        self.biases = nn.ParameterDict()

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        """The selected task's bias, or what every task's starts from."""
        return self.biases.get(str(self.cursor.selected), self.start)

    def begin(self, task: int) -> None:
        """Add a bias for a task."""
        bias = self.biases[str(task)] = nn.Parameter(self.start.clone())
        vars(bias).update(self.noted["bias"])

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, k_in, H, W) with the shared weight and the selected task's bias."""
        return self._conv_forward(input, self.weight, self.biases[str(self.cursor.selected)])


class TaskBiasNetwork(TaskNetwork):
    """A network of :class:`TaskBiasConv2d`; all tasks' biases stay trainable, so that tasks can be learned together.

    Args:
        backbone: any network; it becomes a part of this one. Convolutions without a bias, with a frozen one, and
            subclasses of ``nn.Conv2d`` stay as they are.

    Raises:
        UserError: no convolution has a bias.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()

        def make(conv: nn.Conv2d, _: str) -> nn.Module:
            return conv if conv.bias is None or not conv.bias.requires_grad else TaskBiasConv2d(conv)

        self.backbone = replace_convolutions(backbone, make, taken=("bias",))
        self.layers = self.following(TaskBiasConv2d)
        if not self.layers:
            raise UserError(
                f"together_task_id gives every task its own biases, and no nn.Conv2d of {type(backbone).__name__} has "
                "one. Use the strategy together, or a backbone with biases."
            )

    def begin(self, task: int) -> None:
        """Add a bias for the task to every layer.

        Raises:
            UserError: the task has begun before.
        """
        check_begin(self.cursor, task, "together_task_id", alone=False)
        for layer in self.layers:
            layer.begin(task)
        super().begin(task)
