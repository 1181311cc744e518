"""Adaptive strength and balanced consistency, played with real augmentations of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import infos
from zerosum import recipe as recipes
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.augments import AUGMENTS
from zerosum.engine.duel import Duel
from zerosum.engine.game import Batch, MicroBatch
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.recipe import Recipe
from zerosum.store import latest_checkpoint, save_checkpoint

INFO = infos.of_images(8)
ADAPTIVE = {"target": 0.3, "over_images": 1000, "every": 2, "most": 0.5}
BATCH = 16


class Noise:
    """A few images without any structure: what is not remembered cannot be told from fakes."""

    def __init__(self) -> None:
        self.num_rows = 24
        pixels = torch.randint(0, 2, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        self.data = pixels.float() * 2 - 1

    def batch(self, indices: Tensor) -> Batch:
        return Batch(self.data[indices])


def recipe(*settings: str, **rules: Any) -> Recipe:
    """A small pair of MLPs; the discriminator learns much faster than the generator."""
    pair = Recipe(
        name="small",
        generator=recipes.part("mlp", widths=[8]),
        discriminator=recipes.part("mlp", widths=[64], dropout=0.0),
        augment=recipes.part("ada", pipe=["blit"]),
        conditional=False,
    )
    return recipes.override(pair.changed(rules=rules), settings)


def game(*settings: str, **rules: Any) -> Duel:
    made = DOMAIN.game.build(recipe(*settings, **rules), INFO)
    assert isinstance(made, Duel)
    return made


def match(micro_batches: int = 1, **rules: Any) -> TrainingLoop:
    learning = {"discriminator": OptimizerConfig(lr=3e-3), "generator": OptimizerConfig(lr=1e-5)}
    settings = Settings(batch=BATCH, learning=learning, micro_batches=micro_batches, average=None)
    return TrainingLoop(game(**rules), Noise(), settings)


def strengths(played: TrainingLoop, steps: int) -> list[tuple[float, float]]:
    """(p, r) after each step."""
    found = []
    for _ in range(steps):
        played.train_step()
        values = played.values()
        found.append((values["augment/strength"], values["augment/sign"]))
    return found


def test_p_rises_when_the_discriminator_remembers_its_images_and_follows_the_rule() -> None:
    path = strengths(match(augment_strength=ADAPTIVE), 80)
    assert path[-1][0] > 0.15
    assert 0.9 < max(abs(sign) for _, sign in path) <= 1  # a mean of signs
    p = 0.0
    for turn, (strength, sign) in enumerate(path, 1):
        if turn % 2 == 0:  # every second discriminator turn
            p = min(0.5, max(0.0, p + (1 if sign > 0.3 else -1) * 2 * BATCH / 1000))
        assert strength == pytest.approx(p, abs=1e-6)


def test_p_comes_back_to_0_where_the_discriminator_cannot_be_sure() -> None:
    """Reals that are the generator's own images, so many that none is seen twice."""
    played = match(augment_strength=ADAPTIVE)
    source = played.source
    assert isinstance(source, Noise)
    with torch.no_grad():
        source.data = game().generator(torch.randn(4096, 64, generator=torch.Generator().manual_seed(5)))
    source.num_rows = 4096
    path = [p for p, _ in strengths(played, 60)]
    assert max(path[:20]) > 0.1  # the discriminator's first swing
    assert sum(path[-16:]) / 16 < 0.03


def test_p_is_saved_and_a_resumed_game_is_bit_equal(tmp_path: Path) -> None:
    whole, first, second = (match(augment_strength=ADAPTIVE) for _ in range(3))
    path = strengths(whole, 31)
    strengths(first, 17)  # in the middle of an interval of the controller
    save_checkpoint(tmp_path, 17, {"match": first.state_dict()})
    state = latest_checkpoint(tmp_path)
    assert state is not None
    second.load_state_dict(state["match"])
    assert strengths(second, 14) == path[17:]
    assert path[16][0] > 0
    for name, player in whole.players.items():
        for one, other in zip(player.parameters, second.players[name].parameters, strict=True):
            assert torch.equal(one, other)


def test_p_is_the_same_for_any_number_of_micro_batches() -> None:
    rule = ADAPTIVE | {"target": 0.05}
    whole, cut = (strengths(match(parts, augment_strength=rule), 12) for parts in (1, 3))
    torch.testing.assert_close(torch.tensor(cut), torch.tensor(whole), rtol=1e-6, atol=1e-6)
    assert whole[-1][0] > 0


def share(start: int, stop: int, total: int) -> MicroBatch:
    rng = SeededNoise(4, 0, 0, start, stop, total, torch.device("cpu"))
    return MicroBatch(Noise().batch(torch.arange(start, stop)), rng, 0)


def test_consistency_is_ten_times_the_squared_change_of_the_logit_on_reals_and_fakes() -> None:
    played = game("penalties.consistency=10", augment_role="compared", augment_strength=0.8)
    terms = played.terms("discriminator", share(0, 12, 12))
    augment, rng = AUGMENTS["ada"](pipe=("blit",)), share(0, 12, 12).rng
    real = Noise().batch(torch.arange(12)).data
    with torch.no_grad():
        fake, judge = played.generator(rng.normal("noise", 64)), played.discriminator
        on_real = judge(real) - judge(augment(real, rng, "augment real", 0.8))
        on_fake = judge(fake) - judge(augment(fake, rng, "augment fake", 0.8))
        plain = torch.nn.functional.softplus(-judge(real)) + torch.nn.functional.softplus(judge(fake))
    torch.testing.assert_close(terms["consistency"], 10 * (on_real.square() + on_fake.square()).mean())
    torch.testing.assert_close(terms["loss"], plain.mean())  # the loss itself is that of plain images
    assert float(terms["consistency"].detach()) > 0


def test_consistency_of_micro_batches_is_that_of_the_batch() -> None:
    played = game("penalties.consistency=10", augment_role="compared")
    whole = played.terms("discriminator", share(0, 12, 12))["consistency"]
    parts = [played.terms("discriminator", share(a, b, 12))["consistency"] * (b - a) for a, b in ((0, 5), (5, 12))]
    torch.testing.assert_close(sum(parts) / 12, whole)


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        (["augment=null", "rules.augment_strength=0.5"], {}),
        (["penalties.consistency=10"], {}),
        ([], {"augment_role": "compared"}),
        (
            ["penalties.consistency=10", "augment=null"],
            {"augment_role": "compared"},
        ),  # the role goes with the augmentation
    ],
)
def test_rules_that_need_one_another_are_demanded(settings: list[str], rules: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="augment"):
        game(*settings, **rules)
