"""The games by hand: terms as their equations say, cycles as two games, past fakes row by row, networks of any size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import infos
from zerosum import recipe as recipes
from zerosum.domains.translation import DOMAIN, terms
from zerosum.domains.translation.game import Cycle, ReplayBuffer
from zerosum.domains.translation.networks import GENERATORS
from zerosum.domains.translation.networks.capabilities import DirectionOfCycle, PatchFeatures
from zerosum.domains.translation.networks.layers import Waves
from zerosum.domains.translation.networks.patch import PatchDiscriminator
from zerosum.domains.translation.sides import Side, TranslationTask
from zerosum.engine import Settings, Stepped, TrainingLoop
from zerosum.engine.duel import Duel
from zerosum.engine.game import Batch, DiscriminatorOutput, LossContext, MicroBatch
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.nn.layers import PixelNorm
from zerosum.recipe import Recipe, part

TINY = {
    "unet": {"width": 4, "levels": 2},
    "resnet": {"width": 4, "levels": 1, "blocks": 2, "edge": 3},
    "cycle": {"width": 4, "levels": 1, "blocks": 1, "edge": 3, "pool": 6},
    "contrastive": {"width": 4, "levels": 1, "blocks": 2, "edge": 3, "features": 8},
    "restyle": {"width": 4, "levels": 1, "blocks": 2, "edge": 3, "features": 8},
}
GREY, COLOUR = Side(1), Side(3)
NAMES = [name for name, recipe in DOMAIN.recipes.table.items() if recipe.generator.kind in TINY]


def rng(rows: int, start: int = 0, total: int | None = None, step: int = 0) -> SeededNoise:
    return SeededNoise(0, step, 0, start, start + rows, total or rows, torch.device("cpu"))


def tiny(name: str, **changes: Any) -> Recipe:
    """A recipe at smoke size."""
    chosen = DOMAIN.recipes.table[name]
    kind, judge = chosen.generator.kind, chosen.discriminator
    plain = chosen.changed(
        generator=part(kind, **TINY[kind]), discriminator=part(judge.kind, **{**judge.options, "width": 4})
    )
    resolved, _ = DOMAIN.game.resolve_auto(plain.changed(conditional=True, batch=4, steps=3, **changes), Small().info)
    return resolved.with_schedules_in_steps()


class Small:
    """A few random rows, of sides of the wanted channels."""

    name, notes, fingerprint, num_heldout = "small", (), "", 0

    def __init__(self, given: int = 3, wanted: int = 3, paired: bool = True) -> None:
        draw = torch.Generator().manual_seed(1)
        self.condition = torch.rand(12, given, 16, 16, generator=draw) * 2 - 1
        self.data = torch.rand(12, wanted, 16, 16, generator=draw) * 2 - 1
        self.info = infos.of_pairs(Side(given), Side(wanted), paired)

    @property
    def num_rows(self) -> int:
        return 12

    def batch(self, indices: Tensor) -> Batch:
        return Batch(self.data[indices], self.condition[indices])


def played(name: str, source: Small, micro_batches: int = 1, **changes: Any) -> TrainingLoop:
    recipe = tiny(name, **changes)
    game = DOMAIN.game.build(recipe, source.info)
    match = TrainingLoop(game, source, Settings(batch=4, learning=recipe.learning, micro_batches=micro_batches))
    for _ in match.run(recipe.steps):
        pass
    return match


# --- networks


@pytest.mark.parametrize("kind", sorted(TINY))
@pytest.mark.parametrize("size", [(16, 16), (17, 22)])
def test_generators_keep_the_size(kind: str, size: tuple[int, int]) -> None:
    network = GENERATORS[kind](TranslationTask(COLOUR, COLOUR), latent=2, **TINY[kind])
    x = torch.randn(2, 3, *size)
    assert network(torch.randn(2, 2), x).shape == (2, 3, *size)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, options) for kind, options in TINY.items() if kind != "restyle"),  # it begins as the identity
        ("unet", {"width": 4, "levels": 1, "depth": 2}),
        ("unet", {"width": 4, "levels": 2, "up": "bilinear"}),
        ("resnet", {"width": 4, "levels": 2, "blocks": 1, "edge": 5}),
    ],
)
def test_reach_is_how_far_a_place_sees(kind: str, options: dict[str, Any]) -> None:
    """The slope of one output pixel is 0 beyond the stated reach in every phase of the grid, and not before it in one."""
    torch.manual_seed(0)
    network = GENERATORS[kind](TranslationTask(GREY, GREY), latent=2, norm="pixel", **options)
    side = 2 * (network.reach + network.multiple) + 1
    side += -side % network.multiple
    seen = 0
    for shift in range(network.multiple):
        x = torch.randn(1, 1, side, side, requires_grad=True)
        place = side // 2 + shift
        network(torch.randn(1, 2), x)[0, 0, place, place].backward()
        assert x.grad is not None
        rows = x.grad[0, 0].abs().sum(1).nonzero()
        seen = max(seen, int((rows - place).abs().max()))
        x.grad = None
    assert seen == network.reach


def test_pieces_are_the_whole_where_the_norm_is_local() -> None:
    torch.manual_seed(0)
    network = GENERATORS["unet"](TranslationTask(COLOUR, GREY), latent=3, norm="pixel", **TINY["unet"])
    margin = -(-network.reach // network.multiple) * network.multiple
    x, z = torch.randn(1, 3, 4 * margin, 4 * margin), torch.randn(1, 3)
    whole = network(z, x)
    piece = network(z, x[:, :, margin:, margin:], origin=(margin, margin))
    torch.testing.assert_close(
        piece[:, :, margin:, margin:], whole[:, :, 2 * margin :, 2 * margin :], atol=1e-5, rtol=0
    )
    elsewhere = network(z, x[:, :, margin:, margin:])  # the noise of another place
    assert float((elsewhere - piece).detach().abs().max()) > 1e-3


def test_waves_have_variance_one_and_random_phases() -> None:
    torch.manual_seed(0)
    waves = Waves(8)
    field = waves(torch.randn(2000, 8), (8, 8))
    torch.testing.assert_close(field.square().mean((0, 2, 3)), torch.ones(8), atol=0.05, rtol=0)
    torch.testing.assert_close(field.mean((0, 2, 3)), torch.zeros(8), atol=0.05, rtol=0)


def test_no_single_direction_stands_out_in_the_noise() -> None:
    """A channel of one plane wave has nearly all its power in one place of the spectrum, and shows as stripes in pictures."""
    torch.manual_seed(0)
    field = Waves(8)(torch.randn(64, 8), (64, 64))
    power = torch.fft.rfft2(field * torch.hann_window(64)[:, None] * torch.hann_window(64)).abs().square().mean(0)
    largest = power.amax((1, 2)) / power.sum((1, 2))
    assert float(largest.max()) < 0.06  # a single wave: 0.17 to 0.42
    whole = power.mean(0)
    across, down = (whole * torch.fft.rfftfreq(64)).sum(), (whole * torch.fft.fftfreq(64).abs()[:, None]).sum()
    assert 0.8 < float(across / down) < 1.25


def test_pixel_norm_by_hand() -> None:
    x = torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(PixelNorm(5)(x), x / x.square().mean(1, keepdim=True).sqrt(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_patch_sees_as_much_as_it_says(levels: int) -> None:
    network = PatchDiscriminator(TranslationTask(GREY, GREY), width=4, levels=levels)
    x = torch.randn(1, 1, 96, 96, requires_grad=True)
    verdict = network(x, torch.randn(1, 1, 96, 96))
    logits = verdict.logits[0]
    logits[0, logits.shape[1] // 2, logits.shape[2] // 2].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == {1: 8, 2: 18, 3: 38}[levels]
    assert len(verdict.features) == levels + 1


def test_scales_and_the_input_of_the_discriminator() -> None:
    x, c = torch.randn(2, 1, 16, 16), torch.randn(2, 3, 16, 16)
    seeing = PatchDiscriminator(TranslationTask(COLOUR, GREY), width=4, scales=2)
    verdict = seeing(x, c)
    assert [tuple(logit.shape) for logit in verdict.logits] == [(2, 4, 4), (2, 2, 2)]
    assert not torch.equal(verdict.logits[0], seeing(x, c + 1).logits[0])
    blind = PatchDiscriminator(TranslationTask(COLOUR, GREY, paired=False), width=4, condition=False)
    assert torch.equal(blind(x, c).logits[0], blind(x, c + 1).logits[0])
    with pytest.raises(UserError, match="must not receive the input"):
        PatchDiscriminator(TranslationTask(COLOUR, GREY, paired=False))


# --- terms


def play(fake: Tensor, real: Tensor, condition: Tensor, generator: nn.Module | None = None, **more: Any) -> LossContext:
    silent = DiscriminatorOutput((fake.new_zeros(len(fake)),))
    return LossContext(
        real, fake, silent, silent, lambda points, side: silent, rng(len(fake)), 0, "generator", condition, condition,
        torch.zeros(len(fake), 1), generator, real, fake, **more,
    )  # fmt: skip


def test_pixel_distance_by_hand() -> None:
    fake, real = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, -3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    torch.testing.assert_close(terms.pixel(2.0).term(play(fake, real, real)), torch.tensor([2.0, 6.0]))


def test_feature_matching_by_hand() -> None:
    fake = torch.zeros(2, 1, 2, 2)
    made = DiscriminatorOutput((torch.zeros(2),), (torch.zeros(2, 3), torch.zeros(2, 4, 1)))
    wanted = DiscriminatorOutput((torch.zeros(2),), (torch.full((2, 3), 2.0), torch.full((2, 4, 1), -4.0)))
    with_real = LossContext(fake, fake, wanted, made, lambda points, side: made, rng(2), 0, "generator")
    torch.testing.assert_close(terms.feature_matching(1.0).term(with_real), torch.tensor([3.0, 3.0]))
    alone = LossContext(fake, fake, made, made, lambda points, side: wanted, rng(2), 0, "generator")
    torch.testing.assert_close(terms.feature_matching(1.0).term(alone), torch.tensor([3.0, 3.0]))


class Shift(DirectionOfCycle):
    """Adds a number; back, takes another away."""

    def forward(self, noise: Tensor, x: Tensor) -> Tensor:
        return x + 0.5

    def other(self, noise: Tensor, x: Tensor) -> Tensor:
        return x - 0.25


def test_cycle_and_identity_by_hand() -> None:
    x = torch.randn(3, 1, 4, 4)
    at = play(Shift()(x, x), torch.randn(3, 1, 4, 4), x, Shift())
    torch.testing.assert_close(terms.cycle(10.0).term(at), torch.full((3,), 2.5))
    torch.testing.assert_close(terms.identity(5.0).term(at), torch.full((3,), 2.5))
    with pytest.raises(ValueError, match="same number of channels"):
        terms.identity().term(play(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 2, 2), Shift()))
    with pytest.raises(ValueError, match="kind `cycle`"):
        terms.cycle().term(play(x, x, x, nn.Identity()))


class Undeclared(nn.Module):
    """Has attributes of the names, but derives from no class that declares the capabilities."""

    other = vectors = reverse = at = None

    def forward(self, noise: Tensor, x: Tensor) -> Tensor:
        return x


def test_attributes_of_the_same_name_declare_no_capability() -> None:
    x = torch.randn(2, 1, 4, 4)
    for term, kind in ((terms.cycle(), "kind `cycle`"), (terms.contrast(), "kind `contrastive`")):
        with pytest.raises(ValueError, match=kind):
            term.term(play(x, x, x, Undeclared()))


class Basis(PatchFeatures):
    """Vectors that are known: place p of the input is the p-th axis, that of the output turned by `turn` places."""

    def __init__(self, turn: int) -> None:
        super().__init__()
        self.turn = turn

    def forward(self, noise: Tensor, x: Tensor) -> Tensor:
        return x

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        axes = torch.eye(places.shape[1]).expand(len(images), -1, -1)
        return [axes.roll(self.turn, 1) if bool(images.flatten()[0] > 0) else axes]


@pytest.mark.parametrize(("turn", "similar"), [(0, 1.0), (1, 0.0)])
def test_contrast_of_known_vectors(turn: int, similar: float) -> None:
    """Cross-entropy over P places of which one has similarity 1 and the others 0."""
    given, made, num, temperature = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4), 5, 0.5
    found = terms.contrast(1.0, places=num, temperature=temperature, identity=0.0).term(
        play(made, given, given, Basis(turn))
    )
    expected = math.log(math.exp(1 / temperature) + num - 1) - similar / temperature
    torch.testing.assert_close(found, torch.full((2,), expected))


class Pixels(PatchFeatures):
    """The vectors of a picture are its own pixels, of length 1."""

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        flat = images.flatten(2).transpose(1, 2)
        at = (places * flat.shape[1]).long()
        return [nn.functional.normalize(flat.gather(1, at[:, :, None].expand(-1, -1, flat.shape[2])), dim=2)]

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        return condition * torch.linspace(0.5, 2, 3)[:, None, None]


@pytest.mark.parametrize("identity", [0.0, 1.0])
def test_contrast_moves_what_was_made_towards_the_input_and_never_the_input(identity: float) -> None:
    """The vectors of the input are the targets: constants, as in the paper's implementation. The same for a real target and its
    translation, whose slope comes from the translation alone."""
    torch.manual_seed(0)
    given, made, real = (torch.randn(2, 3, 4, 4, requires_grad=True) for _ in range(3))
    network = Pixels()
    contrast = terms.contrast(1.0, places=5, identity=identity)
    contrast.term(play(made, real, given, network)).sum().backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert given.grad is None
    if not identity:
        assert real.grad is None
        return
    target = real.detach().requires_grad_(True)
    where = rng(2).uniform("places", 5)
    (key,), (query,) = (network.vectors(target, x, where) for x in (target.detach(), network(target, target)))
    alike = query @ key.transpose(1, 2) / 0.07
    lost = torch.logsumexp(alike, 2) - alike.diagonal(dim1=1, dim2=2)
    lost.mean(1).sum().backward()
    torch.testing.assert_close(real.grad, target.grad)


def test_an_encoder_knows_places_of_the_same_picture() -> None:
    torch.manual_seed(0)
    network = GENERATORS["contrastive"](TranslationTask(COLOUR, COLOUR), latent=1, **TINY["contrastive"])
    x, z, places = torch.randn(2, 3, 16, 16), torch.zeros(2, 1), torch.rand(2, 6)
    found = network.vectors(z, x, places)
    assert len(found) == len(network.heads) == 4  # first layer, one halving, half of the blocks, all of them
    for vectors in found:
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(2, 6))
    depth = network.network.features(z, x)[0].flatten(2).transpose(1, 2)
    at = (places[1] * 256).long()
    head = nn.functional.normalize(network.heads[0](depth[1, at]), dim=1)
    torch.testing.assert_close(found[0][1], head)
    with pytest.raises(UserError, match="both sides must be of one kind"):
        GENERATORS["contrastive"](TranslationTask(COLOUR, GREY), latent=1)


# --- past fakes


def exchange(past: ReplayBuffer, values: Tensor, step: int, shares: int = 1) -> Tensor:
    """One turn's fakes through the pool, in micro-batches."""
    total, parts = len(values), []
    for rows in torch.arange(total).chunk(shares):
        at = rng(len(rows), int(rows[0]), total, step)
        batch = Batch(values[rows].view(-1, 1, 1, 1), None)
        parts.append(past.exchange(batch, MicroBatch(None, at, step)).data.flatten())
    return torch.cat(parts)


def test_past_fakes_come_back_row_by_row_on_any_number_of_shares() -> None:
    """Each row shows its own fakes; once the places are full as many are new as old, and none comes twice."""
    one, three = ReplayBuffer(24), ReplayBuffer(24)
    new = old = 0
    seen: list[set[float]] = [set() for _ in range(8)]
    for step in range(400):
        values = torch.arange(8.0) + 8 * step
        shown = exchange(one, values, step)
        assert torch.equal(shown, exchange(three, values, step, shares=3))
        assert torch.equal(shown.remainder(8), torch.arange(8.0))
        for row, value in enumerate(shown.tolist()):
            swapped = value != float(values[row])
            assert not (swapped and step < 3)
            assert value not in seen[row] or value < 8 * 3  # those that filled the places were shown at once, too
            seen[row].add(value)
            if step >= 3:
                new, old = new + (not swapped), old + swapped
    assert abs(new - old) < 4 * (new + old) ** 0.5


def test_past_fakes_are_saved_and_loaded() -> None:
    past, again = ReplayBuffer(8), ReplayBuffer(8)
    for step in range(5):
        exchange(past, torch.arange(4.0) + 4 * step, step)
    again.load_state_dict({key: value.clone() for key, value in past.state_dict().items()}, 0)
    assert torch.equal(exchange(again, torch.arange(4.0), 7), exchange(past, torch.arange(4.0), 7))
    nothing = ReplayBuffer(0)
    assert torch.equal(exchange(nothing, torch.arange(4.0), 9), torch.arange(4.0))
    assert nothing.state_dict() == {}


# --- games


def test_a_cycle_is_two_games() -> None:
    """Its terms are those of two ordinary games with the sides exchanged."""
    source = Small(3, 1, paired=False)
    recipe = tiny("cyclegan", penalties={"cycle": 10.0, "r1": 1.0})
    game = DOMAIN.game.build(recipe, source.info)
    assert isinstance(game, Cycle)
    rows = source.batch(torch.arange(4))
    share = MicroBatch(rows, rng(4), 0)
    found = game.terms("generator", share)
    assert set(found) == {"loss", "cycle", "back/loss", "back/cycle"}
    network: Any = game.players["generator"]
    judge: Any = game.players["discriminator"]
    zero = torch.zeros(4, 1)
    assert rows.condition is not None
    fake = network(zero, rows.condition)
    torch.testing.assert_close(found["cycle"], 10 * (network.reverse(zero, fake) - rows.condition).abs().mean())
    real, made = (judge.of_target(x, rows.condition).logits[0] for x in (rows.data, fake))
    torch.testing.assert_close(found["loss"], nn.functional.softplus(real - made).mean())
    home = network.reverse(zero, rows.data)
    torch.testing.assert_close(found["back/cycle"], 10 * (network(zero, home) - rows.data).abs().mean())
    real, made = (judge.of_input(x, rows.data).logits[0] for x in (rows.condition, home))
    torch.testing.assert_close(found["back/loss"], nn.functional.softplus(real - made).mean())
    terms = game.terms("discriminator", share)
    assert set(terms) == {"loss", "r1", "back/loss", "back/r1"}


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "cut"])
def test_micro_batches_play_the_same_game(name: str) -> None:
    """Every term, past fakes and places of patches included, is a function of the row alone."""
    source = Small(paired=name == "pix2pix")
    sgd = {player: {"kind": "sgd", "lr": 0.02} for player in ("generator", "discriminator")}
    one, four = (played(name, source, micro_batches=parts, learning=sgd) for parts in (1, 4))
    for a, b in zip(one.game.players.values(), four.game.players.values(), strict=True):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-4)


def test_a_cycle_resumes_with_its_past() -> None:
    source = Small(paired=False)
    recipe = tiny("cyclegan").changed(steps=6)
    settings = Settings(batch=4, learning=recipe.learning)
    straight = TrainingLoop(DOMAIN.game.build(recipe, source.info), source, settings)
    for _ in straight.run(6):
        pass
    first = TrainingLoop(DOMAIN.game.build(recipe, source.info), source, settings)
    for _ in first.run(4):
        pass
    second = TrainingLoop(DOMAIN.game.build(recipe, source.info), source, settings)
    second.load_state_dict(first.state_dict())
    for _ in second.run(6):
        pass
    assert "rows.back/past" in second.game.state_dict()
    for a, b in zip(straight.game.players.values(), second.game.players.values(), strict=True):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(p, q)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_plays(name: str) -> None:
    recipe = DOMAIN.recipes.table[name]
    assert recipe.why
    assert recipe.sources
    match = played(name, Small(paired=name.startswith("pix2pix")))
    assert all(math.isfinite(value) for value in match.values().values())
    fresh = DOMAIN.game.build(tiny(name), Small(paired=name.startswith("pix2pix")).info)
    for key, network in match.game.players.items():
        before = dict(fresh.players[key].named_parameters())
        still = {part for part, p in network.named_parameters() if torch.equal(p, before[part])}
        # Only differences of logits count in a relativistic pair, not the last bias.
        assert {part for part in still if not (key == "discriminator" and part.endswith("last.bias"))} == set(), key


def test_the_recipe_follows_the_data() -> None:
    assert DOMAIN.recipes.recommend(Small().info)[0] == "pix2pix"
    assert DOMAIN.recipes.recommend(Small(paired=False).info)[0] == "cut"
    assert DOMAIN.recipes.recommend(Small(3, 1, paired=False).info)[0] == "cyclegan"


def test_the_pixel_distance_follows_the_input() -> None:
    """Ten for images; no such term where a label map leaves the target open; a stated number stays."""
    recipe, info = DOMAIN.recipes.table["pix2pix"], Small().info
    resolved, (note,) = DOMAIN.game.resolve_auto(recipe, info)
    assert resolved.penalties["pixel"].weight == 10
    assert "Weight of the pixel distance 10" in note
    maps = infos.of_pairs(Side(3, "labels", ((0,), (1,), (2,))), Side(3))
    resolved, (note,) = DOMAIN.game.resolve_auto(recipe, maps)
    assert set(resolved.penalties) == {"r1", "r2"}
    assert "No pixel distance" in note
    stated = recipes.override(recipe, ["penalties.pixel.weight=2"])
    assert DOMAIN.game.resolve_auto(stated, maps) == (stated, ())


def test_parts_that_do_not_go_together_are_refused() -> None:
    info = Small(paired=False).info
    for settings, words in (
        (["discriminator.kind=patch"], "can only be combined with `cycle`"),
        (["loss=relativistic_average"], "losses that couple the rows"),
        (["generator.pool=-1"], "pool must be at least 0"),
        (["penalties.cycles.weight=1"], "no 'cycles'"),
    ):
        recipe = recipes.override(DOMAIN.recipes.table["cyclegan"].changed(conditional=True), settings)
        with pytest.raises(UserError, match=words):
            DOMAIN.game.build(recipe, info)


def test_pairs_are_learnt() -> None:
    """A target that is the negative of its input, by 60 small steps: the distance falls to a third."""
    source = Small(1, 1)
    source.data = -source.condition
    recipe = tiny("pix2pix", learning={"generator": {"lr": 5e-3}, "discriminator": {"lr": 1e-3}})
    game = DOMAIN.game.build(recipe.changed(penalties={"pixel": 10.0}), source.info)
    assert isinstance(game, Duel)
    match = TrainingLoop(game, source, Settings(batch=4, learning=recipe.learning))
    lost = [event.values()["generator/pixel"] for event in match.run(60) if isinstance(event, Stepped)]
    assert lost[-1] < lost[0] / 3
