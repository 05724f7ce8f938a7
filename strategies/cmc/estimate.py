"""The kernels of a task in training, from only those entries of the memories that the task trains on (Eq. 1).

A kernel is ``T · (M ⊙ H)``: each owned entry times its row's element of the vector, summed over the rows. As a task
owns a small part of every memory, that is a vector times a sparse matrix. Its entries keep their places while the task
is in training, so they are laid out once, such that the product and its gradients are gathers and sums of neighbours:
nothing is scattered, so nothing depends on the order in which threads arrive, on any device. All layers of a network
are laid out together, since a call of torch costs as much as a thousand entries.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 128
"""Entries of a row that are summed at once; rows are filled up to a multiple of it."""


class Layer(Protocol):
    """What an estimate needs of a layer with a task in training: :class:`strategies.cmc.layer.CMCConv2d`."""

    memory: Tensor
    index: Tensor | None
    kernel_shape: torch.Size

    @property
    def values(self) -> Tensor:
        """What the task owns."""

    @property
    def t(self) -> int:
        """Rows of the memory."""

    @property
    def m(self) -> int:
        """Entries in a row."""

    def places_in_training(self) -> list[Tensor]:
        """Flat places in the memory that the task has a vector for."""

    def frozen_in_training(self) -> list[Tensor]:
        """What the memory holds at those that are not the task's own."""

    def vectors_in_training(self) -> list[Tensor]:
        """The vector for each of them."""

    def kernel_before(self) -> Tensor | None:
        """What is added to the kernel."""


class Estimate:
    """The kernels of some layers for the task that all of them have in training.

    Args:
        layers: each with a task in training.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self.made_from = self._made_from()
        places, rows, columns = [], [], []
        row = column = 0
        for layer in self.layers:
            for owned in layer.places_in_training():
                places.append(owned.cpu())
                rows.append(places[-1] // layer.m + row)
                columns.append(places[-1] % layer.m + column)
                row += layer.t
            column += layer.m
        device = self.layers[0].memory.device
        self.product = Product(torch.cat(rows), torch.cat(columns), row, column, device)
        self.frozen = [layer.frozen_in_training() for layer in self.layers]
        old = [layer.kernel_before() for layer in self.layers]
        self.old = None
        if any(kernel is not None for kernel in old):
            flat = [
                layer.memory.new_zeros(layer.m) if kernel is None else kernel
                for layer, kernel in zip(self.layers, old, strict=True)
            ]
            self.old = torch.cat(flat)
        self.kept: tuple[tuple[Tensor, Tensor], Tensor] | None = None

    @property
    def fits(self) -> bool:
        """Whether it was made for the task, the memory and the device that the layers have at present."""
        return all(map(lambda one, other: one is other, self.made_from, self._made_from()))

    def kernels(self) -> list[Tensor]:
        """Every layer's kernel (k_out, k_in / groups, n, n), with gradients.

        Without gradients, as in evaluation, they are kept until a vector or an owned entry has another value.
        """
        given = self._vectors(), self._values()
        if torch.is_grad_enabled():
            flat = self._flat(*given)
        else:
            if self.kept is None or not all(map(torch.equal, given, self.kept[0])):
                self.kept = given, self._flat(*given)
            flat = self.kept[1]
        kernels = flat.split([layer.m for layer in self.layers])
        return [kernel.view(layer.kernel_shape) for kernel, layer in zip(kernels, self.layers, strict=True)]

    def _flat(self, vectors: Tensor, values: Tensor) -> Tensor:
        kernels: Tensor = _Multiply.apply(vectors, values, self.product)
        return kernels if self.old is None else self.old + kernels

    def _vectors(self) -> Tensor:
        return torch.cat([vector.flatten() for layer in self.layers for vector in layer.vectors_in_training()])

    def _values(self) -> Tensor:
        own = zip(self.frozen, self.layers, strict=True)
        return torch.cat([values for frozen, layer in own for values in (*frozen, layer.values)])

    def _made_from(self) -> list[Tensor | None]:
        return [tensor for layer in self.layers for tensor in (layer.index, layer.memory, layer.kernel_before())]


class Product:
    """A sparse matrix at fixed places, laid out so that products with it and their gradients only gather and sum.

    For ``vector @ matrix`` the entries are brought into the order of their turn: first the first entry of every column
    that has one, then the second ones, and so on, with the columns that have most entries in front. So each turn is
    added to a beginning of the result, and a column's entries are summed from the top row down. For the gradient of the
    vector the entries lie as they are, row by row, and each row is summed in chunks.

    Args:
        rows: (e,) row of each entry, ascending.
        columns: (e,) column of each entry; no two entries have both in common.
        height: rows of the matrix.
        width: columns of the matrix.
        device: where it is to be used.
    """

    def __init__(self, rows: Tensor, columns: Tensor, height: int, width: int, device: torch.device) -> None:
        of_row = torch.bincount(rows, minlength=height)
        counts = torch.zeros(width, dtype=torch.int64)
        turns = []
        for part in columns.split(of_row.tolist()):
            turns.append(counts[part])
            counts[part] += 1
        turn = torch.cat(turns)
        place = torch.empty_like(counts)
        place[torch.argsort(counts, descending=True, stable=True)] = torch.arange(width)
        sizes = torch.bincount(turn)
        by_turn = torch.empty_like(turn)
        by_turn[(sizes.cumsum(0) - sizes)[turn] + place[columns]] = torch.arange(len(turn))
        chunks = -(-of_row // CHUNK)
        lengths = torch.full((int(chunks.sum()),), CHUNK)
        ends = chunks.cumsum(0)[chunks > 0] - 1
        lengths[ends] = (of_row - (chunks - 1) * CHUNK)[chunks > 0]

        self.turns: list[int] = sizes.tolist()
        self.rows = rows.int().to(device)
        self.columns = columns.int().to(device)
        self.by_turn = by_turn.int().to(device)
        self.place = place.int().to(device)
        self.sums = [_segments(lengths).int().to(device), _segments(chunks).int().to(device)]

    def times(self, factors: Tensor, values: Tensor) -> Tensor:
        """(width,) sums over each column of factor times value, both (e,)."""
        ordered = (factors * values).index_select(0, self.by_turn)
        result = values.new_zeros(len(self.place))
        for part in ordered.split(self.turns):
            result[: len(part)] += part
        return result.index_select(0, self.place)

    def row_sums(self, entries: Tensor) -> Tensor:
        """(height,) sums over each row of entries (e,)."""
        for segments in self.sums:
            padded = torch.cat([entries, entries.new_zeros(1)])
            entries = padded.index_select(0, segments.view(-1)).view(segments.shape).sum(1)
        return entries


class _Multiply(torch.autograd.Function):
    """``vectors @ matrix`` with the values of the matrix at the places of a product."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, values: Tensor, product: Product) -> Tensor:
        factors = vectors.index_select(0, product.rows)
        ctx.save_for_backward(factors, values)
        ctx.product = product
        return product.times(factors, values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        factors, values = ctx.saved_tensors
        found = gradient.index_select(0, ctx.product.columns)
        return ctx.product.row_sums(found * values.conj()), found * factors.conj(), None


def _segments(lengths: Tensor) -> Tensor:
    """Where the elements of segments of these lengths lie, one after another: a row each, filled up with the total."""
    inside = torch.arange(int(lengths.max()))
    starts = lengths.cumsum(0) - lengths
    return torch.where(inside < lengths[:, None], starts[:, None] + inside, lengths.sum())
