"""The Avalanche template for image-to-image tasks: what happens in training, and how a stream is evaluated."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from benchmark.config import Training
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.engine.distributed import sharing
from benchmark.engine.distributed.group import stops
from benchmark.engine.state import State
from benchmark.engine.tiling import reach, refuse_further, restore
from benchmark.streams.device import DeviceLoader
from strategies.base import Strategy, TaskNetwork
from strategies.contract import check_loss, check_pass, check_restored, check_trained, extends
from strategies.state import load_moments, load_network, moments, to_state
from strategies.trainer import cosine

MOST_SAVING = 0.01
"""Share of the time, at most, in which states within an epoch are saved."""


def learning_rate(training: Training, update: int, budget: int = 1) -> float:
    """Learning rate of one batch update, counted from 0; with ``budget`` tasks' worth of updates it falls slower."""
    update //= budget
    if training.schedule == "cosine":
        return training.learning_rate * cosine(update, training.updates)
    if training.schedule == "halving":
        return training.learning_rate * 0.5 ** (update // training.updates_per_epoch // training.halve_every)
    return training.learning_rate


def precise(training: Training, device: torch.device) -> torch.autocast:
    """What the forward pass of a training step computes within, to compute in the precision that is asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16")


def nothing() -> None:
    """Do nothing."""


class EpochSampler(Sampler[int]):
    """The indices of what is left of an epoch's patches; epochs lie one after another in the training set of a task.

    Args:
        left: says which are left, as an iteration over them begins.
    """

    def __init__(self, left: Callable[[], range]) -> None:
        self.left = left

    def __len__(self) -> int:
        return len(self.left())

    def __iter__(self) -> Iterator[int]:
        return iter(self.left())


Each = Callable[[int, Tensor, Tensor], Any]
"""What is made of an output: given its number and (restored, clean), each (3, H, W) float32 on the CPU."""


def images_themselves(number: int, restored: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """The output and what it should be; those of a whole test set may take gigabytes."""
    return restored, clean


class OutputCollector(SupervisedPlugin):
    """Keeps what is made of each output of an evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.each: Each = images_themselves
        self.made: list[Any] = []

    def after_eval_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Take the images of the mini-batch."""
        for restored, clean in zip(template.mb_output.cpu(), template.mb_y.cpu(), strict=True):
            self.made.append(self.each(len(self.made), restored, clean))


class RestorationTemplate(SupervisedTemplate):
    """Avalanche's supervised template with mean-squared error, Adam and addressed batches.

    With ``training.precision`` bf16 the forward pass of a training step, and so its backward pass, computes what torch
    deems safe in bf16. Weights, gradients, the optimizer, the loss and every evaluation stay in float32.
    Adam is made anew for every experience, over the parameters that are trainable then, so that no momentum reaches
    from one task into the next. Any Avalanche plugin can be added to the strategy's own callbacks.

    Args:
        model: the network to train.
        strategy: its callbacks.
        training: length, batch and learning rate.
        device: where to train.
        workers: processes that draw patches.
        tile: images of more than tile × tile pixels are evaluated in overlapping tiles of this side.
        plugins: further Avalanche plugins, called after the strategy.
    """

    mbatch: list[Tensor]
    loss: Tensor
    model: nn.Module

    def __init__(
        self,
        *,
        model: nn.Module,
        strategy: Strategy,
        training: Training,
        device: torch.device,
        workers: int = 0,
        tile: int = 2048,
        plugins: tuple[SupervisedPlugin, ...] = (),
    ) -> None:
        self.strategy, self.training_settings, self.workers, self.tile = strategy, training, workers, tile
        self.collector = OutputCollector()
        self.told: int | None = None
        self.loss_function = nn.MSELoss()
        self.budget = 1
        self.saved: State | None = None
        self.save: Callable[[], None] = nothing
        self.last_save = time.monotonic()
        self.save_took = 0.0
        with warnings.catch_warnings():  # Avalanche's own metrics are for classes; benchmark.engine.recorder has ours
            warnings.filterwarnings("ignore", message="No loggers specified")
            no_metrics = EvaluationPlugin()
        super().__init__(
            model=model.to(device),
            optimizer=None,  # made by make_optimizer, once the model knows its task
            criterion=self.loss_function,
            train_mb_size=training.batch_size,
            train_epochs=training.epochs,
            eval_mb_size=1,
            device=device,
            plugins=[strategy, self.collector, *plugins],
            evaluator=no_metrics,
        )

    def learn(
        self,
        experience: Any,
        budget: int = 1,
        saved: State | None = None,
        save: Callable[[], None] = nothing,
    ) -> None:
        """Train on one experience for ``budget`` tasks' worth of epochs.

        A signal that asks the process to stop is heeded between two updates, once everything is saved, and at the end.

        Args:
            experience: what to learn.
            budget: how many tasks' worth.
            saved: a state within this training from which it goes on, as :meth:`progress` and its callers gave it.
            save: called after every epoch, every ``training.save_seconds`` or as seldom as MOST_SAVING allows, and
                before the training is stopped; it may ask for :meth:`progress`.

        Raises:
            UserError: ``saved`` does not fit the network or its optimizer.
            Stopped: a signal came.
        """
        self.budget, self.saved, self.save = budget, saved, save
        self.train_epochs = self.training_settings.epochs * budget
        self.last_save = time.monotonic()
        with endings.deferred():
            self.train(experience, eval_streams=[])
        if stops():
            endings.check()

    def progress(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What the training itself needs to go on from between two updates, beside the network and the strategy.

        Returns:
            tensors of the optimizer and the random generators, and the numbers of epochs and updates that are done, the
            learning rate as it is, and whether a plugin has asked to end the training of the experience there.
        """
        tensors = {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        tensors |= to_state("optimizer", moments(self.optimizer))
        clock = self.clock
        asked = {"stopping": True} if self._stop_training else {}
        rate = {"learning_rate": self.optimizer.param_groups[0]["lr"]}
        return tensors, {"epochs": clock.train_exp_epochs, "updates": clock.train_exp_iterations, **rate, **asked}

    def outputs(
        self,
        experience: Any,
        each: Each = images_themselves,
        told: int | None = None,
        network: nn.Module | None = None,
    ) -> list[Any]:
        """Restore the images of an experience, one after another: a list of what is made of each.

        A network that needs the task's label is given that of the task learned last where it has not learned this one.

        Args:
            experience: whose images.
            each: makes it.
            told: a label that such a network is given in place of the images' own; it has learned that task.
            network: restores the images in place of the network in training.
        """
        self.collector.each, self.collector.made, self.told = each, [], told
        trained = self.model
        self.model = trained if network is None else network
        try:
            self.eval([experience])
        finally:
            self.told, self.model = None, trained
        return self.collector.made

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        """Adapt the model to the experience, then make its optimizer."""
        self.model = self.model_adaptation()
        self.make_optimizer()

    def make_optimizer(self, **kwargs: Any) -> None:
        """A fresh Adam over what is trainable."""
        trainable = check_trained(self.strategy, self.model)
        # foreach computes the same as one parameter after another, in fewer calls; fused would round otherwise
        self.optimizer = torch.optim.Adam(trainable, lr=self.training_settings.learning_rate, foreach=True)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        """Batches in the order of their addresses; shuffling is in the addresses already."""
        options: dict[str, Any] = {
            "batch_size": self.train_mb_size,
            "sampler": EpochSampler(self._left),
            "num_workers": self.workers,
            "persistent_workers": self.workers > 0,
            "pin_memory": self.device.type == "cuda",
            "generator": torch.Generator(),
        }
        learned = self.experience
        self.dataloader: DataLoader[Any] = (
            DeviceLoader(learned.parts, learned.task_labels, self.device, **options)
            if self.training_settings.patches_on == "device"
            else DataLoader(self.adapted_dataset, **options)
        )

    def make_eval_dataloader(self, **kwargs: Any) -> None:
        """Every image by itself; Avalanche's own would share them between the processes of a group."""
        self.dataloader = DataLoader(
            self.adapted_dataset, batch_size=self.eval_mb_size, pin_memory=self.device.type == "cuda"
        )

    def forward(self) -> Tensor:
        """The network's output for the mini-batch, under its task labels where the network needs them."""
        output = self._output()
        check_restored("The network", output, self.mb_x, self.mb_y.shape)
        return output

    def _output(self) -> Tensor:
        images = self.mb_x.contiguous(memory_format=torch.channels_last)
        if not self.is_eval:
            with precise(self.training_settings, self.device):
                output = self._restore(images)
            return output.to(images.dtype)
        if images.shape[-2] * images.shape[-1] > self.tile**2:
            margin = self._reach()
            refuse_further(self.model, self._restore, images, margin)
            output = restore(self._restore, images, self.tile, margin)
        else:
            output = self._restore(images)
        return output.to(torch.promote_types(output.dtype, images.dtype))  # as of one that computes in bf16 by itself

    def _reach(self) -> int:
        """How far outputs look; of tasks that the network is told, by what these use, whatever is learned later."""
        if not isinstance(self.model, TaskNetwork):
            return reach(self.model)
        return max(sum(map(reach, self.model.parts(task))) for task in set(self._labels(self.model).tolist()))

    def _restore(self, images: Tensor) -> Tensor:
        told = (self._labels(self.model),) if isinstance(self.model, TaskNetwork) else ()
        changes = images._version
        output = self.model(images, *told)
        check_pass(self.model, output, images._version != changes)
        return output

    def _labels(self, network: TaskNetwork) -> Tensor:
        """The tasks that the network is told."""
        labels = self.mb_task_id
        if not self.is_eval:
            return labels
        return labels.clamp(max=max(network.known)) if self.told is None else torch.full_like(labels, self.told)

    def _left(self) -> range:
        """The indices of the patches that are left of the present epoch."""
        end = (self.clock.train_exp_epochs + 1) * self.training_settings.updates_per_epoch
        return range(self.clock.train_exp_iterations * self.train_mb_size, end * self.train_mb_size)

    def _before_training_exp(self, **kwargs: Any) -> None:
        super()._before_training_exp(**kwargs)
        if self.saved is not None:
            self._take_up(self.saved)

    def _take_up(self, saved: State) -> None:
        """Go on where a state was saved; the strategy's hooks have begun the experience anew.

        Raises:
            UserError: it does not fit the network or its optimizer.
        """
        try:
            load_network(self.model, saved.part("model"))
            self.strategy.load_progress(saved.part("progress"))
            present = set(self.model.parameters())
            if any(one not in present for group in self.optimizer.param_groups for one in group["params"]):
                self.make_optimizer()  # the network has other parameters since, as after pruning
            load_moments(self.optimizer, saved.part("optimizer"))
            random = saved.part("random")
            torch.set_rng_state(random["cpu"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(random["cuda"], self.device)
        except (RuntimeError, KeyError, ValueError) as error:
            raise UserError(f"A state within a task does not fit: {error}. Repeat the run with --force.") from error
        epochs, updates = saved.note["epochs"], saved.note["updates"]
        self.clock.train_exp_epochs, self.clock.train_exp_iterations = epochs, updates
        self.clock.train_epoch_iterations = updates - epochs * self.training_settings.updates_per_epoch
        self._stop_training = saved.note.get("stopping", False)
        scheduled = learning_rate(self.training_settings, max(0, updates - 1), self.budget)
        self._set_rate(saved.note.get("learning_rate", scheduled))  # which differs where the optimizer is a fresh one

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        """Avalanche's loop over epochs, from where the training goes on; an epoch that was begun is not begun again."""
        begun = self.saved is not None and self.clock.train_epoch_iterations > 0
        for _ in range(self.clock.train_exp_epochs, self.train_epochs):
            if not begun:
                self._before_training_epoch(**kwargs)
                if self._stop_training:  # as a plugin may ask
                    self._stop_training = False
                    break
            begun = False
            self.training_epoch(**kwargs)
            self._after_training_epoch(**kwargs)

    def _after_training_iteration(self, **kwargs: Any) -> None:
        super()._after_training_iteration(**kwargs)
        if stops() or self.save_is_due():
            self._save()

    def _after_training_epoch(self, **kwargs: Any) -> None:
        super()._after_training_epoch(**kwargs)
        self._save()

    def save_is_due(self) -> bool:
        """Whether so much time has passed since everything was saved that it is to be saved again."""
        pause = max(self.training_settings.save_seconds, self.save_took / MOST_SAVING)
        return time.monotonic() - self.last_save >= pause

    def timed(self, save: Callable[[], None]) -> None:
        """Save, and note when that was and how long it took."""
        began = time.monotonic()
        save()
        self.last_save = time.monotonic()
        self.save_took = self.last_save - began

    def _save(self) -> None:
        """Save, then stop if that was asked for."""
        self.timed(self.save)
        endings.check()

    def _before_training_iteration(self, **kwargs: Any) -> None:
        self._set_rate(learning_rate(self.training_settings, self.clock.train_exp_iterations, self.budget))
        super()._before_training_iteration(**kwargs)

    def _set_rate(self, rate: float) -> None:
        """Let the optimizer have a learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _before_forward(self, **kwargs: Any) -> None:
        super()._before_forward(**kwargs)
        self.mbatch = sharing.share(self.mbatch)

    def backward(self) -> None:
        """The gradient of the loss; of several processes, every gradient and the loss become the mean over all."""
        check_loss(self.loss, self.strategy)
        super().backward()
        self.loss = sharing.average(self.model, self.loss)

    def _check_distributed_training_compatibility(self) -> bool:
        return True  # benchmark.engine.distributed.meeting sees to it; Avalanche would warn of every plugin

    def _after_training_exp(self, **kwargs: Any) -> None:
        super()._after_training_exp(**kwargs)
        if isinstance(self.model, TaskNetwork):
            self.model.end()
            extends(self.model, "end", self.model.cursor.learning is None)
