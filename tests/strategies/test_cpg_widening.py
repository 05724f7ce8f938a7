"""Which backbones CPG widens, and the reason that is given for others."""

import pytest
from torch import nn

from benchmark.backbones.base import Backbone
from benchmark.core.errors import UserError
from strategies.cpg.network import GrowingNetwork
from strategies.cpg.strategy import CPG, CPGSettings


class Body(Backbone):
    """Two convolutions with something between."""

    def between(self) -> nn.Module:
        raise NotImplementedError

    def make_body(self) -> nn.Module:
        first, last = (nn.Conv2d(self.width, self.width, 3, padding=1) for _ in range(2))
        return nn.Sequential(first, self.between(), last)


class Normalised(Body):
    def between(self) -> nn.Module:
        return nn.BatchNorm2d(self.width)


class Whitened(Body):
    def between(self) -> nn.Module:
        return nn.BatchNorm2d(self.width, affine=False)


class Dropping(Body):
    def between(self) -> nn.Module:
        return nn.Dropout(0.5)


def adapted(kind: type[Body]) -> nn.Module:
    return CPG(CPGSettings()).adapt(kind(width=8, blocks=1), 2)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Normalised, r"cpg shares out the parameters of nn.Conv2d layers, and Normalised has others: body.1.weight"),
        (Whitened, r"Whitened cannot be widened: .* it has body.1.running_mean, body.1.running_var.*cpg.grow=0"),
    ],
)
def test_what_is_in_the_way_of_widening_is_named(kind: type[Body], words: str) -> None:
    with pytest.raises(UserError, match=words):
        adapted(kind)


def test_a_backbone_that_drops_features_is_widened() -> None:
    network = adapted(Dropping)
    assert isinstance(network, GrowingNetwork)
    network.begin(0)
    network.grow(0.25, seed=0)
    assert [layer.kernel().shape[0] for layer in network.layers] == [10, 10, 10, 3]
