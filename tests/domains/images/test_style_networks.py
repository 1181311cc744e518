"""The style-based pair: sizes, mixing, the mean style, path lengths, derivatives, rows, conditions, training and resuming."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.style import StyleDiscriminator, StyleGenerator, level_widths
from zerosum.engine import Duel, OptimizerConfig, Settings, TrainingLoop, penalties
from zerosum.engine.devices import Precision
from zerosum.engine.game import Batch, DiscriminatorOutput, LossContext
from zerosum.engine.penalties import path_length
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.latent import PathLengthGenerator
from zerosum.nn.style_layers import StyledLayer

SHAPES = [Shape(1, 8, 8), Shape(1, 28, 28), Shape(3, 20, 48), Shape(3, 33, 17), Shape(1, 5, 5), Shape(3, 2, 3)]
SMALL = {"width": 4, "max_width": 8}
ATTRIBUTES = torch.tensor([[0.5, -1.0], [0.0, 0.3], [1.0, 1.0], [-1.0, 0.0], [0.1, 0.2]])
CONDITIONS = {"none": (0, 0, None), "labels": (3, 0, torch.tensor([0, 2, 1, 1, 0])), "attributes": (0, 2, ATTRIBUTES)}


def generator(shape: Shape = SHAPES[1], **options: object) -> StyleGenerator:
    torch.manual_seed(0)
    network = StyleGenerator(shape, **({"latent": 6, "mapping_layers": 2, "mapping_rate": 1.0} | SMALL | options))
    for layer in network.layers:
        nn.init.constant_(layer.strength, 0.3)  # so that noise can be seen
    return network


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_pair_fits_every_size_and_condition_and_reaches_every_parameter(shape: Shape, kind: str) -> None:
    num_classes, num_attributes, condition = CONDITIONS[kind]
    condition_options = {"num_classes": num_classes, "num_attributes": num_attributes}
    first = generator(shape, **condition_options)
    second = StyleDiscriminator(shape, **SMALL, **condition_options)
    images = first(torch.randn(5, 6), condition)
    assert images.shape == (5, shape.channels, shape.height, shape.width)
    logits = second(images, condition)
    assert logits.shape == (5,)
    logits.square().sum().backward()
    for network in (first, second):
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_sizes_up_to_a_thousand_are_made_of_the_stated_parts() -> None:
    shape = Shape(3, 1024, 1024)
    assert level_widths(shape, 32, 512) == [32, 64, 128, 256] + [512] * 5
    narrow = {"width": 1, "max_width": 4}
    network, other = StyleGenerator(shape, latent=4, **narrow), StyleDiscriminator(shape, **narrow)
    with torch.no_grad():
        ws = network.mapping(torch.randn(1, 4))
        images = network.synthesis(ws)
        assert ws.shape == (1, 18, 4)  # as in the paper
        assert images.shape == (1, 3, 1024, 1024)
        assert other(images).shape == (1,)


def test_the_output_is_linear_or_tanh() -> None:
    z = torch.randn(3, 6)
    linear, bounded = (generator(output=kind).eval()(z * 5) for kind in ("linear", "tanh"))
    torch.testing.assert_close(bounded, linear.tanh())


# --- mapping, truncation, mixing


def test_the_mean_style_is_followed_in_training_and_truncation_leads_there() -> None:
    network = generator()
    styles = network.mapping(torch.randn(5, 6, generator=torch.Generator().manual_seed(1)))
    expected = 0.005 * styles[:, 0].mean(0)
    torch.testing.assert_close(network.w_mean, expected.detach())
    network.eval()
    z = torch.randn(4, 6)
    ws = network.mapping(z)
    torch.testing.assert_close(network.w_mean, expected.detach())
    torch.testing.assert_close(network.mapping(z, truncation=0.0), network.w_mean.expand(4, network.num_ws, -1))
    torch.testing.assert_close(network.mapping(z, truncation=0.7) - network.w_mean, 0.7 * (ws - network.w_mean))


def test_the_length_of_the_noise_does_not_matter() -> None:
    network, z = generator().eval(), torch.randn(3, 6)
    torch.testing.assert_close(network(z), network(7 * z))


def test_styles_are_mixed_in_training_only_and_from_a_layer_on() -> None:
    network, z = generator(mixing=1.0), torch.randn(400, 6)
    seen: list[Tensor] = []
    network.synthesis = lambda ws: seen.append(ws) or torch.zeros(1)  # type: ignore[method-assign]
    network(z)
    own = (seen[0] == network.mapping(z)).all(2)
    assert own[:, 0].all()
    assert not own[:, -1].any()
    assert (own[:, :-1] | ~own[:, 1:]).all()  # once crossed over, never back
    crossings = torch.bincount(own.sum(1), minlength=network.num_ws)[1 : network.num_ws]
    assert (crossings > 400 / (network.num_ws - 1) / 2).all()  # 80 a layer expected, standard deviation 8
    second = seen[0][~own].view(-1, 6)
    assert len(second.unique(dim=0)) == 400  # each row has one other style of its own
    network.eval()(z)
    torch.testing.assert_close(seen[1], network.mapping(z))


def test_mixing_is_a_share_of_the_rows() -> None:
    network, z = generator(mixing=0.25), torch.randn(2_000, 6)
    ws = network.mapping(z)
    mixed = (network._mixed(ws, None) != ws).any(2).any(1).float().mean().item()
    assert mixed == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 2_000) ** 0.5)
    with pytest.raises(ValueError, match="mixing"):
        generator(mixing=1.5)


def test_the_other_style_of_a_row_has_the_rows_own_class() -> None:
    """The embedding of a class is all that reaches the mapping once its columns for z are 0."""
    network = generator(mixing=1.0, num_classes=3)
    labels = torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        network.to_style[0].weight[:, :6] = 0
    ws = network.mapping(torch.randn(4, 6), labels)
    torch.testing.assert_close(network._mixed(ws, labels), ws)


# --- rows


@pytest.mark.parametrize("kind", CONDITIONS)
def test_in_eval_a_sample_is_a_function_of_its_own_row(kind: str) -> None:
    num_classes, num_attributes, condition = CONDITIONS[kind]
    network = generator(num_classes=num_classes, num_attributes=num_attributes).eval()
    z = torch.randn(5, 6)
    whole = network(z, condition)
    assert torch.equal(whole, network(z, condition))
    for row in range(5):
        alone = network(z[row : row + 1], None if condition is None else condition[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row])
    network.train()
    assert not torch.equal(network(z, condition), network(z, condition))
    assert torch.equal(network.eval()(z, condition), whole)


@pytest.mark.parametrize(
    "build", [generator, lambda **condition_options: StyleDiscriminator(SHAPES[1], **SMALL, **condition_options)]
)
def test_a_condition_is_heard_and_demanded(build: object) -> None:
    network = build(num_classes=3).eval()  # type: ignore[operator]
    x = torch.randn(2, 6) if isinstance(network, StyleGenerator) else torch.randn(2, 1, 28, 28)
    one, other = network(x, torch.tensor([0, 0])), network(x, torch.tensor([1, 1]))
    assert (one - other).abs().max() > 1e-4
    with pytest.raises(ValueError, match="needs labels"):
        network(x)


def test_a_discriminator_compares_rows_in_training_and_judges_them_apart_in_eval() -> None:
    torch.manual_seed(0)
    network = StyleDiscriminator(SHAPES[1], **SMALL, group=4)
    x = torch.randn(8, 1, 28, 28)
    whole, changed = network(x), x.clone()
    changed[1] += 1
    moved = (network(changed) - whole).abs() > 1e-6
    assert moved.tolist() == [True] * 4 + [False] * 4  # the group of row 1, and no other
    torch.testing.assert_close(torch.cat([network(x[:4]), network(x[4:])]), whole)
    network.eval()
    torch.testing.assert_close(network(changed)[[0, 2, 3]], network(x)[[0, 2, 3]])
    torch.testing.assert_close(network(x[3:4]), network(x)[3:4])
    alone = StyleDiscriminator(SHAPES[1], **SMALL, group=0)
    torch.testing.assert_close(alone(x[3:4]), alone(x)[3:4])


def test_an_auxiliary_classifier_names_the_classes() -> None:
    torch.manual_seed(0)
    network = StyleDiscriminator(SHAPES[0], **SMALL, num_classes=3, condition="auxiliary", group=0)
    verdict = network(torch.randn(4, 1, 8, 8))
    assert isinstance(verdict, DiscriminatorOutput)
    assert verdict.outputs["classes"].shape == (4, 3)
    with pytest.raises(ValueError, match="projection"):
        StyleDiscriminator(SHAPES[0], num_attributes=2, condition="auxiliary")


def test_the_projection_may_go_through_a_mapping() -> None:
    """Its vectors keep a mean square of 1, so no class is louder than another."""
    torch.manual_seed(0)
    network = StyleDiscriminator(SHAPES[0], **SMALL, num_classes=3, mapping_layers=2, group=0)
    x = torch.randn(2, 1, 8, 8)
    plain = copy.deepcopy(network)
    plain.head.embed = None
    vectors = network.head.to_vector(
        network.head.embed.weight / network.head.embed.weight.square().mean(1, True).sqrt()
    )
    vectors = vectors / vectors.square().mean(1, keepdim=True).sqrt()
    features = network.features(network.last(network.blocks(network.first(x))).permute(0, 2, 3, 1).flatten(1))
    expected = plain(x) + features @ vectors[2] / 8**0.5
    torch.testing.assert_close(network(x, torch.tensor([2, 2])), expected)


# --- derivatives


class Linear(PathLengthGenerator):
    """ws -> the pixels that a matrix makes of the sum of all layers' styles: J is that matrix, for every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(12, 5))
        self.register_buffer("path_length_mean", torch.tensor(0.3))

    def mapping(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        return noise[:, None].expand(-1, 3, -1)

    def synthesis(self, ws: Tensor) -> Tensor:
        return (ws.sum(1) @ self.matrix.T).view(-1, 1, 3, 4)


def play_of(network: nn.Module, noise: Tensor) -> LossContext:
    rng = SeededNoise(0, 0, 1, 0, len(noise), len(noise), torch.device("cpu"))
    none = DiscriminatorOutput((torch.zeros(len(noise)),))
    empty = torch.zeros(len(noise))
    return LossContext(
        empty, empty, none, none, lambda points, side: none, rng, 0, "generator", noise=noise, generator=network
    )


def test_the_path_length_of_a_linear_generator_has_its_closed_form() -> None:
    """|J^T y| with y the drawn direction over the root of the pixels; its derivative by the matrix too."""
    torch.manual_seed(0)
    network, noise = Linear(), torch.randn(4, 5, requires_grad=True)
    play = play_of(network, noise)
    value = path_length(weight=2.0, every=4, decay=0.01).term(play)
    y = play.rng.normal("path length", 1, 3, 4).view(4, 12) / 12**0.5
    lengths = (y @ network.matrix).norm(dim=1)
    mean = 0.99 * 0.3 + 0.01 * lengths.mean().detach()
    torch.testing.assert_close(network.path_length_mean, mean)
    torch.testing.assert_close(value, 8 * (lengths - 0.3).square())  # the mean before this turn
    slopes = (
        torch.autograd.grad(value.sum(), network.matrix),
        torch.autograd.grad(8 * (lengths - 0.3).square().sum(), network.matrix),
    )
    torch.testing.assert_close(*slopes)


def test_the_path_length_reaches_the_mapping_and_the_synthesis() -> None:
    network = generator(Shape(1, 8, 8))
    values = path_length(weight=2.0).term(play_of(network, torch.randn(4, 6)))
    assert values.shape == (4,)
    values.sum().backward()
    heard = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert heard >= {"to_style", "layers", "to_image", "start"}
    assert network.path_length_mean > 0


def test_both_networks_have_exact_second_derivatives() -> None:
    network = generator(Shape(1, 8, 8), latent=3, width=2, max_width=3).double().eval()
    ws = (
        network.mapping(torch.randn(2, 3, dtype=torch.float64))
        .detach()
        .clone(memory_format=torch.contiguous_format)
        .requires_grad_()
    )
    assert torch.autograd.gradgradcheck(network.synthesis, (ws,), fast_mode=True)
    other = StyleDiscriminator(Shape(1, 8, 8), width=2, max_width=3, group=2).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: other(x), (images,), fast_mode=True)


# --- playing


class Dots:
    """64 fixed images with labels."""

    num_rows = 64

    def __init__(self) -> None:
        self.images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(3)).clamp(-1, 1)

    def batch(self, indices: Tensor) -> Batch:
        return Batch(self.images[indices], indices % 3)


def match(micro_batches: int = 1, conditional: bool = True, precision: Precision = "float32") -> TrainingLoop:
    torch.manual_seed(0)
    shape, classes = Shape(1, 8, 8), 3 if conditional else 0
    game = Duel(
        StyleGenerator(shape, latent=6, num_classes=classes, mapping_layers=2, mixing=0.9, **SMALL),
        StyleDiscriminator(shape, num_classes=classes, **SMALL, group=4),
        penalties=[penalties.r1(0.1, every=2), path_length(2.0, every=2)],
        prior=6,
        conditional=conditional,
    )
    learning = OptimizerConfig(lr=2e-3)
    settings = Settings(
        batch=16, default=learning, micro_batches=micro_batches, half_life_samples=100.0, precision=precision
    )
    return TrainingLoop(game, Dots(), settings)


def test_a_resumed_game_is_the_game_that_never_stopped() -> None:
    whole, first, second = match(), match(), match()
    for part, steps in ((whole, 6), (first, 3)):
        for _ in part.run(steps):
            pass
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in second.run(6):
        pass
    for name, network in whole.game.players.items():
        state, other = network.state_dict(), second.game.players[name].state_dict()
        assert [key for key in state if not torch.equal(state[key], other[key])] == []
    assert whole.values() == second.values()
    assert whole.game.generator.w_mean.abs().sum() > 0
    assert whole.game.generator.path_length_mean > 0
    assert whole.game.discriminator.deviation.mean > 0
    assert {"discriminator/r1", "generator/path_length"} <= whole.values().keys()


def test_bfloat16_plays_the_same_game_to_its_rounding() -> None:
    """Penalties too, whose second derivatives then pass through bfloat16; two decimal digits are what is left."""
    values = []
    for precision in ("float32", "bfloat16"):
        game = match(precision=precision)
        game.train_step()
        values.append(game.values())
    terms = ("discriminator/loss", "discriminator/r1", "generator/loss", "generator/path_length")
    first, second = (torch.tensor([part[name] for name in terms]) for part in values)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second, rtol=0.04, atol=0.0)


def test_micro_batches_of_whole_groups_give_the_discriminators_gradient_of_the_whole_batch() -> None:
    """Fakes must be the same too: no mixing, and no noise while its strength is 0."""
    gradients = []
    for micro_batches in (1, 4):
        game = match(micro_batches)
        game.game.generator.mixing = 0.0
        game.train_step(turns=[game.game.turns(0)[0]])
        gradients.append([p.grad.clone() for p in game.game.discriminator.parameters()])
    assert all(part.abs().sum() > 0 for part in gradients[0])
    torch.testing.assert_close(*gradients)


def test_the_noise_planes_fit_their_layers() -> None:
    network = generator(Shape(3, 20, 48))
    sizes = [tuple(layer.noise.shape[2:]) for layer in network.layers]
    assert sizes == [(5, 12), *itertools.chain.from_iterable([(s, 12 * s // 5)] * 2 for s in (10, 20))]
    assert all(isinstance(layer, StyledLayer) for layer in network.layers)
