"""The task identifier: what its filters see, that it tells degradations apart, and that it never forgets."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.images import to_float
from benchmark.data.dead_leaves import dead_leaves
from benchmark.data.degradations import Degradation, make
from benchmark.data.patches import DegradedPatches
from strategies import identifier
from strategies.identifier import FEATURES, Identifier, features

SIDE = 32
MADE: dict[str, Degradation] = {
    "noise": make("noise", {"std": [30, 50]}),
    "jpeg": make("jpeg", {"quality": [10, 30]}),
    "blur": make("blur", {"std": [1.5, 3]}),
    "rain": make("rain", {"density": 0.002}),
}


def patches(task: str, count: int = 64) -> Iterator[np.ndarray]:
    drawn = DegradedPatches([dead_leaves(index, 192) for index in range(4)], MADE[task], SIDE)
    return (drawn.draw(generator("made", task, patch))[0] for patch in range(count))


def picture(task: str, number: int, side: int = 128) -> np.ndarray:
    """A degraded image that no task was trained on, height × width × 3."""
    return MADE[task](to_float(dead_leaves(100 + number, side)), generator("other", task, number))


@pytest.fixture(scope="module")
def learned() -> Identifier:
    """Knows the made tasks, in their order."""
    found = Identifier(SIDE)
    for label, task in enumerate(MADE):
        found.learn(label, patches(task))
    return found


def test_it_gives_images_to_the_degradation_they_have(learned: Identifier) -> None:
    """Chance is one in four; all are right by far."""
    own = {
        (label, number): learned.scores(picture(task, number)) for number in range(3) for label, task in enumerate(MADE)
    }
    right = [max(scores, key=scores.__getitem__) == label for (label, _), scores in own.items()]
    assert np.mean(right) > 0.75
    assert learned.identify(picture("noise", 9)) == 0


def test_prototypes_of_earlier_tasks_never_change(learned: Identifier) -> None:
    growing = Identifier(SIDE)
    for label, task in enumerate(MADE):
        before = growing.state()
        growing.learn(label, patches(task))
        assert all(torch.equal(growing.state()[name], tensor) for name, tensor in before.items())
    assert growing.known == [0, 1, 2, 3]
    last = Identifier(SIDE)
    last.learn(3, patches("rain"))
    assert torch.equal(last.state()["3"], learned.state()["3"]), "whatever was learned before"
    with pytest.raises(UserError, match="Task 3 was learned already"):
        last.learn(3, patches("noise"))
    assert torch.equal(last.state()["3"], learned.state()["3"])


def test_a_state_that_is_given_away_is_a_copy_and_brings_everything_back(learned: Identifier) -> None:
    image = picture("jpeg", 0)
    expected = learned.scores(image)
    given = learned.state()
    twin = Identifier(SIDE)
    twin.load_state(dict(reversed(given.items())))
    for tensor in given.values():
        tensor.zero_()
    assert twin.known == learned.known
    assert twin.scores(image) == learned.scores(image) == expected


def test_a_prototype_is_mean_and_shrunk_covariance_and_scores_are_bounded_likelihoods(learned: Identifier) -> None:
    """By scikit-learn's estimator and the definition of the score, square by square."""
    described = {task: np.array([features(patch) for patch in patches(task)]) for task in MADE}
    fitted = {task: LedoitWolf().fit(values) for task, values in described.items()}
    for label, task in enumerate(MADE):
        prototype = learned.state()[str(label)].double().numpy()
        assert prototype.shape == (FEATURES + FEATURES * (FEATURES + 1) // 2,)
        assert prototype[:FEATURES] == pytest.approx(described[task].mean(0), rel=1e-5, abs=1e-5)
        spread = fitted[task].covariance_ + 1e-4 * np.eye(FEATURES)
        assert prototype[FEATURES:] == pytest.approx(spread[np.tril_indices(FEATURES)], rel=1e-4, abs=1e-6)
    image = picture("blur", 1, 2 * SIDE)
    expected = dict.fromkeys(range(4), 0.0)
    for top, left in itertools.product((0, SIDE), repeat=2):
        square = features(image[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1))
        spread = {task: one.covariance_ + 1e-4 * np.eye(FEATURES) for task, one in fitted.items()}
        logs = [multivariate_normal(one.location_, spread[task]).logpdf(square) for task, one in fitted.items()]
        for label, log in enumerate(logs):
            expected[label] += max(-10.0, log - np.logaddexp.reduce(logs))
    assert learned.scores(image) == pytest.approx(expected, abs=0.05)


def test_an_image_is_seen_upright(learned: Identifier) -> None:
    """Lying on its side, rain falls across: the squares are other ones to the filters."""
    image = picture("rain", 2, SIDE)
    found = [features(one.transpose(2, 0, 1)) for one in (image, image.swapaxes(0, 1))]
    assert found[0] != pytest.approx(found[1], abs=0.1)
    for one, square in zip((image, image.swapaxes(0, 1)), found, strict=True):
        logs = {label: float(learned._density(label).logpdf(square)) for label in learned.known}
        best = np.logaddexp.reduce([*logs.values()])
        assert learned.scores(one) == pytest.approx({label: max(-10.0, log - best) for label, log in logs.items()})


def test_a_few_strange_squares_do_not_outvote_the_others(learned: Identifier, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture("noise", 3)
    image[:SIDE] = 0  # a quarter of it: no patch in training was like that
    assert learned.identify(image) == 0
    monkeypatch.setattr(identifier, "BOUND", np.inf)
    assert learned.identify(image) != 0, "without the bound they do"


def test_white_noise_has_its_variance_in_every_band() -> None:
    """The bank is orthonormal: each coefficient of white noise has a pixel's variance, in colour as in luminance."""
    found = features(np.random.default_rng(0).normal(0.5, 0.2, (3, 512, 512)))
    assert found[2:30] == pytest.approx(np.full(28, np.log(0.2**2)), abs=0.1)
    assert found[30:] == pytest.approx(np.full(14, np.log(np.pi / 2)), abs=0.1), "E[x²] / E[|x|]² of a Gaussian"


NOTHING = np.log((1 / 255) ** 2)
"""The energy of what is not there."""


def test_a_grey_image_has_no_colour_and_one_of_equal_lightness_nothing_else() -> None:
    light = np.random.default_rng(3).random((48, 48))
    grey = features(np.stack([light] * 3))
    assert grey[23:30] == pytest.approx(np.full(7, NOTHING), abs=1e-6)
    assert min(grey[2:23]) > NOTHING + 3
    for factors in ((1, -1, 0), (0, 1, -1), (1, 1, -2)):
        colourful = features(0.5 + np.multiply.outer(factors, light))
        assert colourful[2:23] == pytest.approx(np.full(21, NOTHING), abs=1e-6)
        assert min(colourful[23:30]) > NOTHING + 3


def test_upright_stripes_show_in_bands_and_grids_across_and_lying_ones_down() -> None:
    upright = np.broadcast_to(np.random.default_rng(4).random(48), (3, 48, 48))
    blocks = np.broadcast_to(np.random.default_rng(5).random(6).repeat(8), (3, 48, 48))
    for turned in (0, 1):
        found = features(upright.swapaxes(1, 2) if turned else upright)
        down, across, aslant = (found[2 + part : 23 : 3] for part in range(3))
        none, raised = (across, down) if turned else (down, across)
        assert min(raised) > NOTHING + 3
        assert [*none, *aslant] == pytest.approx(np.full(14, NOTHING), abs=1e-6)
        shown = features(blocks.swapaxes(1, 2) if turned else blocks)[:2]
        assert shown[1 - turned] == 0 < 0.5 < shown[turned]


@pytest.mark.parametrize(("down", "across"), [(0, 0), (3, 5), (7, 1)])
def test_a_grid_of_blocks_is_found_wherever_it_begins(down: int, across: int) -> None:
    """Blocks of one colour each: on their own grid nothing varies within a block."""
    colours = np.random.default_rng(1).random((3, 9, 9))
    image = colours.repeat(8, axis=1).repeat(8, axis=2)[:, down : down + 48, across : across + 48]
    found = features(image)
    assert found[2:30] == pytest.approx(np.full(28, np.log((1 / 255) ** 2)), abs=1e-6)
    assert min(found[:2]) > 3 * max(features(np.random.default_rng(2).random((3, 48, 48)))[:2])


def test_a_grid_shows_as_strongly_in_the_mirror() -> None:
    """A step is compared with those on both sides of it."""
    square = np.random.default_rng(6).random((3, 48, 48))
    found = features(square)[:2]
    assert min(found) > 0
    for mirrored in (square[:, :, ::-1], square[:, ::-1], square[:, ::-1, ::-1]):
        assert features(mirrored)[:2] == pytest.approx(found)


def test_rounding_to_8_bits_does_not_show() -> None:
    image = picture("blur", 0).transpose(2, 0, 1)
    assert features(np.rint(image * 255) / 255) == pytest.approx(features(image), abs=0.2)


def test_images_of_any_size_are_told(learned: Identifier) -> None:
    assert learned.identify(picture("noise", 5, 80)[:20, :11]) == 0
    large = np.tile(picture("noise", 5), (6, 6, 1))
    assert sum(1 for _ in learned._squares(large.transpose(2, 0, 1))) == identifier.MOST_SQUARES
    assert learned.identify(large) == 0


def test_labels_are_in_the_order_of_numbers_not_of_texts() -> None:
    """Of two tasks that explain an image alike, the one of the lower label is told, also after a state was loaded."""
    first = Identifier(SIDE)
    for label in (2, 10):
        first.learn(label, patches("noise", 16))
    again = Identifier(SIDE)
    again.load_state(first.state())
    assert again.known == [2, 10]
    assert first.identify(picture("noise", 0)) == again.identify(picture("noise", 0)) == 2


def test_of_tasks_that_explain_a_square_alike_each_has_its_share() -> None:
    """Learned from the same patches, k tasks share the likelihood of every square: the logarithm of 1 / k is left."""
    found = Identifier(SIDE)
    for count in range(1, 4):
        found.learn(count, patches("noise", 16))
        expected = -16 * np.log(count)  # of 4 × 4 squares
        assert found.scores(picture("noise", 0, 4 * SIDE)) == pytest.approx(dict.fromkeys(found.known, expected))


def test_a_task_whose_patches_are_all_alike_can_be_learned() -> None:
    """Its features have no spread at all, and still it has a density."""
    found = Identifier(SIDE)
    found.learn(0, [np.full((3, SIDE, SIDE), 0.5)] * 4)
    found.learn(1, patches("noise", 16))
    assert found.identify(np.full((SIDE, SIDE, 3), 0.5)) == 0
    assert found.identify(picture("noise", 0)) == 1


def test_squares_are_spread_over_an_image_that_has_too_many(learned: Identifier) -> None:
    """Each pixel says in which row and column of squares it lies."""
    places = np.mgrid[:40, :20].repeat(SIDE, axis=1).repeat(SIDE, axis=2)
    rows, columns = np.array([square[:, 0, 0] for square in learned._squares(places)]).T
    assert rows[0] == columns[0] == 0
    assert (rows[-1], columns[-1]) == (39, 19)
    assert len(set(rows)) == 40
    assert np.diff(rows * 20 + columns).tolist().count(3) > 200, "800 squares, of which every third or so is seen"


def test_squares_are_no_larger_than_the_filters_were_made_for() -> None:
    assert Identifier(16).side == 16
    assert Identifier(200).side == identifier.SIDE


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(UserError, match="at least 16 pixels, not 15"):
        Identifier(15)
    with pytest.raises(UserError, match="No task was learned yet"):
        Identifier(SIDE).identify(picture("noise", 0))
