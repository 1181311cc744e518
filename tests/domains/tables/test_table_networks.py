"""The players over encoded rows: chance out of noise, told columns, soft and hard categories, packs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.domains.tables import terms
from zerosum.domains.tables.layout import TransformedBlock, condition_on
from zerosum.domains.tables.networks import TableDiscriminator, TableGenerator, UniformFromNoise
from zerosum.engine.game import DiscriminatorOutput, LossContext
from zerosum.engine.seeds import SeededNoise

BLOCKS = (
    TransformedBlock("age", "numeric", 0, 1),
    TransformedBlock("city", "category", 1, 4),
    TransformedBlock("pay", "mixture", 5, 3),
    TransformedBlock("kind", "category", 8, 2),
)
NUM, WIDE = 4, 10
CHOICES = [(1, 5), (6, 8), (8, 10)]


def noise(num: int, seed: int = 0, size: int = 64) -> Tensor:
    return torch.randn(num, size, generator=torch.Generator().manual_seed(seed))


def generator(num_attributes: int = NUM + WIDE, **options: object) -> TableGenerator:
    torch.manual_seed(0)
    return TableGenerator(BLOCKS, latent=64, num_attributes=num_attributes, width=16, **options)  # type: ignore[arg-type]


WITH_MISSING = (
    TransformedBlock("age", "numeric", 0, 3, missing=True),
    TransformedBlock("pay", "mixture", 3, 4, missing=True),
    TransformedBlock("city", "category", 7, 2),
)


def asked(num: int) -> Tensor:
    """Age and pay told in the first half of the rows, nothing in the others."""
    data, mask = torch.zeros(num, WIDE), torch.zeros(num, NUM)
    data[:, 0], data[:, 5], data[:, 7] = 1.5, -0.25, 1.0
    mask[: num // 2, 0] = mask[: num // 2, 2] = 1
    return condition_on(data, mask, BLOCKS)


def test_chances_are_uniform_and_do_not_hang_together() -> None:
    torch.manual_seed(0)
    found = UniformFromNoise(64, 80)(noise(20_000)).double()
    assert float(found.min()) >= 0
    assert float(found.max()) < 1
    ideal = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    assert (
        float((found.sort(0).values - ideal[:, None]).abs().max()) < 1.95 / 20_000**0.5
    )  # KS, one column in a thousand
    between = torch.corrcoef(torch.cat([found.T, noise(20_000).double().T]))  # with one another and with the noise
    assert float((between - torch.eye(len(between))).abs().max()) < 0.035
    later = torch.corrcoef((found - 0.5).abs().T)
    assert float((later - torch.eye(80)).abs().max()) < 0.035


def test_a_row_is_a_function_of_its_noise_and_of_what_it_is_told() -> None:
    made = generator().eval()
    rows = made(noise(50), asked(50))
    torch.manual_seed(9)  # torch's own chance plays no part
    one_by_one = torch.cat([made(noise(50)[i : i + 1], asked(50)[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(rows, one_by_one)


def test_given_columns_come_back_and_others_do_not_all() -> None:
    for mode in (True, False):
        rows = generator().train(mode)(noise(40), asked(40))
        assert (rows[:20, 0] == 1.5).all()
        assert (rows[:20, 5:8] == torch.tensor([-0.25, 0.0, 1.0])).all()
        assert not (rows[20:, 0] == 1.5).any()
    free = generator(keep=False).eval()(noise(40), asked(40))
    assert not (free[:20, 0] == 1.5).any()


def test_categories_are_picked_with_the_chances_that_the_logits_say() -> None:
    made = generator(num_attributes=0).eval()
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    with torch.no_grad():
        made.out.weight.zero_()
        made.out.bias.zero_()
        made.out.bias[1:5] = shares.log()
        rows = made(noise(20_000))
    for first, last in CHOICES:
        assert (rows[:, first:last].sort(1).values[:, :-1] == 0).all()
        assert (rows[:, first:last].sum(1) == 1).all()
    torch.testing.assert_close(rows[:, 1:5].mean(0), shares, atol=0.012, rtol=0)


def test_without_chance_the_largest_logit_is_picked_and_a_little_changes_little() -> None:
    decided, nearly, usual = (generator(0, chance=chance).eval() for chance in (0.0, 0.1, 1.0))
    z = noise(2_000)
    for first, last in (block.choice for block in BLOCKS if block.choice):
        best = decided.raw(z)[:, first:last].argmax(1)
        assert (decided(z)[:, first:last].argmax(1) == best).all()
        changed = [float((made(z)[:, first:last].argmax(1) != best).float().mean()) for made in (nearly, usual)]
        assert 0 < changed[0] < changed[1] / 2


@pytest.mark.parametrize("straight", [True, False])
def test_a_missing_number_is_nothing_to_either_player(straight: bool) -> None:
    torch.manual_seed(0)
    network = TableGenerator(WITH_MISSING, latent=64, width=16, straight=straight)
    rows = network.eval()(noise(500))
    for number, missing in ((0, 2), (3, 6)):
        gone = rows[:, missing] == 1
        assert 0 < int(gone.sum()) < 500
        assert not rows[gone, number].any()
        assert bool(rows[~gone, number].all())
        torch.testing.assert_close(rows[~gone, number], network.raw(noise(500))[~gone, number])
    network.train()
    rows = network(noise(500))
    torch.testing.assert_close(rows[:, 0], network.raw(noise(500))[:, 0] * (1 - rows[:, 2]))
    # The flag learns from what the discriminator says of the row with the number left out.
    (slope,) = torch.autograd.grad(rows[:, 0].sum(), network.out.bias)
    assert slope[2] != 0


def test_straight_rows_are_hard_and_their_slope_is_the_soft_ones() -> None:
    soft, hard = generator(0).train(), generator(0, straight=True).train()
    rows = hard(noise(30))
    torch.testing.assert_close(rows[:, 1:5], torch.nn.functional.one_hot(rows[:, 1:5].argmax(1), 4).float())
    weights = torch.arange(40.0).view(4, 10).mean(0)
    slopes = [torch.autograd.grad((net(noise(30)) * weights).sum(), net.out.weight)[0] for net in (soft, hard)]
    torch.testing.assert_close(slopes[0], slopes[1])
    assert float(slopes[0].abs().sum()) > 0


def test_a_pack_shares_one_verdict_and_hears_which_columns_were_told() -> None:
    torch.manual_seed(0)
    judge = TableDiscriminator(BLOCKS, num_attributes=NUM + WIDE, width=16, pack=3)
    rows = torch.randn(7, WIDE)
    logits = judge(rows, asked(7))
    assert logits.shape == (7,)
    assert logits[0] == logits[1] == logits[2] != logits[3] == logits[4] == logits[5] != logits[6]
    filled = judge(torch.cat([rows[6:], rows[:2]]), torch.cat([asked(7)[6:], asked(7)[:2]]))
    torch.testing.assert_close(logits[6], filled[0])
    other = asked(7)
    other[:, NUM:] += 1  # the values of told columns stand in the row
    torch.testing.assert_close(judge(rows, other), logits)
    whole = TableDiscriminator(BLOCKS, num_attributes=NUM + WIDE, width=16, condition="values")
    assert not torch.equal(whole(rows, asked(7)), whole(rows, other))
    mask = asked(7)
    mask[:, 1] = 1
    assert not torch.equal(judge(rows, mask), logits)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"depth": -1}, {"chance": -0.1}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="depth and chance at least 0"):
        generator(**options)


def play(network: TableGenerator, condition: Tensor, made: Tensor) -> LossContext:
    rng = SeededNoise(0, 0, 0, 0, len(made), len(made), torch.device("cpu"))
    verdict = DiscriminatorOutput((made[:, 0],))
    return LossContext(
        made, made, verdict, verdict, lambda points, side: verdict, rng, 0,
        "generator", condition, condition, noise(len(made)), network,
    )  # fmt: skip


def test_given_columns_term() -> None:
    network = generator(keep=False)
    with torch.no_grad():
        network.out.weight.zero_()
        network.out.bias.zero_()
        network.out.bias[0], network.out.bias[1] = 0.5, 2.0
    data, mask = torch.zeros(4, WIDE), torch.zeros(4, NUM)
    data[:, 0], data[:, 2] = 1.5, 1.0
    mask[0, 0] = mask[1, 1] = mask[2, 0] = mask[2, 1] = 1
    condition = condition_on(data, mask, BLOCKS)
    lost = terms.given_columns(weight=2.0).term(play(network, condition, network(noise(4), condition)))
    entropy = float(torch.logsumexp(torch.tensor([2.0, 0, 0, 0]), 0))  # of the level with logit 0
    torch.testing.assert_close(lost, 2 * torch.tensor([1.0, entropy, (1 + entropy) / 2, 0.0]))


def test_given_columns_term_of_numbers_that_may_be_missing() -> None:
    """The error of a number counts where there is one; an offset is taken as it stands in the row."""
    torch.manual_seed(0)
    network = TableGenerator(WITH_MISSING, latent=64, num_attributes=12, width=16, keep=False)
    with torch.no_grad():
        network.out.weight.zero_()
        network.out.bias.zero_()
        network.out.bias[0], network.out.bias[3] = 3.0, 2.0
    data, mask = torch.zeros(3, 9), torch.zeros(3, 3)
    data[0, 0], data[0, 1], data[1, 2], data[2, 3], data[2, 4] = 1.0, 1.0, 1.0, 0.5, 1.0
    mask[0, 0] = mask[1, 0] = mask[2, 1] = 1
    condition = condition_on(data, mask, WITH_MISSING)
    lost = terms.given_columns().term(play(network, condition, network(noise(3), condition)))
    known, modes = math.log(2), math.log(3)
    torch.testing.assert_close(lost, torch.tensor([known + 4, known, modes + 1.5**2]))


def test_given_columns_term_needs_conditions() -> None:
    network = generator(0)
    with pytest.raises(ValueError, match="needs conditions"):
        terms.given_columns().term(play(network, None, network(noise(4))))  # type: ignore[arg-type]
