"""Copies of networks, and refusing where a copy would not be one, as a tensor or a function in it goes its own way."""

import copy
import weakref
from bisect import bisect
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import _lru_cache_wrapper, partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from benchmark.core.errors import UserError

BARE = frozenset(vars(nn.Module()))
"""What every module has: its training flag, its hooks, and the tables of its tensors and parts."""
LAZY = "has tensors without a shape yet. Let the network restore one image first."
STAYING = (FunctionType, _lru_cache_wrapper, weakref.ref)
"""What a deep copy leaves as it is, whatever it refers to."""


def has_lazy(module: nn.Module) -> bool:
    """Whether a layer has tensors without a shape yet."""
    return any(map(is_lazy, (*module.parameters(recurse=False), *module.buffers(recurse=False))))


def rewrites_weights(module: nn.Module) -> bool:
    """Whether a layer writes its weight anew in every pass, by a norm or a pruning that is a hook."""
    hooks = module._forward_pre_hooks.values()
    return any(isinstance(hook, SpectralNorm | WeightNorm | BasePruningMethod) for hook in hooks)


def copied(network: nn.Module, ran: bool = False) -> nn.Module:
    """A deep copy of a network, with the attributes of its parameters, which a deep copy alone leaves out.

    Args:
        network: any.
        ran: whether it may hold what it computed in a pass, such as features; the copy has the values of these alone.

    Raises:
        UserError: it holds something that cannot be copied or a tensor without a shape, or :func:`refuse_one_memory` or
            :func:`refuse_functions_that_stay` refuses it.
    """
    refuse_lazy(network)
    refuse_one_memory(network)
    refuse_functions_that_stay(network)
    memo: dict[int, Any] = {}
    if ran:
        held = (one for module in network.modules() for one in flat(vars(module)) if isinstance(one, Tensor))
        memo = {id(one): one.detach().clone() for one in held if not one.is_leaf}
    try:
        made = copy.deepcopy(network, memo)
        for own, parameter in zip(network.parameters(), made.parameters(), strict=True):
            vars(parameter).update(copy.deepcopy(vars(own), memo))
    except (RuntimeError, TypeError) as error:
        raise UserError(f"{type(network).__name__} cannot be copied: {error}") from error
    return made


def settled_copy(network: nn.Module) -> nn.Module:
    """A copy of a network that may have run, in evaluation mode, of which nothing is trained.

    Raises:
        UserError: see :func:`copied`.
    """
    made = copied(network, ran=True).requires_grad_(False)
    made.eval()  # which gives nothing where a network has a train() of its own that does not
    return made


def refuse_one_memory(network: nn.Module) -> None:
    """Refuse parameters that lie in one memory with another tensor, as after ``b.weight.data = a.weight.data``.

    Raises:
        UserError: two parameters do; or one that is trained and a buffer or an attribute, as of ``a.weight.detach()``.
            A copy of the network, or one on another device, would have each by itself.
    """
    names: dict[int, str] = {}
    trained: list[tuple[int, int, str]] = []
    for name, parameter in network.named_parameters():
        place = _place(parameter)
        if place and names.setdefault(place, name) != name:
            raise UserError(
                f"'{names[place]}' and '{name}' are two parameters in one memory, which a copy of the network would "
                "not share. Use one layer, or one parameter, in both places, or give each its own."
            )
        if place and parameter.requires_grad:
            trained.append((place, place + parameter.nbytes, name))
    trained.sort()
    for name, tensor in _beside(network):
        place = _place(tensor)
        start, end, owner = trained[max(0, bisect(trained, (place, float("inf"))) - 1)] if trained else (0, 0, "")
        if place and start <= place < end:
            raise UserError(
                f"'{name}' lies in the memory of the parameter '{owner}', which a copy of the network would not share: "
                "it would stay as it is while the parameter is trained. Read the parameter where it belongs, or give "
                "each its own (clone())."
            )


def _place(tensor: Tensor) -> int:
    """Where a tensor begins in memory; 0 where nothing is stored."""
    return tensor.data_ptr() if not is_lazy(tensor) and tensor.layout is torch.strided else 0


def _beside(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers, and tensors in attributes, by name; but for what layers compute that write their weights anew."""
    yield from network.named_buffers()
    parameters = {*network.parameters()}
    for name, module in network.named_modules():
        for attribute, held in vars(module).items():
            if attribute not in BARE and not rewrites_weights(module):
                for one in flat(held):
                    if isinstance(one, Tensor) and one not in parameters:
                        yield f"{name}.{attribute}" if name else attribute, one


def refuse_lazy(network: nn.Module) -> None:
    """Refuse a network that has tensors without a shape yet.

    Raises:
        UserError: it does.
    """
    for name, module in network.named_modules():
        if has_lazy(module):
            raise UserError(f"{called(name, module)} {LAZY}")


def refuse_functions_that_stay(network: nn.Module) -> None:
    """Refuse hooks and other functions that know parts of a network, since those of its copy would know the same parts.

    Methods are copied with what they belong to; of a function, what it knows is not.

    Raises:
        UserError: there is one.
    """
    parts = {*network.modules(), *network.parameters(), *network.buffers()}
    for name, module in network.named_modules():
        for attribute, held in vars(module).items():
            if attribute == "_flat_weight_refs" and isinstance(module, nn.RNNBase):  # which finds them again in a copy
                continue
            for function in flat(held):
                while isinstance(function, partial):
                    function = function.func
                if isinstance(function, STAYING) and any(one in parts for one in _known([function], set())):
                    told = getattr(function, "__qualname__", type(function).__name__)
                    raise UserError(
                        f"{called(name, module)} holds a function ({attribute}: {told}) that refers to a part of the "
                        "network, and in a copy would refer to the part it was copied from. Make it a method of the "
                        "module that it refers to, or remove it."
                    )


def _known(held: Any, seen: set[int]) -> Iterator[nn.Module | Tensor]:
    """Modules and tensors that a function knows: those it has closed over, its defaults, and global ones it names.

    Args:
        held: what to look into, which may be functions, methods, and lists and dicts of them.
        seen: functions that were looked into.
    """
    for one in flat(held):
        if isinstance(one, nn.Module | Tensor):
            yield one
        elif isinstance(one, FunctionType):
            if id(one) not in seen:
                seen.add(id(one))
                yield from _known(_named_by(one), seen)
        elif isinstance(one, MethodType | partial | weakref.ref | _lru_cache_wrapper):
            yield from _known(_wrapped_by(one), seen)


def _named_by(function: FunctionType) -> list[Any]:
    """What a function has closed over, its defaults, and the modules and tensors among global ones that it names."""
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    known = [
        function.__defaults__,
        function.__kwdefaults__,
        *(one for one in named if isinstance(one, nn.Module | Tensor)),
    ]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # of a cell that is empty
            known.append(cell.cell_contents)
    return known


def _wrapped_by(one: Any) -> list[Any]:
    """What a method, a partial function, a weak reference or a function with a cache stands for."""
    if isinstance(one, MethodType):
        return [one.__self__, one.__func__]
    if isinstance(one, partial):
        return [one.func, one.args, one.keywords]
    return [one() if isinstance(one, weakref.ref) else one.__wrapped__]


def reached(held: Any, network: nn.Module) -> Iterator[Tensor]:
    """Tensors that an attribute leads to, in whatever holds them, but for those that hang in the network itself.

    Looked into are lists and the like, functions, objects with attributes, and modules that are no part of the network.
    """
    parts, seen, waiting = {*network.modules()}, set[int](), [held]
    kept = []  # so that no number is given twice
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType) or (isinstance(one, nn.Module) and one in parts):
            continue
        seen.add(id(one))
        kept.append(one)
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset | deque):
            waiting += one
        elif isinstance(one, FunctionType):
            waiting += _named_by(one)
        elif isinstance(one, MethodType | partial | weakref.ref | _lru_cache_wrapper):
            waiting += _wrapped_by(one)
        else:
            waiting += getattr(one, "__dict__", {}).values()


def flat(held: Any) -> Iterator[Any]:
    """What an attribute holds: itself, or what is in plain lists, tuples and dicts."""
    if isinstance(held, dict | list | tuple):
        for one in held.values() if isinstance(held, dict) else held:
            yield from flat(one)
    else:
        yield held


def called(name: str, module: nn.Module) -> str:
    """A layer as errors name it."""
    return f"Layer '{name}' ({type(module).__name__})" if name else f"The network ({type(module).__name__})"
