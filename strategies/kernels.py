"""Networks whose convolutions have a kernel for each task, and all else for each task, too; CMC's and its relatives.

A strategy says in a subclass of :class:`KernelConv2d` which parts a task learns and how they make its kernel. The rest
is done here: what a task has learned is frozen to the bit, only the parts of the task in training are parameters, and
everything outside of the convolutions (normalisation, PReLU, linear layers, ...) belongs to the task as biases do.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from strategies.base import TaskNetwork
from strategies.copies import BARE, copied
from strategies.places import hang, is_given, put, tensor_at, tensors_outside
from strategies.surgery import (
    TaskConv2d,
    convolutions,
    exactly,
    exchange,
    geometry,
    refuse_frozen_bias,
    replace_convolutions,
)
from strategies.tasks import check_begin, check_end


class KernelConv2d(TaskConv2d):
    """A convolution whose kernel is made, for each task, from parts that this task and earlier ones have learned.

    Tasks follow one another and are counted from 0. A subclass defines :meth:`parts` and :meth:`kernel_of`, and
    :meth:`settled` where a part is kept in another form than it is learned in. Its first argument is the convolution;
    the others have defaults.

    Args:
        conv: the convolution to stand in for; its options are kept, and the first task starts from its weight and bias.
        name: the layer's name in its network; a part of the address of its random numbers.
        seed: seed of the run.

    State:
        for the task in training each part by its name, and ``task_bias``; for every learned task k each part as
        ``{name}_k``, and ``bias_k``.
    """

    strategy: ClassVar[str] = "kernel"
    """The strategy's name: in errors, and as the first part of the address of random numbers."""
    first_kernel: Tensor
    first_bias: Tensor
    task_bias: Tensor

    def __init__(self, conv: nn.Conv2d, name: str = "convolution", seed: int = 0) -> None:
        super().__init__(conv)
        del self._parameters["weight"], self._parameters["bias"]
        self.has_bias = conv.bias is not None
        self.name = name
        self.seed = seed
        self.begun = 0
        self.in_training: list[str] = []
        self.register_buffer("first_kernel", conv.weight.detach().clone(), persistent=False)
        if conv.bias is not None:
            self.register_buffer("first_bias", conv.bias.detach().clone(), persistent=False)

    def parts(self, task: int) -> dict[str, Tensor]:
        """What a task learns in this layer, by name, as it is at the start; floating-point tensors."""
        raise NotImplementedError

    def kernel_of(self, task: int) -> Tensor:
        """A task's kernel (k_out, k_in / groups, n, n) from its parts, and from those of tasks before it."""
        raise NotImplementedError

    def settled(self, name: str, part: Tensor) -> Tensor:
        """A part in the form in which it is kept once its task is learned."""
        return part

    def part(self, name: str, task: int) -> Tensor:
        """What a task has learned, or is learning, under the name of a part."""
        return getattr(self, name) if task == self.learning else self.get_buffer(f"{name}_{task}")

    @property
    def learning(self) -> int | None:
        """The task in training, or None."""
        return self.begun - 1 if self.in_training else None

    @property
    def m(self) -> int:
        """Weights of the kernel."""
        return self.kernel_shape.numel()

    def draw(self, task: int) -> np.random.Generator:
        """The random numbers with which a task begins in this layer."""
        return generator(self.strategy, self.seed, self.name, task)

    def begin(self) -> None:
        """Make the next task's parts trainable; its bias starts from that of the task before."""
        task = self.begun
        started = {name: part.to(self.first_kernel) for name, part in self.parts(task).items()}
        if self.has_bias:
            started["task_bias"] = self.part("bias", task - 1) if task else self.first_bias
        self.begun += 1
        self.in_training = list(started)
        for name, part in started.items():
            self.register_parameter(name, nn.Parameter(part.detach().clone()))

    def end(self) -> None:
        """Freeze what the task has learned, and keep its kernel."""
        task = self.begun - 1
        with exactly(self.first_kernel.device):
            kept = {name: self.settled(name, getattr(self, name).detach().clone()) for name in self.in_training}
        for name, part in kept.items():
            delattr(self, name)
            self.register_buffer(f"{name.removeprefix('task_')}_{task}", part)
        self.in_training = []
        self._keep_kernel(task)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The selected task's kernel, with a gradient while it is learned; of a frozen task, a copy."""
        if not self.begun:
            return self.first_kernel
        return self.kernel() if self.cursor.selected == self.learning else self.kernel().clone()

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The selected task's bias, like :attr:`weight`; None for a convolution without one."""
        if not self.has_bias or not self.begun:
            return self.first_bias if self.has_bias else None
        selected = self.cursor.selected
        return self.task_bias if selected == self.learning else self.part("bias", selected).clone()

    def kernel(self) -> Tensor:
        """The selected task's kernel (k_out, k_in / groups, n, n)."""
        selected = self.cursor.selected
        if selected != self.learning:
            return self.get_buffer(f"kernel_{selected}")
        with torch.autocast(self.first_kernel.device.type, enabled=False):
            return self.kernel_of(selected)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, k_in, H, W) with the selected task's kernel and bias."""
        return self._conv_forward(input, self.kernel(), self.bias)

    def _keep_kernel(self, task: int) -> None:
        with exactly(self.first_kernel.device):
            kernel = self.kernel_of(task).clone()
        self.register_buffer(f"kernel_{task}", kernel, persistent=False)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, and make the kernels anew; with ``assign=True`` the type may be another one from then on."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        for name, tensor in {**self._parameters, **self._buffers}.items():
            if tensor is not None and prefix + name in state_dict and tensor.is_floating_point():
                self.first_kernel = self.first_kernel.to(tensor.dtype)
        for task in range(self.begun - bool(self.in_training)):
            self._keep_kernel(task)


def converted(backbone: nn.Module, make: Callable[[nn.Conv2d, str], TaskConv2d], called: str) -> nn.Module:
    """A copy of a network with every ``nn.Conv2d`` exchanged for a convolution that has a kernel for each task.

    Subclasses of ``nn.Conv2d``, transposed, one- and three-dimensional convolutions and fixed filters (whose weight
    does not require a gradient) stay; they belong to the task, as normalisation does.

    Args:
        backbone: any network.
        make: from a convolution and its name, the one to stand in for it.
        called: what the strategy is called in errors.

    Raises:
        UserError: the network has no convolution, or something that cannot be kept or protected; see
            :func:`strategies.surgery.convolutions`.
    """
    if not convolutions(backbone):
        kind = type(backbone).__name__
        raise UserError(f"{called} replaces convolutions, and {kind} has no nn.Conv2d layer to be trained.")

    def checked(conv: nn.Conv2d, name: str) -> nn.Module:
        refuse_frozen_bias(name, conv, called)
        return make(conv, name)

    return replace_convolutions(copied(backbone), checked)


def kernel_network(backbone: nn.Module, kind: type[KernelConv2d], seed: int, **settings: Any) -> "KernelNetwork":
    """A copy of a network, with all its convolutions of a kind that has a kernel for each task.

    Args:
        backbone: any network.
        kind: of the convolutions.
        seed: seed of the run.
        settings: further arguments of that kind.

    Raises:
        UserError: see :func:`converted`.
    """
    made = converted(backbone, partial(kind, seed=seed, **settings), kind.strategy)
    return KernelNetwork(made, kind, kind.strategy)


class KernelNetwork(TaskNetwork):
    """A converted backbone that begins, ends and switches tasks in all its layers together.

    Parameters and buffers outside of the converted convolutions belong to the task like biases do: every task has its
    own, started from those of the task before. The selected task's lie at their usual places in the backbone. Those of
    the task in training are the same objects all the while, and wait in this module while another task is selected, so
    that optimizers and gradients hold. Those of frozen tasks are buffers ``other_{task}_{i}``, of which only copies are
    ever put into the backbone.

    A frozen task runs in evaluation mode even if the network is in training mode, and gives equal outputs in both.

    Its state is the same whichever task is selected: at the usual places are the tensors of the newest task. After
    loading, the newest task is selected. Kernels of frozen tasks are made anew by loading alone: what
    ``torch.func.functional_call`` is given in place of their parts does not change them.

    Args:
        backbone: a network from :func:`converted`.
        kind: of the layers that have a kernel for each task.
        called: what the strategy is called in errors.

    Raises:
        UserError: it has no such layer, one has begun a task already, or they are those of another network.
    """

    def __init__(self, backbone: nn.Module, kind: type[TaskConv2d], called: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.called = called
        self.kind = kind
        layers: list[Any] = [layer for layer in backbone.modules() if isinstance(layer, kind)]
        if not layers:
            raise UserError(
                f"{called} needs layers that have a kernel for each task ({kind.__name__}), and "
                f"{type(backbone).__name__} has none. Convert it first; for CMC: convert(network, t=5)."
            )
        begun = [layer.name for layer in layers if layer.learning is not None or hasattr(layer, "kernel_0")]
        if begun:
            raise UserError(
                f"Layer '{begun[0]}' of {type(backbone).__name__} has learned tasks by itself or elsewhere, and "
                f"{called} would not know of them. Give one that was only just converted, or go on with that network."
            )
        self.places = tensors_outside(backbone, kind)
        self.layers: list[Any] = self.following(kind)
        self.trained: list[bool] = []

    def begin_layers(self) -> None:
        """Begin the next task in every layer."""
        for layer in self.layers:
            layer.begin()

    def begin(self, task: int) -> None:
        """Begin a task in every layer.

        Raises:
            UserError: a layer cannot hold it, or tasks come out of order or before the last one ended.
        """
        check_begin(self.cursor, task, self.called, ordered=True)
        if self.known:
            self.select(task - 1)
        else:
            self.trained = [tensor_at(places).requires_grad for places in self.places]
        self.begin_layers()
        for places, trained in zip(self.places, self.trained, strict=True):
            put(places, tensor_at(places).detach().clone(), trained)
        self.cursor.selected = task  # whose tensors these are
        super().begin(task)

    def end(self) -> None:
        """Freeze the task that was being learned.

        Raises:
            UserError: no task is being learned, or a tensor has come up that not every task can have for itself.
        """
        learning = check_end(self.cursor)
        self.select(learning)
        self._refuse_late()
        for layer in self.layers:
            layer.end()
        for i, places in enumerate(self.places):
            self.register_buffer(f"other_{learning}_{i}", tensor_at(places).detach().clone())
        super().end()
        self.select(learning)

    def _refuse_late(self) -> None:
        """Refuse tensors that have come up since the network was made, as those before would be missing for a task."""
        for module, name in set(chain(*tensors_outside(self.backbone, self.kind))).difference(*self.places):
            raise UserError(
                f"{self.called} keeps every tensor for each task, and '{name}' of a {type(module).__name__} has come "
                "up in training, where there was none before. Let it have a value from the beginning."
            )

    def select(self, task: int) -> None:
        """Choose the task that the backbone is for.

        Raises:
            UserError: the task was never learned, or parameters were given for one call that would not be used.
        """
        before, learning = self.cursor.selected, self.cursor.learning
        if task == learning != before and any(map(is_given, self.places)):
            raise UserError(
                f"Parameters of task {learning}, which is in training, were given from outside "
                f"(torch.func.functional_call) while task {before} is selected, and would not be used. Call "
                f"select({learning}) before."
            )
        super().select(task)
        if task == before == learning:
            return
        for i, places in enumerate(self.places):
            if before == learning:
                hang(self, f"resting_{i}", tensor_at(places))
            if task != learning:
                with torch.inference_mode(False):  # which may be left with the task still selected
                    put(places, self.get_buffer(f"other_{task}_{i}").clone(), False)
            else:
                for module, name in places:
                    hang(module, name, getattr(self, f"resting_{i}"))
                delattr(self, f"resting_{i}")

    def standing_still(self, task: int) -> Iterable[nn.Module]:
        """The whole backbone, once the task is frozen."""
        return () if task == self.cursor.learning else self.backbone.modules()

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters, with the newest task's at their usual places."""
        with self._showing_newest():
            yield from list(super().named_parameters(*args, **kwargs))

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The state, with the newest task's tensors at their usual places."""
        with self._showing_newest():
            return super().state_dict(*args, **kwargs)

    def _showing_newest(self) -> AbstractContextManager[None]:
        return self.showing(self.known[-1]) if self.known else nullcontext()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load; what lies at the usual places is read as the newest task's, whichever was selected then."""
        if self.known:
            self.select(self.known[-1])
            names = {module: name for name, module in self.backbone.named_modules()}
            for i, places in enumerate(self.places):
                for module, name in places:
                    key = ".".join(filter(None, [f"{prefix}backbone", names[module], name]))
                    frozen = state_dict.get(f"{prefix}other_{self.known[-1]}_{i}")
                    if frozen is not None and key in state_dict and self.cursor.learning is None:
                        state_dict[key] = frozen.clone()
                self._take_shapes(i, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _take_shapes(self, i: int, state_dict: dict[str, Any], prefix: str) -> None:
        """Let what tasks have of a buffer that is no part of a plain state have the shapes with which it was saved."""
        module, name = self.places[i][0]
        for task in self.known if name in module._non_persistent_buffers_set else ():
            own = f"other_{task}_{i}"
            saved = state_dict.get(prefix + own)
            if saved is not None and own in self._buffers and saved.shape != self.get_buffer(own).shape:
                self.register_buffer(own, self.get_buffer(own).new_empty(saved.shape))


def fold(network: KernelNetwork, task: int) -> nn.Module:
    """One task as a plain copy of the backbone, for deployment; its outputs equal the network's.

    Hooks on its layers are copied with it.

    Raises:
        UserError: the task was never learned.
    """
    with network.showing(task):
        backbone = copied(network.backbone, ran=True)
    outside = tensors_outside(backbone, network.kind)
    for layer in list(backbone.modules()):
        if isinstance(layer, network.kind):
            kernel, bias = layer.weight, layer.bias
            plain = skip_init(nn.Conv2d, **geometry(layer), device=kernel.device, dtype=kernel.dtype)
            with torch.no_grad():
                plain.weight.copy_(kernel)
                if plain.bias is not None and bias is not None:
                    plain.bias.copy_(bias)
            for name, attributes in layer.noted.items():
                vars(getattr(plain, name)).update(attributes)
            exchange(layer, plain, but=frozenset(vars(type(layer)(nn.Conv2d(1, 1, 1, device="meta")))) - BARE)
    for places, trained in zip(outside, network.trained, strict=True):
        tensor_at(places).requires_grad_(trained)
    backbone.eval()
    return backbone
