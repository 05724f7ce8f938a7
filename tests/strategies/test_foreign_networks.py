"""Networks that nobody here designed: what a task learned stays to the bit, whatever else a network is made of."""

import copy
import io
import pickle

import pytest
import torch
from made_networks import CASES, NETWORKS, PACKED, TASKS, Shared, images, learn, learned, made, outputs, same, trainable
from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.cmc.network import CMCNetwork, convert, fold
from strategies.packnet import PackedNetwork

every_case = pytest.mark.parametrize(("strategy", "name"), CASES, ids=[f"{s}-{n}" for s, n in CASES])


@pytest.mark.slow
@every_case
def test_every_output_of_earlier_tasks_stays_bit_identical(strategy: str, name: str) -> None:
    network = made(strategy, name)
    before: list[Tensor] = []
    for task in range(TASKS):
        for _ in learn(network, task):
            assert same(outputs(network, task), before)
            assert same(outputs(network, task, training=True), before)
        network.requires_grad_(True)
        network.requires_grad_(False)
        before = outputs(network, task + 1)
        assert same(outputs(network, task + 1, training=True), before)
        assert all(output.isfinite().all() for output in before)
    assert len({output.numpy().tobytes() for output in before}) == TASKS


@pytest.mark.slow
@every_case
def test_a_state_saved_at_any_moment_loads_into_a_fresh_network(strategy: str, name: str) -> None:
    """In the middle of the second task with the first one active, and after its end, in both directions."""
    network, twin = made(strategy, name), made(strategy, name)
    for _ in learn(network, 0):
        pass
    twin.begin(0)
    twin.end()
    twin.begin(1)
    ended = False
    for _ in learn(network, 1):
        if ended:
            twin.end()
        network.select(0)
        twin.select(0)
        saved = copy.deepcopy(network.state_dict())
        twin.load_state_dict(saved)
        network.select(1)
        assert same([*saved.values()], [*network.state_dict().values()]), "the same whichever task is active"
        assert same(outputs(twin, 2), outputs(network, 2))
        network.train()
        ended = True


@pytest.mark.slow
@every_case
def test_after_loading_in_the_middle_of_a_task_training_goes_on_bit_for_bit(strategy: str, name: str) -> None:
    network, twin = made(strategy, name), made(strategy, name)
    for _ in learn(network, 0):
        pass
    twin.begin(0)
    twin.end()
    course = learn(network, 1)
    next(course)
    if isinstance(network, PackedNetwork):
        network.prune()
    twin.begin(1)
    twin.load_state_dict(copy.deepcopy(network.state_dict()))
    for one in (network, twin):
        torch.manual_seed(0)
        one.train()
        steps = torch.optim.SGD(trainable(one), lr=1e-4, momentum=0.9)
        for update in range(2):
            steps.zero_grad()
            one(images(update), 1).square().mean().backward()
            steps.step()
        one.end()
    assert same(outputs(twin, 2), outputs(network, 2))


@pytest.mark.slow
@every_case
def test_copies_of_every_kind_restore_alike(strategy: str, name: str) -> None:
    network = learned(strategy, name, tasks=2)
    before = outputs(network, 2)
    assert same(outputs(copy.deepcopy(network), 2), before)
    if name == "rows":  # torch refuses to pickle parametrizations
        return
    assert same(outputs(pickle.loads(pickle.dumps(network)), 2), before)
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    restored = torch.load(file, weights_only=False)
    assert same(outputs(restored, 2), before)
    for _ in learn(restored, 2):
        assert same(outputs(restored, 2), before)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_folded_networks_are_plain_and_restore_alike(name: str) -> None:
    network = learned("cmc", name)
    plain = NETWORKS[name]()
    state = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        for task, output in enumerate(outputs(network, TASKS)):
            folded = fold(network, task)
            assert torch.equal(folded(images(99)), output)
            assert [type(m).__name__ for m in folded.modules()] == [type(m).__name__ for m in plain.modules()]
            assert [p.requires_grad for p in folded.parameters()] == [p.requires_grad for p in plain.parameters()]
            assert set(folded.state_dict()) == set(plain.state_dict())
            if name == "shared":
                assert folded.inner is folded.again[0]
    assert same([*network.state_dict().values()], [*state.values()]), "folding leaves the network as it was"


@pytest.mark.slow
@every_case
def test_a_look_at_an_earlier_task_changes_no_gradient(strategy: str, name: str) -> None:
    network = learned(strategy, name, tasks=1)
    network.train()
    network.begin(1)
    steps = torch.optim.Adam(trainable(network), lr=0.01)
    twin = copy.deepcopy(network)
    twin_steps = torch.optim.Adam(trainable(twin), lr=0.01)
    for update in range(2):
        for one, optimizer, looks in ((network, steps, True), (twin, twin_steps, False)):
            torch.manual_seed(update)
            optimizer.zero_grad()
            loss = one(images(update), 1).square().mean()
            if looks:
                one(images(5), 0)
                one.select(0)
                one.backbone(images(6)) if strategy == "cmc" else one(images(6), 0)
            loss.backward()
            optimizer.step()
            one.select(1)
        for (key, ours), (other, theirs) in zip(network.named_parameters(), twin.named_parameters(), strict=True):
            assert key == other
            assert (ours.grad is None) == (theirs.grad is None), key
            assert ours.grad is None or torch.equal(ours.grad, theirs.grad), key
            assert torch.equal(ours, theirs), key


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shared", "u-net", "resnet10"])
def test_gradients_are_those_of_the_plain_network(name: str) -> None:
    """Outside the kernels: against autograd on the folded network in training mode, with an old task looked at."""
    network = learned("cmc", name, tasks=1)
    network.begin(1)
    plain = fold(network, 1).double().train()
    network.double().train()
    for one in (network, plain):
        for layer in one.modules():
            if isinstance(layer, nn.Dropout2d):
                layer.p = 0.0
    loss = network(images(3).double(), 1).square().mean()
    network(images(4).double(), 0)
    loss.backward()
    plain(images(3).double()).square().mean().backward()
    theirs = dict(plain.named_parameters())
    compared = 0
    for key, parameter in network.backbone.named_parameters():
        if key in theirs:
            torch.testing.assert_close(parameter.grad, theirs[key].grad, rtol=1e-9, atol=1e-12)
            compared += 1
    assert compared == len(network.places) - len([*plain.buffers()])
    for layer, conv in zip(network.layers, (m for m in plain.modules() if type(m) is nn.Conv2d), strict=True):
        gradient = torch.outer(layer.vector.detach(), conv.weight.grad.flatten()).flatten()[layer.index]
        torch.testing.assert_close(layer.values.grad, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@every_case
def test_what_a_frozen_task_owns_cannot_be_written_to_through_a_pass(strategy: str, name: str) -> None:
    network = learned(strategy, name, tasks=2)
    before = outputs(network, 2)
    statistics = {key: value.clone() for key, value in network.state_dict().items() if "num_batches" in key}
    network.train()
    for task in (0, 1):
        torch.manual_seed(7)
        state = torch.get_rng_state()
        network(images(1), task).sum().backward() if trainable(network) else network(images(1), task)
        assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"
        assert network.training
    assert all(torch.equal(network.state_dict()[key], value) for key, value in statistics.items())
    assert same(outputs(network, 2), before)
    assert not trainable(network)


def test_values_and_place_of_what_the_active_task_trains() -> None:
    network = learned("cmc", "twice as large", tasks=2)
    network.begin(2)
    slope = network.backbone[2].weight
    assert slope in set(trainable(network))
    slope.data.fill_(0.9)
    network(images(0), 0)
    assert network.backbone[2].weight is slope
    network.select(0)
    assert network.backbone[2].weight is not slope
    assert not network.backbone[2].weight.requires_grad
    network.backbone[2].weight.data.fill_(7)  # a copy
    assert [name for name, _ in network.named_parameters() if name == "backbone.2.weight"]
    before = outputs(network, 2)
    network.select(2)
    assert network.backbone[2].weight is slope
    assert float(slope.detach()) == pytest.approx(0.9)
    assert same(outputs(network, 2), before)


@pytest.mark.slow
def test_a_network_moves_to_another_type_as_a_whole() -> None:
    network = learned("cmc", "u-net", tasks=2)
    network.begin(2)
    network.select(0)
    network.double()
    assert all(tensor.dtype != torch.float32 for tensor in (*network.parameters(), *network.buffers()))
    for task in range(3):
        assert network(images(0).double(), task).dtype == torch.float64


def test_dropout_acts_on_the_task_in_training_alone() -> None:
    network = learned("cmc", "u-net", tasks=1)
    network.begin(1)
    network.train()
    with torch.no_grad():
        assert torch.equal(network(images(0), 0), network(images(0), 0))
        assert not torch.equal(network(images(0), 1), network(images(0), 1))
        assert network.training
        assert all(layer.training for layer in network.modules())


def test_later_tasks_of_packnet_use_the_statistics_of_the_first() -> None:
    network = learned("packnet", "twice as large", tasks=1)
    network.begin(1)
    network.train()
    norm = network.backbone[1]
    before = copy.deepcopy(norm.state_dict())
    with torch.no_grad():
        together = network(images(0), 1)
        alone = torch.cat([network(image[None], 1) for image in images(0)])
    torch.testing.assert_close(together, alone)
    assert all(torch.equal(norm.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize("strategy", ["cmc", "packnet"])
def test_one_task_is_learned_at_a_time(strategy: str) -> None:
    network = made(strategy, "shared")
    network.begin(0)
    with pytest.raises(UserError, match="end task 0 before task 1 begins"):
        network.begin(1)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(PACKED)))
def test_packnet_refuses_networks_with_other_weights(name: str) -> None:
    with pytest.raises(UserError, match=r"has others: .*(up|attention|fc)"):
        made("packnet", name)


def test_a_checkpoint_that_was_saved_with_another_task_active_is_read_as_it_was_meant() -> None:
    """Older checkpoints hold the tensors of whichever task was active at their usual places."""
    network = learned("cmc", "twice as large", tasks=2)
    network.select(0)
    old = {key: value.clone() for key, value in network.state_dict().items()}
    old["backbone.2.weight"] = network.get_buffer("other_0_4").clone()
    old["backbone.1.running_mean"] = network.get_buffer("other_0_2").clone()
    twin = made("cmc", "twice as large")
    for task in range(2):
        twin.begin(task)
        twin.end()
    assert twin.load_state_dict(old) == ([], [])
    assert same(outputs(twin, 2), outputs(network, 2))
    for one in (network, twin):
        for _ in learn(one, 2):
            pass
    assert same(outputs(twin, 3), outputs(network, 3))


def test_a_network_is_pickled_even_if_the_function_that_begins_a_task_cannot_be() -> None:
    network = CMCNetwork(convert(Shared(), t=3), lambda layer: layer.begin(0.2))
    network.begin(0)
    network.end()
    copied = pickle.loads(pickle.dumps(network))
    assert same(outputs(copied, 1), outputs(network, 1))
    copied.train()
    with pytest.raises(UserError, match=r"lambda.*Set it again"):
        copied.begin(1)
    copy.deepcopy(network).begin(1)
