"""The game of one generator and one discriminator: Goodfellow et al. 2014 and its descendants.

Shapes: N rows of a micro-batch, L latent size, ``...`` the data's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zerosum.engine import losses
from zerosum.engine.game import (
    DISCRIMINATOR,
    GENERATOR,
    Batch,
    DiscriminatorOutput,
    Game,
    LossContext,
    MicroBatch,
    Turn,
)
from zerosum.engine.losses import GANLoss
from zerosum.engine.optimizers import Schedule, at
from zerosum.engine.penalties import Penalty, clip_weights, listed
from zerosum.engine.seeds import Prior, SeededNoise
from zerosum.errors import UserError
from zerosum.nn.network_checks import check_discriminator, check_generator

Augment = Callable[[Tensor, SeededNoise, str, float], Tensor]
Replay = Callable[[Batch, MicroBatch], Batch]


# --- adaptive augmentation


@dataclass(frozen=True)
class Adaptive:
    """Adaptive augmentation: the strength p rises while the discriminator overfits the training reals, that is while
    r = E[sign(D(x))] over them lies above `target`, and falls while r lies below. Karras et al. 2020, "Training generative
    adversarial networks with limited data", arXiv:2006.06676, section 3.1.

    over_images: reals that p needs to travel from 0 to 1. every: discriminator turns between two changes.
    initial, most: where p begins, and its upper bound; 0 <= initial <= most <= 1.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    target: float = 0.6
    over_images: float = 500_000.0
    every: int = 4
    initial: float = 0.0
    most: float = 0.9

    def __post_init__(self) -> None:
        if not -1 < self.target < 1 or not self.over_images > 0 or self.every < 1:
            raise ValueError("adaptive augmentation: target in (-1, 1), over_images > 0 and every >= 1 are needed")
        if not 0 <= self.initial <= self.most <= 1:
            raise ValueError(f"adaptive augmentation: 0 <= initial <= most <= 1, got {self.initial} and {self.most}")


class Controller:
    """Adjusts p during training. Its state is p and the sums since the last change of p."""

    def __init__(self, rule: Adaptive) -> None:
        self.rule, self.strength, self.sign = rule, rule.initial, 0.0
        self._sum: Tensor | float = 0.0
        self._turns, self._rows = 0, 0

    def update(self, sign: Tensor, rows: int) -> None:
        """Adds the mean sign of D on the `rows` reals of one turn, over all processes; every `every` turns p changes."""
        # Summed on its device: reading the value in every turn would synchronise the GPU.
        self._sum, self._turns, self._rows = self._sum + sign.detach().double(), self._turns + 1, self._rows + rows
        if self._turns < self.rule.every:
            return
        self.sign = float(self._sum) / self._turns
        change = self._rows / self.rule.over_images
        moved = self.strength + (change if self.sign > self.rule.target else -change)
        self.strength = min(self.rule.most, max(0.0, moved))
        self._sum, self._turns, self._rows = 0.0, 0, 0

    def state_dict(self) -> dict[str, float]:
        """Plain numbers."""
        kept = {"strength": self.strength, "sign": self.sign}
        return kept | {"sum": float(self._sum), "turns": self._turns, "rows": self._rows}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """The inverse of state_dict."""
        self.strength, self.sign, self._sum = state["strength"], state["sign"], state["sum"]
        self._turns, self._rows = int(state["turns"]), int(state["rows"])


# --- the turns


@dataclass(frozen=True)
class UpdateRules:
    """How the turns are played.

    discriminator_steps: k, discriminator turns before each generator turn.
    simultaneous: both players' gradients are taken at the same parameters (k must be 1).
    fakes: "fresh" noise in every turn, or the "previous" generator turn's samples for the discriminator.
    batches: real and fake through the discriminator as "two" batches or as "one" concatenated batch.
    clip_weights: every discriminator weight is clamped to [-c, c] after its step.
    augment_strength: handed to the augmentation: a number, a Schedule, or Adaptive, which follows D's overfitting.
    augment_role: "shown": D sees reals and fakes augmented; "compared": D sees them plain, and only a penalty of that
        role (`consistency`) looks at augmented ones.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    discriminator_steps: int = 1
    simultaneous: bool = False
    fakes: Literal["fresh", "previous"] = "fresh"
    batches: Literal["two", "one"] = "two"
    clip_weights: float | None = None
    augment_strength: float | Schedule | Adaptive = 1.0
    augment_role: Literal["shown", "compared"] = "shown"

    def __post_init__(self) -> None:
        if self.discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be at least 1, got {self.discriminator_steps}")
        if self.simultaneous and self.discriminator_steps != 1:
            raise ValueError("a simultaneous update has one discriminator step; set discriminator_steps = 1")
        if self.fakes not in ("fresh", "previous"):
            raise ValueError(f"fakes must be fresh or previous, got {self.fakes!r}")
        if self.batches not in ("two", "one"):
            raise ValueError(f"batches must be two or one, got {self.batches!r}")
        if self.augment_role not in ("shown", "compared"):
            raise ValueError(f"augment_role must be shown or compared, got {self.augment_role!r}")
        if self.clip_weights is not None and not self.clip_weights > 0:
            raise ValueError(f"clip_weights must be more than 0, got {self.clip_weights}; leave it out for no clipping")


class Duel(Game):
    """A generator and a discriminator. D is frozen while G is updated; gradients flow through it to G.

    generator: (N, L) noise [, condition] -> (N, ...) data. discriminator: (N, ...) data [, condition] -> logits.
    loss: a GANLoss, or the name of one of zerosum.losses: "hinge". penalties: of zerosum.penalties, as Penalty objects, as names
    ["r1"], or as names with weights {"r1": 0.5}. prior: the size L of normal noise, or a Prior.
    conditional: both networks receive the conditions of the reals as a second argument.
    augment(x, rng, purpose, strength) is applied to reals and fakes before D, and must be differentiable.
    replay(fakes, micro_batch) returns the fakes for D's turn, earlier ones among them (Shrivastava et al. 2017,
    arXiv:1612.07828); it keeps its own state.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        loss: GANLoss | str = losses.non_saturating,
        penalties: Sequence[Penalty | str] | Mapping[str, float] = (),
        prior: Prior | int = 64,
        rules: UpdateRules = UpdateRules(),
        conditional: bool = False,
        augment: Augment | None = None,
        replay: Replay | None = None,
    ) -> None:
        if generator is discriminator:
            raise UserError(
                "The generator and the discriminator are the same module. Each needs weights of its own: build the network "
                "twice, or copy it with copy.deepcopy."
            )
        self.generator, self.discriminator = generator, discriminator
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        self.loss: GANLoss = losses.named(loss) if isinstance(loss, str) else loss
        self.penalties, self.rules = listed(penalties), rules
        self.prior = Prior(prior) if isinstance(prior, int) else prior
        self.conditional, self.augment, self.replay = conditional, augment, replay
        self.reals_per_step = sum(turn.reals for turn in self.turns(0))
        self._previous: list[Batch] = []  # fakes of the last generator turn on this process, in row order
        self._first_row = 0
        self._batch_scores: Tensor | None = None  # (N_total, 2) real and fake scores of the global batch
        self._last: tuple[DiscriminatorOutput, DiscriminatorOutput] | None = None
        self._rows = 0
        adaptive = rules.augment_strength
        self.control = Controller(adaptive) if augment and isinstance(adaptive, Adaptive) else None
        _check(self)

    def turns(self, step: int) -> Sequence[Turn]:
        """k discriminator turns, then the generator's; or one turn for both."""
        if self.rules.simultaneous:
            return (Turn((DISCRIMINATOR, GENERATOR)),)
        generator = Turn((GENERATOR,), reals=self.loss.needs_real or self.conditional)
        return (Turn((DISCRIMINATOR,)),) * self.rules.discriminator_steps + (generator,)

    def check(self, batch: Batch) -> None:
        """UserError where the generator does not fit the prior or the data, or the discriminator the data or the loss."""
        rows = batch.data, batch.condition if self.conditional else None
        check_generator(self.generator, self._generate, self.prior.size, *rows)
        logits_of = self.discriminator, lambda *inputs: self._judge(*inputs).logits
        check_discriminator(*logits_of, self.loss.on_logits, *rows)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The player's loss, and the penalties on it."""
        if player == DISCRIMINATOR:
            context, loss = self._discriminator_context(batch), self.loss.discriminator
            self._last = context.on_real.detach(), context.on_fake.detach()
            self._rows = batch.rng.total
        else:
            context, loss = self._generator_context(batch), self.loss.generator
            if self.rules.fakes == "previous" and context.plain_fake is not None:
                self._keep(batch, Batch(context.plain_fake.detach(), context.condition))
        terms = {"loss": self._mean_loss(loss, context.on_real, context.on_fake, batch)}
        for penalty in self.penalties:
            if player in penalty.players and penalty.due(batch.step):
                terms[penalty.name] = penalty.term(context).mean()
        return terms

    def statistics(self, player: str) -> dict[str, Tensor]:
        """The mean sign of D on the reals, for adaptive augmentation."""
        if player != DISCRIMINATOR or self.control is None or self._last is None:
            return {}
        real, fake = (output.score() for output in self._last)
        peers = torch.stack([real, fake], 1) if self._batch_scores is None else self._batch_scores
        return {"sign": (real - self.loss.centre(peers[:, 0], peers[:, 1])).sign().mean()}

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Weight clipping and adaptive augmentation, where the rules ask for them."""
        if player == DISCRIMINATOR and self.rules.clip_weights is not None:
            clip_weights(self.discriminator, self.rules.clip_weights)
        if self.control is not None and "sign" in statistics:
            self.control.update(statistics["sign"], self._rows)

    def log_values(self) -> dict[str, Tensor]:
        """D(x), D(G(z)): means of sigmoid(logit - neutral logit); the accuracy of D on each side; V(D, G) where it exists."""
        if self._last is None:
            return {}
        real, fake = (output.score() for output in self._last)
        centre = self.loss.centre(real, fake)
        values = {
            "D(x)": (real - centre).sigmoid().mean(),
            "D(G(z))": (fake - centre).sigmoid().mean(),
            "accuracy/real": (real > centre).float().mean(),
            "accuracy/fake": (fake < centre).float().mean(),
        }
        if self.loss.probabilistic:
            values["V"] = losses.value(real, fake).mean()
        if self.control is not None:
            values["augment/strength"] = real.new_tensor(self.control.strength)
            values["augment/sign"] = real.new_tensor(self.control.sign)
        return values

    # --- the two turns

    def _discriminator_context(self, batch: MicroBatch) -> LossContext:
        """The discriminator's turn: fakes without a graph, D on reals and fakes."""
        assert batch.real is not None, "the discriminator's turn draws reals"
        condition = self._condition(batch)
        real, fake = Batch(batch.real.data, condition), self._fakes(batch, condition)
        shown = self._shown(real.data, batch, "real"), self._shown(fake.data, batch, "fake")
        outputs = self._outputs(*shown, real.condition, fake.condition)
        return self._context(DISCRIMINATOR, batch, (real, fake), shown, outputs)

    def _generator_context(self, batch: MicroBatch) -> LossContext:
        """The generator's turn; where its loss needs no reals, the fakes stand in for them, unused."""
        condition, noise = self._condition(batch), self.prior.draw(batch.rng)
        fake = Batch(self._generate(noise, condition), condition)
        real = fake if batch.real is None else Batch(batch.real.data, condition)
        shown_fake = self._shown(fake.data, batch, "fake")
        if batch.real is not None and self.loss.needs_real:
            shown = self._shown(real.data, batch, "real"), shown_fake
            outputs = self._outputs(*shown, condition, condition)
        else:
            shown, outputs = (shown_fake, shown_fake), (self._judge(shown_fake, condition),) * 2
        return self._context(GENERATOR, batch, (real, fake), shown, outputs, noise)

    def _context(
        self,
        player: str,
        batch: MicroBatch,
        sides: tuple[Batch, Batch],
        shown: tuple[Tensor, Tensor],
        outputs: tuple[DiscriminatorOutput, DiscriminatorOutput],
        noise: Tensor | None = None,
    ) -> LossContext:
        real, fake = sides
        return LossContext(
            *shown,
            *outputs,
            judge=lambda points, side: self._judge(points, (real if side == "real" else fake).condition),
            rng=batch.rng,
            step=batch.step,
            player=player,
            condition=real.condition,
            fake_condition=fake.condition,
            noise=noise,
            generator=self.generator,
            plain_real=real.data,
            plain_fake=fake.data,
            augment=lambda points, side: self._augmented(points, batch, side),
        )

    def _fakes(self, batch: MicroBatch, condition: Tensor | None) -> Batch:
        if self.rules.fakes == "previous" and self._previous:
            whole = _joined(self._previous)
            first = batch.rng.start - self._first_row
            return whole.rows(first, first + len(batch))
        with torch.no_grad():
            fresh = Batch(self._generate(self.prior.draw(batch.rng), condition), condition)
            return self.replay(fresh, batch) if self.replay else fresh

    def _generate(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        return self.generator(noise) if condition is None else self.generator(noise, condition)  # type: ignore[no-any-return]

    def _condition(self, batch: MicroBatch) -> Tensor | None:
        return batch.real.condition if self.conditional and batch.real is not None else None

    # --- the discriminator on data

    def _shown(self, data: Tensor, batch: MicroBatch, side: str) -> Tensor:
        """The data as D receives them."""
        return self._augmented(data, batch, side) if self.rules.augment_role == "shown" else data

    def _augmented(self, data: Tensor, batch: MicroBatch, side: str) -> Tensor:
        if self.augment is None:
            return data
        return self.augment(data, batch.rng, f"augment {side}", self.strength(batch.step))

    def strength(self, step: int) -> float:
        """The strength of the augmentation in step `step`; of an adaptive one its present value."""
        strength = self.rules.augment_strength
        return self.control.strength if isinstance(strength, Adaptive) and self.control else at(strength, step)  # type: ignore[arg-type]

    def _judge(self, data: Tensor, condition: Tensor | None) -> DiscriminatorOutput:
        inputs = (data,) if condition is None else (data, condition)
        return DiscriminatorOutput.of(self.discriminator(*inputs))

    def _outputs(
        self, real: Tensor, fake: Tensor, real_condition: Tensor | None, fake_condition: Tensor | None
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        if self.rules.batches == "two":
            return self._judge(real, real_condition), self._judge(fake, fake_condition)
        conditions = [c for c in (real_condition, fake_condition) if c is not None]
        both = self._judge(torch.cat([real, fake.to(real.dtype)]), torch.cat(conditions) if conditions else None)
        return both.rows(0, len(real)), both.rows(len(real), len(real) + len(fake))

    # --- losses that couple the rows of a batch

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """(N, 2) real and fake scores, where the loss, or the sign that controls adaptive augmentation, depends on the means of
        the global batch."""
        centred = player == DISCRIMINATOR and self.control is not None and self.loss.neutral is None
        if not (self.loss.coupled or centred):
            return None
        context = self._discriminator_context(batch) if player == DISCRIMINATOR else self._generator_context(batch)
        return torch.stack([context.on_real.score(), context.on_fake.score()], 1)

    def set_batch_scores(self, rows: Tensor | None) -> None:
        """Keeps the scores of the global batch for the following terms."""
        self._batch_scores = rows

    def _mean_loss(
        self,
        function: losses.LossFunction,
        real: DiscriminatorOutput,
        fake: DiscriminatorOutput,
        batch: MicroBatch,
    ) -> Tensor:
        """The mean over the micro-batch. For a loss that couples rows, the mean over the global batch: its gradient through
        the rows of this micro-batch is exact, and scaled so that the micro-batches add up to it."""
        if not self.loss.coupled:
            return losses.apply(function, real.logits, fake.logits).mean()
        if self._batch_scores is None:
            return losses.apply(function, (real.score(),), (fake.score(),)).mean()
        start, stop = batch.rng.start, batch.rng.stop
        whole = torch.cat(
            [self._batch_scores[:start], torch.stack([real.score(), fake.score()], 1), self._batch_scores[stop:]]
        )
        loss = losses.apply(function, (whole[:, 0],), (whole[:, 1],)).mean()
        return loss.detach() + (loss - loss.detach()) * (len(whole) / len(batch))

    # --- fakes of the previous generator turn

    def _keep(self, batch: MicroBatch, fakes: Batch) -> None:
        if not self._previous or batch.rng.start <= self._first_row:
            self._previous, self._first_row = [], batch.rng.start
        self._previous.append(fakes)

    def state_dict(self) -> dict[str, Any]:
        """The kept fakes and the state of adaptive augmentation, where the rules use them."""
        state: dict[str, Any] = {"control": self.control.state_dict()} if self.control else {}
        if self._previous:
            whole = _joined(self._previous)
            state["rows.fakes"] = whole.data
            if whole.condition is not None:
                state["rows.condition"] = whole.condition
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._previous, self._first_row = [], int(state.get("first_row", 0))
        if "rows.fakes" in state:
            self._previous = [Batch(state["rows.fakes"], state.get("rows.condition"))]
        if self.control is not None and "control" in state:
            self.control.load_state_dict(state["control"])


def _joined(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    conditions = [part.condition for part in parts if part.condition is not None]
    return Batch(torch.cat([part.data for part in parts]), torch.cat(conditions) if conditions else None)


def _check(game: Duel) -> None:
    """ValueError for rules that contradict each other."""
    compared = game.rules.augment_role == "compared"
    comparing = [penalty.name for penalty in game.penalties if penalty.augment_role == "compared"]
    if game.augment is None and game.rules.augment_strength != UpdateRules.augment_strength:
        raise ValueError(
            "augment_strength has no use without an augmentation; set augment, for images --set augment=ada"
        )
    if isinstance(game.rules.augment_strength, Adaptive) and compared:
        raise ValueError("an adaptive augment_strength needs an augmentation that is shown to the discriminator")
    if compared and not comparing:
        raise ValueError("augment_role = compared needs a penalty of that role, such as `consistency`")
    if comparing and not (compared and game.augment):
        raise ValueError(f"the penalty `{comparing[0]}` needs an augmentation and augment_role = compared")
