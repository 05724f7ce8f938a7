"""Whether what people write as a strategy can be used as one, and where in their code what cannot be used stands."""

from typing import Any

from torch import Tensor, nn

from benchmark.core.errors import UserError, shortened
from benchmark.core.plugins.calls import unfit, where
from strategies.traits import Traits

METHODS: dict[str, tuple[str, ...]] = {
    "adapt": ("backbone", "tasks"),
    "rounds": ("tasks",),
    "state": (),
    "load_state": ("state",),
    "progress": (),
    "load_progress": ("progress",),
}
"""What is called of a strategy beside its hooks, and with what."""

VERBS: dict[str, tuple[str, ...]] = {
    "begin": ("task",),
    "end": (),
    "select": ("task",),
    "rebuild": ("tasks",),
    "owned": ("task",),
    "parts": ("task",),
    "standing_still": ("task",),
    "forward": ("x", "task_labels"),
    "forward_single_task": ("x", "task_label"),
}
"""What is called of a network that is told the task, and with what."""


def check_made(kind: Any) -> None:
    """Refuse a strategy's class that cannot be made of settings and a seed.

    Raises:
        UserError: its ``__init__`` takes something else.
    """
    if problem := unfit(kind, "settings", "seed"):
        raise UserError(
            f"{kind.__name__}.__init__ {problem} beside self{where(kind.__init__, kind)}. It is called with the "
            "settings and the seed: def __init__(self, settings, seed=0)."
        )


def check_strategy(strategy: Any, settings: type, hooks: frozenset[str]) -> None:
    """Refuse a strategy without what every strategy has, or with something else in its place.

    Args:
        strategy: made, and not used yet.
        settings: the base of all settings.
        hooks: the names of all hooks.

    Raises:
        UserError: it did not initialise its base, or an attribute or a method of its own is in the way.
    """
    kind = type(strategy)
    if not hasattr(strategy, "settings"):
        raise UserError(
            f"Strategy '{strategy.name}': its __init__ has to call super().__init__(settings, seed) "
            f"first{where(kind.__init__, kind)}."
        )
    for name, of, words in (("settings", settings, "checked settings"), ("traits", Traits, "Traits")):
        if not isinstance(getattr(strategy, name), of):
            raise UserError(
                f"Strategy '{strategy.name}': self.{name} is {shortened(repr(getattr(strategy, name)))}, and has to "
                f"stay its {words}{where(kind)}. Keep what it is under another name."
            )
    _check_calls(f"Strategy '{strategy.name}'", strategy, METHODS | dict.fromkeys(sorted(hooks), ("trainer",)))


def check_network(strategy: Any, network: nn.Module) -> None:
    """Refuse a network that is told the task and cannot be called as one, or that no trait tells of.

    Raises:
        UserError: its strategy declares to need no label, by which reports rank it among those that are not told; it
            has no ``backbone``; or an attribute or a method of its own is in the way.
    """
    whose = f"Strategy '{strategy.name}'"
    if not isinstance(getattr(network, "backbone", None), nn.Module):
        raise UserError(
            f"{whose}: {type(network).__name__} has no backbone{where(type(network))}. Its __init__ "
            "calls super().__init__(), and then sets self.backbone to the network that restores images."
        )
    _check_calls(whose, network, VERBS)
    if not strategy.traits.needs_task_id:
        raise UserError(
            f"{whose}: adapt() gave a TaskNetwork ({type(network).__name__}), which is told the "
            "task of every image, and its traits declare needs_task_id=False, by which reports rank it among those "
            "that are not told. Declare traits = Traits(needs_task_id=True), or return a network that is not told."
        )


def _check_calls(whose: str, thing: Any, calls: dict[str, tuple[str, ...]]) -> None:
    kind = type(thing)
    for name, given in calls.items():
        method = getattr(thing, name)
        if problem := unfit(method, *given):
            asked = f"It is called as {name}({', '.join(given)})."
            if callable(getattr(kind, name)) and not callable(method):
                asked += " Give what is kept under this name another one."
            raise UserError(f"{whose}: {kind.__name__}.{name} {problem}{where(method, kind)}. {asked}")


def extends(network: nn.Module, verb: str, moved: bool) -> None:
    """Refuse a network whose verb has not done what that of every network does.

    Args:
        network: the network, whose verb was called.
        verb: the name of the verb.
        moved: whether the network's cursor is where it has to be after it.

    Raises:
        UserError: it is not.
    """
    if not moved:
        called = f"{verb}({', '.join(VERBS[verb])})"
        raise UserError(
            f"{type(network).__name__}.{verb} has to call super().{called}, which moves the cursor"
            f"{where(getattr(network, verb), type(network))}."
        )


def check_trained(strategy: Any, network: nn.Module) -> list[nn.Parameter]:
    """What of a network is trained.

    Raises:
        UserError: nothing is.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        kind = type(strategy)
        raise UserError(
            f"Strategy '{strategy.name}': no parameter of the network {type(network).__name__} requires a gradient as "
            f"a task begins{where(kind)}, so that nothing would be trained. Leave some with requires_grad=True."
        )
    return trainable


def check_loss(loss: Any, strategy: Any) -> None:
    """Refuse a loss that has no gradient, before that is asked for.

    Raises:
        UserError: it is no tensor of one number that depends on what is trained.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad:
        return
    kind = type(strategy)
    said = shortened(repr(loss))
    if isinstance(loss, Tensor):
        said = f"of shape {tuple(loss.shape)}" if loss.numel() != 1 else f"{said}, which depends on nothing trained"
    raise UserError(
        f"Strategy '{strategy.name}': the loss is {said}{where(kind)}. It has to stay a tensor of one number that "
        "comes from the network in training, as in trainer.loss = trainer.loss + weight * term."
    )


def check_pass(network: nn.Module, output: Any, changed: bool) -> None:
    """Refuse what a network does with images.

    Args:
        network: restored them.
        output: what it gave.
        changed: whether its input was changed in place, which others go on using: tiles share pixels.

    Raises:
        UserError: it gives no tensor, or has changed its input.
    """
    kind = type(network)
    if not isinstance(output, Tensor):
        raise UserError(
            f"The network {kind.__name__} gives {shortened(repr(output))}{where(kind)}; it is to give the restored "
            "images, a tensor."
        )
    if changed:
        raise UserError(
            f"The network {kind.__name__} changes the images that it is given{where(kind)}, as x += 1, x.mul_(2) or a "
            "first layer with inplace=True do. Let it work on new tensors: x = x + 1, inplace=False."
        )


def check_restored(whose: str, output: Any, images: Tensor, size: tuple[int, ...]) -> None:
    """Refuse what is no restored image of each image.

    Args:
        whose: the network, in words.
        output: what it gave.
        images: what it was given.
        size: the shape that its output has to have.

    Raises:
        UserError: it is no tensor, or of another shape or of complex numbers.
    """
    made = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if made != tuple(size):
        raise UserError(
            f"{whose} gives {made} for images of {tuple(images.shape)}; it is to give {tuple(size)}, as the clean "
            "images are."
        )
    if output.is_complex():
        raise UserError(f"{whose} gives complex numbers ({output.dtype}); it is to give real ones, as output.real is.")
