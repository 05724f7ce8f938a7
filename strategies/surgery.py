"""Changing layers of a finished network, and refusing where something would be lost.

A layer is not taken out for another one: it stays the object it is and becomes the other one (:func:`exchange`). So
whatever leads to it or hangs on it is kept: hooks and their handles, its training flag, attributes, lists of a parent
that hold it, and its being used in several places.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmark.core.errors import UserError
from strategies.copies import BARE, LAZY, called, has_lazy, reached, refuse_one_memory, rewrites_weights
from strategies.tasks import Cursor

PLAIN = frozenset(dir(nn.Conv2d(1, 1, 1, device="meta")))
"""What every convolution has: this, its tensors, its options, its methods."""
TABLES = frozenset({"_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"})
OWN = ("weight", "bias")
"""The tensors of a convolution."""
BIASES = frozenset({"bias", "task_bias", "shift"})
"""What layers call a bias that is learned; all else that they learn makes the weight."""
STATE_HOOKS = (
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
UNWRAP = "Fold it into the weight first (torch.nn.utils.parametrize.remove_parametrizations, remove_spectral_norm, \
remove_weight_norm or prune.remove)."

CONVOLUTIONS_ALONE = "Build the network of these alone, as of nn.functional.interpolate and nn.Conv2d in place of \
nn.ConvTranspose2d, or use a strategy that keeps other layers for every task, such as cmc."
"""What to do about a network that has weights in other layers, where a strategy can share out those of these alone."""


def _has_hook(parameter: nn.Parameter) -> bool:
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


REFUSED: list[tuple[Callable[[nn.Module], bool], str]] = [
    (
        lambda module: isinstance(module, torch.jit.ScriptModule),
        "is compiled by torch.jit, and its layers cannot be changed. Give the module it was made from.",
    ),
    (
        lambda module: isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel),
        "runs copies of a network, which would not know their task. Give the network itself, which is its `module`.",
    ),
    (
        lambda module: "_orig_mod" in module._modules or module._compiled_call_impl is not None,
        "is compiled by torch.compile. Give the network as it was before, and compile afterwards.",
    ),
    (has_lazy, LAZY),
    (
        rewrites_weights,
        f"has a spectral norm, a weight norm or a pruning that writes its weight anew in every pass. {UNWRAP}",
    ),
    (
        lambda module: type(module).get_extra_state is not nn.Module.get_extra_state,
        "keeps a state outside of its tensors (get_extra_state), which cannot be told apart by task. Keep it in "
        "buffers, or replace the layer.",
    ),
    (
        lambda module: any(map(_has_hook, module.parameters(recurse=False))),
        "has a parameter with a hook on its gradient, which a task's own parameter would not have. Remove the hook.",
    ),
]
"""What no strategy changes the layers of, wherever in a network it lies: (does it apply, why and what to do)."""


class TaskConv2d(nn.Conv2d):
    """A convolution that stands in for another one, with a weight or a bias that depends on the selected task.

    Subclasses say by ``weight`` and ``bias`` what a forward pass of that task uses. Which one it is they read from
    ``cursor``: the network's, once they are part of one.

    A network that asks its parameters for their type or device finds one here also when no task is in training: once
    its last parameter is taken away, a layer has ``anchor``, which is empty, never trained, and no part of a state.

    Args:
        like: the convolution whose shape, stride, padding, padding mode, dilation and groups are kept.

    Attributes:
        noted: what the convolution's weight and bias have as attributes, by which an optimizer may group parameters.
    """

    anchor: nn.Parameter

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__(**geometry(like), device="meta")
        self.kernel_shape = like.weight.shape
        self.cursor = Cursor()
        tensors = {name: getattr(like, name) for name in OWN}
        self.noted = {name: dict(vars(tensor)) for name, tensor in tensors.items() if tensor is not None}

    def reset_parameters(self) -> None:
        """Nothing: what a task learns is drawn as the task begins."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            UserError: it is the weight or the bias, and follows from what the selected task has learned.
        """
        if name in OWN and isinstance(getattr(type(self), name, None), property) and "cursor" in vars(self):
            raise UserError(
                f"The {name} of {called(getattr(self, 'name', ''), self)} follows from what a task has learned, and "
                "cannot be set or given for one call (torch.func.functional_call). Compute with another one by "
                f"F.conv2d(x, ...), as of conv.{name}, or use a strategy that keeps layers as they are (independent)."
            )
        super().__setattr__(name, value)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Add a parameter, which takes the place of the anchor, and has the attributes of what it is learned for."""
        super().register_parameter(name, param)
        if name != "anchor":
            self._parameters.pop("anchor", None)
            if param is not None and "noted" in vars(self):
                vars(param).update(self.noted["bias" if name in BIASES else "weight"])

    def __delattr__(self, name: str) -> None:
        gone = self._parameters.get(name)
        super().__delattr__(name)
        if gone is not None and all(other is None for other in self._parameters.values()):
            self.anchor = nn.Parameter(gone.detach().new_empty(0), requires_grad=False)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.pop(f"{prefix}anchor", None)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if "anchor" in self._parameters:
            state_dict[f"{prefix}anchor"] = self.anchor
        for name in OWN:  # older checkpoints have the plain convolution as a part of this one
            if f"{prefix}conv.{name}" in state_dict:
                state_dict[f"{prefix}{name}"] = state_dict.pop(f"{prefix}conv.{name}")
        super()._load_from_state_dict(state_dict, prefix, *args)


def geometry(conv: nn.Conv2d) -> dict[str, Any]:
    """The arguments that make a convolution of the same shape and options, with a bias if it has one.

    The shape is that of its weight, which may have been cut to fewer channels than its attributes tell.
    """
    outs, ins, *size = conv.kernel_shape if isinstance(conv, TaskConv2d) else conv.weight.shape
    names = ["stride", "padding", "dilation", "groups", "padding_mode"]
    options = {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
    return {"in_channels": ins * conv.groups, "out_channels": outs, "kernel_size": tuple(size)} | options


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Compute what is kept: without gradients, in the tensors' own type, also within autocast and inference mode."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def tensors_in_use(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all tensors by name; of a convolution that depends on the selected task, its weight and bias alone."""
    whole = not isinstance(module, TaskConv2d)
    own = {**module._parameters, **module._buffers} if whole else {name: getattr(module, name) for name in OWN}
    tensors = {name: tensor.detach().clone() for name, tensor in own.items() if tensor is not None}
    for part, child in module.named_children() if whole else ():
        tensors |= {f"{part}.{name}": tensor for name, tensor in tensors_in_use(child).items()}
    return tensors


def _refuse_held(network: nn.Module, tensors: set[Tensor]) -> None:
    """Refuse tensors that a module also holds where they would not be exchanged, as in a plain list or a function."""
    names = {tensor: name for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    for name, module in network.named_modules():
        for attribute, held in vars(module).items():
            if attribute in TABLES or (isinstance(module, nn.RNNBase) and attribute.startswith("_flat_weight")):
                continue
            for one in reached(held, network):
                if one in tensors:
                    raise UserError(
                        f"{called(name, module)} holds '{names[one]}' in its attribute {attribute}, too, which would "
                        "go on to hold the tensor of before. Read it where it belongs, or use nn.ParameterList."
                    )


def refuse_clash(name: str, conv: nn.Module, made: nn.Module) -> None:
    """Refuse what hangs on a convolution under a name that the layer which it becomes has or will give to its own.

    Raises:
        UserError: there is something.
    """
    kinds = [kind for kind in type(made).__mro__ if kind not in nn.Conv2d.__mro__]
    needed = {*dir(made), *(own for kind in kinds for own in inspect.get_annotations(kind))} - PLAIN
    numbered = {*needed, "bias", "used", "later", "revised"}  # what is kept of each task
    clash = [one for one in vars(conv) if one in needed or re.sub(r"_\d+$", "", one) in numbered]
    if made is not conv and clash:
        raise UserError(
            f"{called(name, conv)} has attributes named {', '.join(sorted(clash))}, which {type(made).__name__} needs "
            "for itself. Give them other names."
        )


def refuse_frozen_bias(name: str, conv: nn.Conv2d, called: str) -> None:
    """Refuse a convolution whose weight is trained and whose bias is not, where both become each task's own.

    Raises:
        UserError: it is one.
    """
    if conv.bias is not None and not conv.bias.requires_grad:
        raise UserError(
            f"Layer '{name}' has a frozen bias and a weight that is trained; {called} makes both anew for every task. "
            "Let both require a gradient, neither, or use bias=False."
        )


def refuse_complex(name: str, conv: nn.Conv2d, called: str) -> None:
    """Refuse a convolution of complex numbers, where a strategy compares or rectifies what it computes with.

    Raises:
        UserError: it is one.
    """
    if conv.weight.is_complex():
        raise UserError(
            f"Layer '{name}' has a weight of complex numbers ({conv.weight.dtype}), and {called} takes real ones. "
            "Use a convolution of the real and imaginary parts as channels, or a strategy such as packnet or finetune."
        )


def exchange(layer: nn.Module, made: nn.Module, but: frozenset[str] = frozenset()) -> None:
    """Make a layer, which stays the object it is, what ``made`` is; what hangs on it is kept.

    Args:
        layer: a layer of a network.
        made: a layer that nothing else uses.
        but: names of attributes that the layer loses.
    """
    kept = {
        name: value
        for name, value in vars(layer).items()
        if name not in TABLES | but and (name in BARE or name not in vars(made))
    }
    layer.__class__ = type(made)
    vars(layer).clear()
    vars(layer).update(vars(made) | kept)


def replace_convolutions(
    network: nn.Module,
    make: Callable[[nn.Conv2d, str], nn.Module],
    taken: tuple[str, ...] = OWN,
) -> nn.Module:
    """Exchange every convolution for ``make(convolution, name)``, in the network itself; see :func:`convolutions`.

    Raises:
        UserError: something that hangs on a layer would be lost; no layer was changed.
    """
    found = convolutions(network, taken)
    made = {name: make(conv, name) for name, conv in found.items()}
    for name, conv in found.items():
        refuse_clash(name, conv, made[name])
    for name, conv in found.items():
        if made[name] is not conv:
            exchange(conv, made[name])
    return network


def convolutions(network: nn.Module, taken: tuple[str, ...] = OWN) -> dict[str, nn.Conv2d]:
    """The convolutions of a network that a strategy may exchange, by name; one that is used twice appears once.

    These are its layers of exactly the type ``nn.Conv2d``. Subclasses are left alone, since their forward pass may be
    another, and so are fixed filters (``weight.requires_grad`` is False).

    Args:
        network: any network.
        taken: which of its parameters a convolution will lose.

    Raises:
        UserError: something that hangs on a layer would be lost, or a layer's state cannot be told apart by task; or
            :func:`refuse_one_memory` refuses the network.
    """
    places: dict[Tensor, list[str]] = defaultdict(list)
    for name, module in network.named_modules():
        for applies, reason in REFUSED:
            if applies(module):
                raise UserError(f"{called(name, module)} {reason}")
        for own, parameter in module.named_parameters(recurse=False):
            places[parameter].append(f"{name}.{own}" if name else own)
    refuse_one_memory(network)
    found = {}
    for name, module in network.named_modules():
        if parametrize.type_before_parametrizations(module) is not nn.Conv2d:
            continue
        assert isinstance(module, nn.Conv2d)
        if not any(parameter.requires_grad for parameter in module.parameters() if parameter is not module.bias):
            continue
        for reason in _in_the_way(module):
            raise UserError(f"{called(name, module)} {reason}")
        for own in taken:
            sharing = places.get(getattr(module, own), [])
            if len(sharing) > 1:
                raise UserError(
                    f"{' and '.join(map(repr, sharing))} are one parameter, and this strategy would make them several. "
                    "Give each layer its own, or use one layer in both places."
                )
        found[name] = module
    changed = [getattr(conv, own) for conv in found.values() for own in taken]
    everything = (*network.parameters(), *network.buffers())
    _refuse_held(network, {*filter(lambda one: one is not None, changed), *(everything if "weight" in taken else ())})
    return found


def _in_the_way(conv: nn.Conv2d) -> Iterator[str]:
    """Why a convolution cannot be exchanged without a loss, and what to do."""
    more = {*conv._parameters, *conv._buffers, *conv._modules}.difference(OWN)
    if more:
        yield f"has {', '.join(sorted(more))} beside its weight and bias, which another kind of kernel loses. {UNWRAP}"
    if any(getattr(conv, hooks) for hooks in STATE_HOOKS):
        yield "has a hook on its state_dict, whose tensors will be others. Remove the hook."
    methods = sorted(name for name in vars(conv) if callable(getattr(nn.Conv2d, name, None)))
    if methods:
        yield f"has a {', '.join(methods)} of its own, which would pass over the new kernel. Use a subclass of Conv2d."
