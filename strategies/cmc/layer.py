"""Continual Memory in Convolution (CMC), the paper's layer (section 3).

A convolution whose kernel is not stored but estimated: a task's vector ``T`` times the part of a shared memory
``M`` that the task owns, plus what earlier tasks have learned (Kar, Ghosh, Biswas, "Sharing the Learned
Knowledge-base to Estimate Convolutional Filter Parameters for Continual Image Restoration", 2025, Eq. 1-4)::

    K_n = sum over i < n of T_i · (M ⊙ H_i)  +  T_n · (M ⊙ H_n),      H_i = (owner == i)

Only what task n may change is ever a parameter: the entries of ``M`` it owns (one flat tensor), its vector and its
bias. Everything that earlier tasks own lies in buffers, which no optimizer, momentum or weight decay can reach.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from strategies.cmc.checks import check_settings
from strategies.cmc.estimate import Estimate
from strategies.surgery import TaskConv2d, exactly
from strategies.tasks import FREE, MAX_TASKS

Sharing = Literal["none", "copy", "fixed", "adaptive"]


class CMCConv2d(TaskConv2d):
    """An ``nn.Conv2d`` with a continual memory in place of its weight.

    The life of a layer is ``begin(fraction)``, training, ``end()``, ``begin(fraction)``, ...: tasks follow one another
    and are counted from 0. Which task's kernel a forward pass uses is set by ``select(task)``; a task that begins is
    selected. The layers of a network follow the network's cursor, which :class:`CMCNetwork` moves. Symbols follow the
    paper: t rows of memory, and m = k_out · (k_in / groups) · n · n entries in a row.

    Args:
        like: the convolution to stand in for; its shape, stride, padding, padding mode, dilation and groups are
            kept, its weights are not.
        t: rows of the memory; CMC-t in the paper.
        name: the layer's name in its network; a part of the address of its random numbers, and used in errors.
        seed: seed of the run.

    State:
        ``memory`` (t, m) float; ``owner`` (t, m) int8, the task that owns an entry or -1; for every learned task k
        ``vector_k`` (t_k,), ``bias_k`` (k_out,) and, with adaptive sharing, ``reuse_k`` (k, t_k); and, where a task has
        learned from later ones, ``later_k`` (how many, t).
    """

    memory: Tensor
    owner: Tensor
    values: nn.Parameter
    vector: nn.Parameter
    reuse: nn.Parameter
    task_bias: nn.Parameter

    def __init__(self, like: nn.Conv2d, t: int = 5, name: str = "convolution", seed: int = 0) -> None:
        if not isinstance(t, int) or t < 1:
            raise UserError(f"t = {t!r}: a continual memory needs at least one row (t >= 1).")
        super().__init__(like)
        del self._parameters["weight"], self._parameters["bias"]
        self.has_bias = like.bias is not None
        self.name = name
        self.seed = seed
        self.initial_t = t
        self.sharing: Sharing = "fixed"
        self.inherits: list[bool] = []
        self.index: Tensor | None
        self.register_buffer("index", None, persistent=False)
        self.estimate: Estimate | None = None
        self.given: Tensor | None = None
        """The kernel to compute with, where one is made outside of the layer."""
        rows = (t, self.kernel_shape.numel())
        self.register_buffer("memory", torch.zeros(rows, dtype=like.weight.dtype, device=like.weight.device))
        self.register_buffer("owner", torch.full(rows, FREE, dtype=torch.int8, device=like.weight.device))

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The selected task's kernel, as other parts of a network read it; zero before the first task.

        While the task is learned it carries a gradient; of a frozen task it is a copy.
        """
        if not self.inherits:
            return self.memory.new_zeros(self.kernel_shape)
        kernel = self.kernel()
        return kernel if kernel.requires_grad else kernel.clone()

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The selected task's bias, like :attr:`weight`; None for a convolution without one."""
        if not self.has_bias or self.selected == self.learning:
            return self.current_bias()
        if not self.learned:
            return self.memory.new_zeros(self.out_channels)
        return self._learned("bias", self.selected).clone()

    @property
    def selected(self) -> int:
        """The task whose kernel and bias a forward pass uses."""
        return self.cursor.selected

    @property
    def learning(self) -> int | None:
        """The task in training, or None."""
        return len(self.inherits) - 1 if "values" in self._parameters else None

    @property
    def learned(self) -> int:
        """How many tasks are frozen."""
        return len(self.inherits) - ("values" in self._parameters)

    @property
    def t(self) -> int:
        """Rows of the memory at present."""
        return self.memory.shape[0]

    @property
    def m(self) -> int:
        """Entries in one row, which is the number of weights in the kernel."""
        return self.memory.shape[1]

    @property
    def free(self) -> int:
        """Entries of the memory that no task owns yet."""
        return int((self.owner == FREE).sum())

    def need(self, fraction: float) -> int:
        """Entries that one task takes: the fraction of the memory as it was at the start, at least one."""
        return max(1, int(fraction * self.initial_t * self.m + 1e-6))

    def expand(self, rows: int) -> None:
        """Append free rows to the memory (section 3.2.3); what earlier tasks compute does not change.

        Raises:
            UserError: a task is being learned, or ``rows`` is not positive.
        """
        if self.learning is not None or rows < 1:
            raise UserError(f"Layer '{self.name}': expand({rows}) needs rows >= 1, and no task in training.")
        self.memory = torch.cat([self.memory, self.memory.new_zeros(rows, self.m)])
        self.owner = torch.cat([self.owner, self.owner.new_full((rows, self.m), FREE)])

    def begin(
        self,
        fraction: float,
        sharing: Sharing = "fixed",
        start: float | None = None,
        exhausted: Literal["error", "expand"] = "error",
    ) -> None:
        """Give the next task a random part of the free memory and make it trainable (Eq. 2 and 3).

        Args:
            fraction: share of all entries that the task owns, in (0, 1].
            sharing: what the kernel takes from earlier tasks: ``none`` of it; the last kernel as it is, ``fixed``,
                which is the sum of Eq. 4 if all tasks share so; ``adaptive``, new vectors over the frozen memory,
                started from theirs (an extension); or ``copy``, a start alone (a control): the task's own entries hold
                a copy of the last kernel, see :meth:`_copy_of`, and nothing else enters into the kernel. All but
                ``none`` start from the last bias.
            start: every element of ``T_n`` at the start. By default 1 where the kernel starts from nothing, as for
                the first task, and 0 where it starts from what earlier tasks know. Always 1 for a copy.
            exhausted: what to do when too few entries are free.

        Raises:
            UserError: too little memory is free, a setting is none, there are too many tasks, or one is being learned.
        """
        task = self.learned
        if self.learning is not None:
            raise UserError(f"Layer '{self.name}' is learning task {task}: call end() before the next begin().")
        if task >= MAX_TASKS:
            raise UserError(f"Layer '{self.name}' holds at most {MAX_TASKS} tasks. Use a shorter stream.")
        check_settings(self.name, fraction, (sharing, get_args(Sharing)), (exhausted, ("error", "expand")))
        need = self.need(fraction)
        if need > self.free and exhausted == "expand":
            self.expand(-(-(need - self.free) // self.m))
        if need > self.free:
            raise UserError(
                f"The memory of layer '{self.name}' is exhausted: task {task + 1} needs {need} entries, {self.free} of "
                f"{self.memory.numel()} are left. Lower the fraction, raise t, or set exhausted=expand."
            )
        draw = generator("cmc", self.seed, self.name, task)
        free = torch.nonzero(self.owner.flatten() == FREE).flatten().cpu().numpy()
        copies = task > 0 and sharing == "copy"
        inherits = task > 0 and sharing in ("fixed", "adaptive")
        if copies:
            index, values = self._copy_of(self._learned("kernel", task - 1), free, need, draw)
        else:
            index = torch.from_numpy(np.sort(draw.choice(free, size=need, replace=False, shuffle=False)))
            # The first kernel gets the variance of a default nn.Conv2d, 1 / (3 · fan_in), with T_1 = 1.
            fan_in = self.kernel_shape[1:].numel()
            owned_per_weight = need / self.m
            values = torch.from_numpy(draw.standard_normal(need) / np.sqrt(3 * fan_in * owned_per_weight))
        self.owner.view(-1)[index] = task

        own = 0.0 if inherits else 1.0
        vector = torch.full((self.t,), own if start is None or task == 0 or copies else start)
        self.sharing = sharing
        self.inherits.append(inherits)
        self.cursor.selected = task
        self.index = index.to(self.memory.device)
        self.values = nn.Parameter(values.to(self.memory))
        self.vector = nn.Parameter(vector.to(self.memory))
        if sharing == "adaptive" and task > 0:
            self.reuse = nn.Parameter(torch.stack([self._padded(self._learned("vector", i)) for i in range(task)]))
        if self.has_bias:
            bias = self._learned("bias", task - 1).clone() if inherits or copies else self._fresh_bias(draw)
            self.task_bias = nn.Parameter(bias.to(self.memory))

    def end(self) -> None:
        """Freeze what the task has learned: write its entries into the memory and keep its vector and bias.

        Raises:
            UserError: no task is being learned.
        """
        if self.learning is None:
            raise UserError(f"Layer '{self.name}': end() without begin(), no task is being learned.")
        task = self.learning
        assert self.index is not None
        self.memory.view(-1)[self.index] = self.values.detach()
        self.register_buffer(f"vector_{task}", self.vector.detach().clone())
        if hasattr(self, "reuse"):
            self.register_buffer(f"reuse_{task}", self.reuse.detach().clone())
            del self.reuse
        if self.has_bias:
            self.register_buffer(f"bias_{task}", self.task_bias.detach().clone())
            del self.task_bias
        del self.values, self.vector
        self.index = self.estimate = None
        self.register_buffer(f"kernel_{task}", self._estimate(task), persistent=False)

    def select(self, task: int) -> None:
        """Choose the task whose kernel and bias the next forward passes use.

        Raises:
            UserError: the task was never learned.
        """
        known = len(self.inherits)
        if not 0 <= task < known:
            learned = ", ".join(str(k) for k in range(known)) or "none"
            raise UserError(f"Layer '{self.name}' has not learned task {task}. Learned so far: {learned}.")
        self.cursor.selected = task

    def begin_task(
        self,
        fraction: float,
        sharing: Sharing = "fixed",
        start: float | None = None,
        exhausted: Literal["error", "expand"] = "error",
    ) -> None:
        """What :meth:`begin` was called in version 0.1; kept until version 0.3."""
        self.begin(fraction, sharing, start, exhausted)

    def end_task(self) -> None:
        """What :meth:`end` was called in version 0.1; kept until version 0.3."""
        self.end()

    def activate(self, task: int) -> None:
        """What :meth:`select` was called in version 0.1; kept until version 0.3."""
        self.select(task)

    def kernel(self) -> Tensor:
        """The selected task's kernel (k_out, k_in / groups, n, n); it carries a gradient while the task is learned."""
        if self.given is not None:
            return self.given
        learning = self.learning
        if learning is None or learning != self.selected:
            kind = "revised" if hasattr(self, f"revised_{self.selected}") else "kernel"
            return self._learned(kind, self.selected).view(self.kernel_shape)
        if self.estimate is None or not self.estimate.fits:
            self.estimate = Estimate([self])
        with saved_tensors_hooks(_itself, _itself):  # a checkpointed part of a network does not compute it again
            return self.estimate.kernels()[0]

    def places_in_training(self) -> list[Tensor]:
        """Flat places in the memory that the task in training has a vector for: its own, and those it reuses."""
        assert self.index is not None
        return [*(self._owned_by(task) for task in range(len(self._reused()))), self.index]

    def frozen_in_training(self) -> list[Tensor]:
        """What the memory holds at those of :meth:`places_in_training` that are not the task's own."""
        return [self.memory.view(-1)[places] for places in self.places_in_training()[:-1]]

    def vectors_in_training(self) -> list[Tensor]:
        """The vector for each of :meth:`places_in_training`, (t,) each."""
        return [*self._reused(), self.vector]

    def kernel_before(self) -> Tensor | None:
        """K_old (m,) of the task in training: the last kernel, which holds those before if all share so; or None."""
        learning = self.learning
        if not learning or not self.inherits[learning] or self.sharing == "adaptive":
            return None
        return self._learned("kernel", learning - 1)

    def later_terms(self, task: int) -> Tensor:
        """What each task after a learned one owns (how many, t, m), zero elsewhere; also of the one in training."""
        memory = self.memory.clone()
        if self.index is not None:
            memory.view(-1)[self.index] = self.values.detach()
        owners = torch.arange(task + 1, len(self.inherits), dtype=self.owner.dtype, device=self.owner.device)
        return memory.masked_fill(self.owner != owners.view(-1, 1, 1), 0)

    def revise(self, task: int, vectors: Tensor) -> None:
        """Give a learned task vectors (how many, t) over :meth:`later_terms`, and the kernel that they lead to."""
        terms = self.later_terms(task)[: len(vectors), : vectors.shape[1]]  # more may have come since they were learned
        kernel = with_later(self._learned("kernel", task), vectors, terms)
        self.register_buffer(f"later_{task}", vectors)
        self.register_buffer(f"revised_{task}", kernel, persistent=False)

    def current_bias(self) -> Tensor | None:
        """The selected task's bias (k_out,), or None for a convolution without one."""
        if not self.has_bias:
            return None
        return self.task_bias if self.selected == self.learning else self._learned("bias", self.selected)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, k_in, H, W) with the selected task's kernel."""
        return self._conv_forward(input, self.kernel(), self.current_bias())

    def extra_repr(self) -> str:
        """What ``print`` shows of the layer."""
        return f"{super().extra_repr()}, t={self.t}, learned={self.learned}"

    def _estimate(self, task: int) -> Tensor:
        """A learned task's kernel (m,) from memory and vectors alone, summed as in training: from the top row down."""
        reused = self._learned("reuse", task) if hasattr(self, f"reuse_{task}") else ()
        vectors = [*reused, self._learned("vector", task)]
        with exactly(self.memory.device):
            kernel = self.memory.new_zeros(self.m)
            for owner, vector in enumerate(vectors, task + 1 - len(vectors)):
                for factor, memory, owners in zip(vector, self.memory, self.owner, strict=False):
                    kernel += factor * memory.masked_fill(owners != owner, 0)
            alone = len(vectors) > 1 or not self.inherits[task]
            return kernel if alone else self._learned("kernel", task - 1) + kernel

    def _copy_of(self, kernel: Tensor, free: np.ndarray, need: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Entries for a task that starts from a copy of a kernel, and their values with ``T = 1``.

        Every weight that is not zero gets one free entry, if its t entries are not all taken; what is left over of the
        task's share goes anywhere, at random. Entries of one weight have equal parts of it (the least squares solution
        of least norm), so that the kernel is exact at weights with an entry, and zero elsewhere. Entries drawn without
        regard to the kernel would meet only 1 - (1 - p)^t of its weights, p being the share.

        Args:
            kernel: (m,) the kernel to start from.
            free: flat places in the memory, in ascending order.
            need: how many of them the task takes.
            draw: the task's random numbers.

        Returns:
            (need,) flat places in ascending order, and (need,) values.
        """
        shuffled = draw.permutation(free)
        _, first = np.unique(shuffled % self.m, return_index=True)
        carries = np.zeros(len(shuffled), bool)
        carries[first] = (kernel != 0).cpu().numpy()[shuffled[first] % self.m]
        index = torch.from_numpy(np.sort(np.concatenate([shuffled[carries], shuffled[~carries]])[:need]))
        weights = (index % self.m).to(kernel.device)
        return index, kernel[weights] / torch.bincount(weights, minlength=self.m)[weights]

    def _owned_by(self, task: int) -> Tensor:
        """Flat places in the memory that a task owns, in ascending order."""
        return torch.nonzero(self.owner.flatten() == task).flatten()

    def _reused(self) -> Tensor | tuple[()]:
        """The vectors of the task in training over what earlier ones own, (k, t); none where it has none."""
        return self.reuse if "reuse" in self._parameters else ()

    def _padded(self, vector: Tensor) -> Tensor:
        """A vector from before an expansion, with zeros for the rows it did not know."""
        return torch.cat([vector, vector.new_zeros(self.t - len(vector))])

    def _fresh_bias(self, draw: np.random.Generator) -> Tensor:
        bound = self.kernel_shape[1:].numel() ** -0.5
        return torch.from_numpy(draw.uniform(-bound, bound, self.out_channels))

    def _learned(self, kind: str, task: int) -> Tensor:
        return self.get_buffer(f"{kind}_{task}")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, and find out anew what follows from the state: which entries are in training, and all kernels."""
        for task in range(self.learned):
            vectors = state_dict.get(f"{prefix}later_{task}")
            if vectors is not None:
                self.register_buffer(f"later_{task}", vectors.to(self.memory))
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.learning is not None:
            self.index = self._owned_by(self.learning)
        for task in range(self.learned):
            self.register_buffer(f"kernel_{task}", self._estimate(task), persistent=False)
            if hasattr(self, f"later_{task}"):
                self.revise(task, self._learned("later", task))


def with_later(kernel: Tensor, vectors: Tensor, terms: Tensor) -> Tensor:
    """A kernel (m,) with what vectors (how many, t) make of later tasks' entries (how many, t, m)."""
    return kernel + (vectors[..., None] * terms).sum((0, 1))


def _itself(tensor: Tensor) -> Tensor:
    return tensor
