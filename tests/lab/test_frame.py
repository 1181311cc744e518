"""What a frame says is what the engine, the density and the closed forms say."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zerosum.domains.toy import densities
from zerosum.engine import losses
from zerosum.lab import dirac
from zerosum.lab.frame import Screen, clean
from zerosum.lab.lab_game import LabGame, ToySetup, game_of
from zerosum.lab.measurements import Measure, NetworkCopies, OptimalD, even_noise, even_points, lattice
from zerosum.lab.settings import parse
from zerosum.lab.views import CELLS, LineView, PlaneView
from zerosum.theory import dirac as theory

SMALL = {"g_width": 12, "d_width": 12, "batch": 32}
JSD = 0.1114215  # of N(0, 1) and N(1, 1), in nats


class Affine(nn.Module):
    """scale * z + shift."""

    def __init__(self, scale: float, *shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, torch.tensor(shift)

    def forward(self, noise: Tensor) -> Tensor:
        return self.scale * noise + self.shift


class Logits(nn.Module):
    """The logit as a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.function(points)
        return logits


def table(**settings: Any) -> ToySetup:
    made = LabGame(parse(SMALL | settings)).setup
    assert isinstance(made, ToySetup)
    return made


# --- the dear numbers


def test_measures_on_the_line_are_the_closed_forms() -> None:
    """Data N(0, 1), generator N(1, 1), and the D that is best for them."""
    measure = Measure(table(source="normal"))
    found = measure(NetworkCopies(0, Affine(1.0, 1.0), Logits(lambda x: 0.5 - x[:, 0])))
    assert found["kl"] == pytest.approx(0.5, abs=0.01)
    assert found["kl_reverse"] == pytest.approx(0.5, abs=0.01)
    assert found["js"] == pytest.approx(JSD, abs=5e-4)
    assert found["w"] == pytest.approx(1.0, abs=1e-3)
    assert found["bound"] == pytest.approx(2 * JSD - math.log(4), abs=1e-3)
    assert found["V"] == pytest.approx(found["bound"], abs=1e-3)
    assert found["gap"] < 1.0
    blind = measure(NetworkCopies(0, Affine(1.0, 1.0), Logits(lambda x: 0 * x[:, 0])))
    assert blind["V"] == pytest.approx(-math.log(4), abs=1e-6)
    # E |1/2 - D*| under (p + q)/2 is half the total variation: erf(1 / (2 sqrt 2)) / 2.
    assert blind["gap"] == pytest.approx(50 * math.erf(0.5 / math.sqrt(2)), abs=0.5)
    assert measure.floor < 1e-3


def test_measures_in_the_plane_are_the_closed_forms() -> None:
    """Data N(0, 0.01 I), the generator the same moved by one deviation."""
    measure = Measure(table(source="drawn", points="0,0"))
    shifted = measure(NetworkCopies(0, Affine(0.1, 0.1, 0.0), Logits(lambda x: 0.5 - 10 * x[:, 0])))
    assert shifted["js"] == pytest.approx(JSD, abs=0.01)
    assert shifted["kl"] == pytest.approx(0.5, abs=0.04)  # half a point in each of 1,600 cells
    assert shifted["w"] == pytest.approx(0.1, abs=0.01)
    assert shifted["V"] == pytest.approx(2 * JSD - math.log(4), abs=0.01)
    assert shifted["gap"] < 5.0
    same = measure(NetworkCopies(0, Affine(0.1, 0.0, 0.0), Logits(lambda x: 0 * x[:, 0])))
    assert same["js"] < 0.01
    assert same["w"] < 0.02


def test_numbers_without_a_meaning_are_left_out() -> None:
    hinge = Measure(table(source="normal", loss="hinge"))(
        NetworkCopies(0, Affine(1.0, 1.0), Logits(lambda x: 0.5 - x[:, 0]))
    )
    assert "V" not in hinge
    assert "bound" not in hinge
    assert "gap" in hinge
    critic = Measure(table(source="normal", loss="wasserstein"))(
        NetworkCopies(0, Affine(1.0, 1.0), Logits(lambda x: -x[:, 0]))
    )
    assert "gap" not in critic
    # Only differences of a relativistic logit mean something, so a shifted D is the same D.
    relative = Measure(table(source="normal", loss="relativistic"))
    one, other = (
        relative(NetworkCopies(0, Affine(1.0, 1.0), Logits(lambda x, c=c: 0.5 + c - x[:, 0]))) for c in (0.0, 7.0)
    )
    assert one == pytest.approx(other, abs=1e-4)
    assert one["V"] == pytest.approx(2 * JSD - math.log(4), abs=1e-3)


def test_even_points_follow_their_density() -> None:
    ring = densities.build("ring")
    points = even_points(ring, 8_192)
    assert torch.bincount(torch.cdist(points.double(), ring.centres).argmin(1)).tolist() == [1_024] * 8
    quantiles = even_points(densities.build("laplace"), 4_096)[:, 0].double().sort().values
    exact = densities.build("laplace").quantile((torch.arange(4_096, dtype=torch.float64) + 0.5) / 4_096)
    torch.testing.assert_close(quantiles[40:-40], exact[40:-40], atol=0.02, rtol=0)
    prior = parse({"source": "ring"}).recipe().prior
    noise = even_noise(prior, 4_096)
    assert noise.mean(0).abs().max() < 2e-3
    assert noise.std(0).tolist() == pytest.approx([1, 1], abs=0.01)
    assert lattice(prior, 3)[:, 1].tolist() == pytest.approx([-0.9674] * 3 + [0.0] * 3 + [0.9674] * 3, abs=1e-4)


# --- how D is read


@pytest.mark.parametrize("name", sorted(losses.table()))
def test_the_best_d_cannot_be_bettered(name: str) -> None:
    """For every loss: at the D that is shown as best, the loss's own function is lowest; or there is no best."""
    pair = losses.table()[name]
    ratio = torch.tensor([0.1, 0.35, 0.62, 0.9], dtype=torch.float64)
    best = OptimalD(pair).best(ratio, 1 - ratio)
    if name == "wasserstein":
        assert best is None
        return
    assert best is not None
    if pair.needs_real:
        torch.testing.assert_close(best, ratio, atol=1e-6, rtol=0)
        return
    at = torch.logit(best.clamp(1e-9, 1 - 1e-9)) + (pair.neutral or 0.0)

    def cost(logit: Tensor) -> Tensor:
        return ratio * pair.discriminator(logit, 0 * logit) + (1 - ratio) * pair.discriminator(0 * logit, logit)

    for other in torch.linspace(-12, 12, 481, dtype=torch.float64):
        assert bool((cost(at) <= cost(other.expand(4)) + 2e-4).all())


def test_the_constant_of_a_relativistic_d_is_the_one_that_serves_it_best() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(500, generator=generator) + 4, 2 * torch.randn(500, generator=generator) + 2
    reading = OptimalD(losses.relativistic)
    middle = reading.middle(real, fake)
    best = reading.value(real, fake, middle)
    assert best is not None
    assert all(best >= (reading.value(real, fake, middle + c) or 0) for c in (-0.5, -0.01, 0.01, 0.5))
    assert OptimalD(losses.least_squares).middle(real, fake) == 0.5


# --- what is drawn


def test_figure_1_is_drawn_from_the_engine_s_networks() -> None:
    laid = table(source="mixture")
    view = LineView(laid)
    game = game_of(laid.loop())
    game.generator, game.discriminator = Affine(0.5, 0.2), Logits(lambda x: 1 - x[:, 0])
    parts = view.draw(game).parts
    x, p, q, d, best = (torch.tensor(parts[name]) for name in ("x", "p", "q", "d", "d_star"))
    torch.testing.assert_close(p.double(), laid.density.log_prob(x[:, None]).exp(), atol=1e-3, rtol=0)
    torch.testing.assert_close(d, (1 - x).sigmoid(), atol=1e-4, rtol=0)
    exact = torch.distributions.Normal(0.2, 0.5).log_prob(x).exp()
    torch.testing.assert_close(q, exact, atol=0.02, rtol=0)
    seen = p + q > 0.05
    torch.testing.assert_close(best[seen], (p / (p + q))[seen], atol=0.02, rtol=0)
    z, made = torch.tensor(parts["arrows"]).unbind(1)
    torch.testing.assert_close(made, 0.5 * z + 0.2, atol=2e-4, rtol=0)
    assert parts["z_range"] == [parts["arrows"][0][0], parts["arrows"][-1][0]]


def test_the_map_of_the_plane_lies_as_the_protocol_says() -> None:
    """Row by row from the lowest y: D grows with x and with 3 y here, and the data lie at the right, the fakes on top."""
    laid = table(source="drawn", points="1,0")
    view = PlaneView(laid)
    game = game_of(laid.loop())
    game.generator, game.discriminator = Affine(0.02, 1.0, 0.4), Logits(lambda x: x[:, 0] + 3 * x[:, 1])
    parts = view.draw(game).parts
    (x0, x1), (y0, y1) = parts["box"]
    for row, column in ((0, 0), (3, 30), (39, 5)):
        x, y = x0 + (column + 0.5) * (x1 - x0) / CELLS, y0 + (row + 0.5) * (y1 - y0) / CELLS
        assert parts["heat"]["d"][row * CELLS + column] == pytest.approx(1 / (1 + math.exp(-x - 3 * y)), abs=1e-3)
    best = torch.tensor(parts["heat"]["d_star"]).view(CELLS, CELLS)
    row, column = (int((y - y0) / (y1 - y0) * CELLS) for y in (0.4, 0.0))
    middle = int((1 - x0) / (x1 - x0) * CELLS)
    assert best[row, middle] < 0.02
    assert best[column, middle] > 0.98
    assert best[0, 0] == pytest.approx(0.5, abs=0.02)
    assert parts["modes"] == {"found": 0, "total": 1, "hits": [0.0], "centres": [[1.0, 0.0]]}
    assert len(parts["warp"]["points"]) == 17 * 17


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "hinge", "relativistic", "fgan_kl"])
def test_arrows_are_minus_the_gradient_of_the_generator_s_own_loss(loss: str) -> None:
    laid = table(source="ring", loss=loss)
    game = game_of(laid.loop())
    view = PlaneView(laid)
    drawing = view.draw(game)
    rows = torch.tensor(drawing.parts["arrows"]["logit"])
    points = drawing.fakes[: len(rows)].double()
    game.discriminator.double()
    on_real = game.discriminator(view.real[: len(rows)].double())

    def loss_at(moved: Tensor) -> Tensor:
        return losses.table()[loss].generator(on_real, game.discriminator(moved))

    for axis in (0, 1):
        step = torch.zeros(2, dtype=torch.float64)
        step[axis] = 1e-6
        slope = (loss_at(points + step) - loss_at(points - step)) / 2e-6
        torch.testing.assert_close(rows[:, 2 + axis].double(), -slope.detach(), atol=1e-4, rtol=0)


def test_looking_does_not_touch_the_game() -> None:
    watched, alone = (LabGame(parse(SMALL | {"source": "mixture"})) for _ in range(2))
    screen = Screen(watched)
    for _ in range(12):
        watched.move()
        alone.move()
        assert screen.measure is not None
        screen.add_measurements(watched.step, screen.measure(screen.networks()))
        screen.frame()
    for name in ("generator", "discriminator"):
        for one, other in zip(*(lab.loop.game.players[name].parameters() for lab in (watched, alone)), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("settings", [{"source": "mixture"}, {"source": "moons", "latent": 1}, {"mode": "dirac"}])
def test_frames_are_json_and_carry_what_the_protocol_promises(settings: dict[str, Any]) -> None:
    lab = LabGame(parse(SMALL | settings if settings.get("mode") != "dirac" else settings))
    screen = Screen(lab)
    empty = screen.frame(playing=False)
    assert (empty["step"], empty["turn"], empty["details"]) == (0, "none", {})
    for _ in range(3):
        lab.move()
    lab.move("discriminator")
    frame = json.loads(json.dumps(screen.frame(playing=True, speed=4, recording=False), allow_nan=False))
    common = {
        "mode",
        "step",
        "playing",
        "speed",
        "turn",
        "settings",
        "rewind",
        "recording",
        "numbers",
        "details",
        "findings",
    }
    assert common | {"point", "error"} <= frame.keys()
    assert (frame["step"], frame["turn"], frame["speed"], frame["rewind"]) == (
        4,
        "discriminator",
        4,
        {"first": 0, "last": 4},
    )
    assert set(frame["details"]) == {"d_loss", "d_gradient_norm", "g_loss", "g_gradient_norm", "D(x)", "D(G(z))"}
    assert [set(row) for row in frame["numbers"]] == [{"key", "label", "value", "reference", "note"}] * len(
        frame["numbers"]
    )
    lab.rewind(2)
    assert screen.frame()["rewind"] == {"first": 0, "last": 4}
    assert screen.frame()["point"]["step"] == 2


def test_a_measurement_is_told_once_with_its_own_step() -> None:
    lab = LabGame(parse(SMALL | {"source": "mixture"}))
    screen = Screen(lab)
    lab.move()
    screen.frame()
    screen.add_measurements(1, {"js": 0.25, "w": 1.0})
    lab.move()
    frame = screen.frame()
    assert frame["point"]["step"] == 1
    assert frame["point"]["js"] == 0.25
    assert "d_loss" in frame["point"]
    js = next(row for row in frame["numbers"] if row["key"] == "js")
    assert js["value"] == 0.25
    assert js["note"].endswith("at step 1")
    assert screen.frame()["point"]["step"] == 2
    lab.rewind(0)
    assert next(row for row in screen.frame()["numbers"] if row["key"] == "js")["value"] is None


def test_numbers_that_are_not_finite_become_null() -> None:
    assert clean({"a": [1.0, math.nan], "b": {"c": math.inf}, "d": "x", "e": 3}) == {
        "a": [1.0, None],
        "b": {"c": None},
        "d": "x",
        "e": 3,
    }


# --- the game of two numbers


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein", "least_squares", "relativistic_average", "fgan_kl"])
@pytest.mark.parametrize("penalty", ["none", "r1", "r1+r2"])
@pytest.mark.parametrize("simultaneous", [True, False])
def test_the_engine_moves_as_the_linear_theory_says(loss: str, penalty: str, simultaneous: bool) -> None:
    settings = parse({"mode": "dirac", "loss": loss, "penalty": penalty, "simultaneous": simultaneous})
    found = dirac.numbers(settings)
    for one, other in zip(found["eigenvalues"]["theory"], found["eigenvalues"]["engine"], strict=True):
        # Where both eigenvalues meet, rounding of the matrix enters by its root.
        assert one == pytest.approx(other, abs=5e-4)
    assert found["radius"]["engine"] == pytest.approx(found["radius"]["theory"], abs=1e-4)


def test_the_path_is_the_engine_s_and_begins_as_the_spiral() -> None:
    lab = LabGame(parse({"mode": "dirac", "loss": "wasserstein", "penalty": "r1", "theta": 0.5, "psi": -0.25}))
    for _ in range(60):
        lab.move()
    portrait = Screen(lab).frame()
    path, spiral = torch.tensor(portrait["path"]), torch.tensor(portrait["spiral"])
    assert portrait["path"][0] == [0.5, -0.25]
    torch.testing.assert_close(path, spiral[:61], atol=1e-5, rtol=0)  # this game is linear everywhere
    theta, psi, *push = portrait["field"][0]
    assert push == pytest.approx([psi, -theta - 0.3 * psi], abs=1e-6)
    assert math.hypot(portrait["theta"], portrait["psi"]) < math.hypot(0.5, 0.25)
    lab.change("weight", 2.0)
    lab.move()
    again = Screen(lab).frame()
    assert again["spiral"][0] == pytest.approx(portrait["path"][-1])
    matrix = theory.step_matrix("wasserstein", "r1", 2.0, 0.1)
    assert again["path"][-1] == pytest.approx((matrix @ torch.tensor(again["path"][-2]).double()).tolist(), abs=1e-6)


def test_a_penalty_without_a_linear_theory_says_so() -> None:
    lab = LabGame(parse({"mode": "dirac", "penalty": "gradient_penalty"}))
    lab.move()
    frame = Screen(lab).frame()
    assert frame["spiral"] == []
    assert frame["radius"] == {"theory": None, "engine": None}
    assert any("no linear theory" in finding["sentence"] for finding in frame["findings"])


def test_the_picture_grows_with_the_path_and_long_paths_are_thinned() -> None:
    path: list[tuple[float, ...]] = [(0.01 * step, 0.0) for step in range(2_001)]
    portrait = dirac.portrait(parse({"mode": "dirac"}), path, 0)
    assert max(row[0] for row in portrait["field"]) == 32.0
    assert len(portrait["path"]) <= 800
    assert (portrait["path"][0], portrait["path"][-1]) == ([0.0, 0.0], [20.0, 0.0])


# --- how fast it is


def test_the_benchmark_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/lab.md says of the speed comes from it."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    line = importlib.import_module("lab_speed").main(["--smoke"])
    assert line["benchmark"] == "lab_speed"
    assert line["rates"].keys() == line["cpu_ms"].keys() == {"line", "plane", "two numbers"}
    assert all(found["1"]["frames_per_s"] > 0 for found in line["rates"].values())
    assert line["cpu_ms"]["plane"].keys() == {"step", "frame", "text", "measurement"}
