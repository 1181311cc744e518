"""The ordinary game: one generator against one discriminator, the formula of 2014 and its descendants.

Legend: N rows of a share, L latent size, ``...`` the data's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zerosum.engine import losses
from zerosum.engine.game import Batch, Game, Play, Share, Turn, Verdict
from zerosum.engine.losses import Pair
from zerosum.engine.penalties import Penalty, clip_weights
from zerosum.engine.schedule import Schedule, at
from zerosum.engine.seeds import Draws

Augment = Callable[[Tensor, Draws, str, float], Tensor]
GENERATOR, DISCRIMINATOR = "generator", "discriminator"


@dataclass(frozen=True)
class Prior:
    """The distribution of the noise z, (N, L) float32: normal, uniform on [-1, 1], or truncated normal (|z| <= limit)."""

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    size: int
    kind: Literal["normal", "uniform", "truncated_normal"] = "normal"
    limit: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in ("normal", "uniform", "truncated_normal"):
            raise ValueError(f"prior kind must be normal, uniform or truncated_normal, got {self.kind!r}")
        if self.size < 1 or not self.limit > 0:
            raise ValueError(f"prior size and limit must be more than 0, got {self.size} and {self.limit}")

    def draw(self, draws: Draws, purpose: str = "noise") -> Tensor:
        """(N, L) float32."""
        if self.kind == "uniform":
            return draws.uniform(purpose, self.size) * 2 - 1
        if self.kind == "truncated_normal":
            return draws.truncated_normal(purpose, self.size, limit=self.limit)
        return draws.normal(purpose, self.size)


@dataclass(frozen=True)
class Rules:
    """How the turns are played.

    discriminator_steps: k, discriminator turns before each generator turn.
    simultaneous: both players' gradients are taken at the same parameters (k must be 1).
    fakes: "fresh" noise in every turn, or the "previous" generator turn's samples for the discriminator.
    batches: real and fake through the discriminator as "two" batches or as "one" concatenated batch.
    clip_weights: every discriminator weight is clamped to [-c, c] after its step.
    augment_strength: handed to the augmentation, a number or a Schedule.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    discriminator_steps: int = 1
    simultaneous: bool = False
    fakes: Literal["fresh", "previous"] = "fresh"
    batches: Literal["two", "one"] = "two"
    clip_weights: float | None = None
    augment_strength: float | Schedule = 1.0

    def __post_init__(self) -> None:
        if self.discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be at least 1, got {self.discriminator_steps}")
        if self.simultaneous and self.discriminator_steps != 1:
            raise ValueError("a simultaneous update has one discriminator step; set discriminator_steps = 1")
        if self.fakes not in ("fresh", "previous"):
            raise ValueError(f"fakes must be fresh or previous, got {self.fakes!r}")
        if self.batches not in ("two", "one"):
            raise ValueError(f"batches must be two or one, got {self.batches!r}")
        if self.clip_weights is not None and not self.clip_weights > 0:
            raise ValueError(f"clip_weights must be more than 0, got {self.clip_weights}; leave it out for no clipping")


class Duel(Game):
    """G against D. D is frozen while G learns, but its error flows through it to G.

    generator: (N, L) noise [, condition] -> (N, ...) data. discriminator: (N, ...) data [, condition] -> logits.
    With labelled data both receive the reals' conditions; with unlabelled data neither receives any.
    augment(x, draws, purpose, strength) acts on reals and fakes alike before D sees them, and must be differentiable.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        loss: Pair = losses.non_saturating,
        penalties: Sequence[Penalty] = (),
        prior: Prior | int = 64,
        rules: Rules = Rules(),
        conditional: bool = False,
        augment: Augment | None = None,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        self.loss, self.penalties, self.rules = loss, tuple(penalties), rules
        self.prior = Prior(prior) if isinstance(prior, int) else prior
        self.conditional, self.augment = conditional, augment
        self.reals_per_step = sum(turn.reals for turn in self.turns(0))
        self._previous: list[Batch] = []  # the last generator turn's fakes of this process, in row order
        self._first_row = 0
        self._peers: Tensor | None = None
        self._last: tuple[Verdict, Verdict] | None = None

    def turns(self, step: int) -> Sequence[Turn]:
        """k discriminator turns, then the generator's; or one turn for both."""
        if self.rules.simultaneous:
            return (Turn((DISCRIMINATOR, GENERATOR)),)
        generator = Turn((GENERATOR,), reals=self.loss.needs_real or self.conditional)
        return (Turn((DISCRIMINATOR,)),) * self.rules.discriminator_steps + (generator,)

    def terms(self, player: str, share: Share) -> dict[str, Tensor]:
        """The player's loss, and the penalties for the discriminator."""
        if player == GENERATOR:
            return self._generator_terms(share)
        play = self._play(share)
        terms = {"loss": self._coupled_mean(self.loss.discriminator, play.on_real, play.on_fake, share)}
        self._last = play.on_real.detach(), play.on_fake.detach()
        for penalty in self.penalties:
            if penalty.due(share.step):
                terms[penalty.name] = penalty.term(play).mean()
        return terms

    def finish(self, player: str) -> None:
        """Weight clipping, where the rules ask for it."""
        if player == DISCRIMINATOR and self.rules.clip_weights is not None:
            clip_weights(self.discriminator, self.rules.clip_weights)

    def observed(self) -> dict[str, Tensor]:
        """D(x), D(G(z)): means of sigmoid(logit - neutral logit); the shares judged right; V(D, G) where it exists."""
        if self._last is None:
            return {}
        real, fake = (verdict.score() for verdict in self._last)
        centre = self.loss.centre(real, fake)
        values = {
            "D(x)": (real - centre).sigmoid().mean(),
            "D(G(z))": (fake - centre).sigmoid().mean(),
            "accuracy/real": (real > centre).float().mean(),
            "accuracy/fake": (fake < centre).float().mean(),
        }
        if self.loss.probabilistic:
            values["V"] = losses.value(real, fake).mean()
        return values

    # --- the two sides

    def _generator_terms(self, share: Share) -> dict[str, Tensor]:
        condition = self._condition(share)
        fake = self._generate(share, condition)
        if self.rules.fakes == "previous":
            self._keep(share, Batch(fake.detach(), condition))
        real = share.real.data if share.real is not None and self.loss.needs_real else None
        on_real, on_fake = self._judge_both(real, fake, condition, share)
        return {"loss": self._coupled_mean(self.loss.generator, on_real, on_fake, share)}

    def _play(self, share: Share) -> Play:
        """One share of the discriminator's turn: fakes made without a graph, reals and fakes judged."""
        assert share.real is not None, "the discriminator's turn draws reals"
        condition = self._condition(share)
        fakes = self._fakes(share, condition)
        real = self._seen(share.real.data, share, "real")
        fake = self._seen(fakes.data, share, "fake")
        on_real, on_fake = self._verdicts(real, fake, condition, fakes.condition)
        conditions = {"real": condition, "fake": fakes.condition}
        judge = lambda points, side: self._judge(points, conditions[side])  # noqa: E731
        return Play(real, fake, on_real, on_fake, judge, share.draws, share.step)

    def _fakes(self, share: Share, condition: Tensor | None) -> Batch:
        if self.rules.fakes == "previous" and self._previous:
            whole = _joined(self._previous)
            first = share.draws.start - self._first_row
            return whole.rows(first, first + len(share))
        with torch.no_grad():
            return Batch(self._generate(share, condition), condition)

    def _generate(self, share: Share, condition: Tensor | None) -> Tensor:
        noise = self.prior.draw(share.draws)
        return self.generator(noise) if condition is None else self.generator(noise, condition)  # type: ignore[no-any-return]

    def _condition(self, share: Share) -> Tensor | None:
        return share.real.condition if self.conditional and share.real is not None else None

    # --- judging

    def _seen(self, data: Tensor, share: Share, purpose: str) -> Tensor:
        """The data as D sees them."""
        if self.augment is None:
            return data
        return self.augment(data, share.draws, f"augment {purpose}", at(self.rules.augment_strength, share.step))

    def _judge(self, data: Tensor, condition: Tensor | None) -> Verdict:
        return Verdict.of(self.discriminator(data) if condition is None else self.discriminator(data, condition))

    def _judge_both(
        self, real: Tensor | None, fake: Tensor, condition: Tensor | None, share: Share
    ) -> tuple[Verdict, Verdict]:
        """Verdicts for the generator's turn; without a need for reals the fakes stand in for them, unused."""
        fake = self._seen(fake, share, "fake")
        if real is None:
            on_fake = self._judge(fake, condition)
            return on_fake, on_fake
        return self._verdicts(self._seen(real, share, "real"), fake, condition, condition)

    def _verdicts(
        self, real: Tensor, fake: Tensor, real_condition: Tensor | None, fake_condition: Tensor | None
    ) -> tuple[Verdict, Verdict]:
        if self.rules.batches == "two":
            return self._judge(real, real_condition), self._judge(fake, fake_condition)
        conditions = [c for c in (real_condition, fake_condition) if c is not None]
        both = self._judge(torch.cat([real, fake.to(real.dtype)]), torch.cat(conditions) if conditions else None)
        return both.rows(0, len(real)), both.rows(len(real), len(real) + len(fake))

    # --- losses that couple the rows of a batch

    def rehearse(self, player: str, share: Share) -> Tensor | None:
        """(N, 2) real and fake scores of the share, when the loss compares rows with the whole batch's means."""
        if not self.loss.coupled:
            return None
        if player == DISCRIMINATOR:
            play = self._play(share)
            on_real, on_fake = play.on_real, play.on_fake
        else:
            condition = self._condition(share)
            real = share.real.data if share.real is not None else None
            on_real, on_fake = self._judge_both(real, self._generate(share, condition), condition, share)
        return torch.stack([on_real.score(), on_fake.score()], 1)

    def meet(self, rows: Tensor | None) -> None:
        """Keeps the scores of the global batch for the turn that follows."""
        self._peers = rows

    def _coupled_mean(self, function: losses.LossFunction, real: Verdict, fake: Verdict, share: Share) -> Tensor:
        """The mean over the share. With peers it is the mean over the global batch, whose gradient through this
        share's rows is exact: the value is the batch's, the gradient is scaled so that shares add up to it."""
        if not self.loss.coupled:
            return losses.apply(function, real.logits, fake.logits).mean()
        if self._peers is None:
            return losses.apply(function, (real.score(),), (fake.score(),)).mean()
        start, stop = share.draws.start, share.draws.stop
        whole = torch.cat([self._peers[:start], torch.stack([real.score(), fake.score()], 1), self._peers[stop:]])
        loss = losses.apply(function, (whole[:, 0],), (whole[:, 1],)).mean()
        return loss.detach() + (loss - loss.detach()) * (len(whole) / len(share))

    # --- the previous generator turn's fakes

    def _keep(self, share: Share, fakes: Batch) -> None:
        if not self._previous or share.draws.start <= self._first_row:
            self._previous, self._first_row = [], share.draws.start
        self._previous.append(fakes)

    def state_dict(self) -> dict[str, Any]:
        """The kept fakes, when the rules use them."""
        if not self._previous:
            return {}
        whole = _joined(self._previous)
        state: dict[str, Any] = {"rows.fakes": whole.data}
        return state if whole.condition is None else state | {"rows.condition": whole.condition}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._previous, self._first_row = [], int(state.get("first_row", 0))
        if "rows.fakes" in state:
            self._previous = [Batch(state["rows.fakes"], state.get("rows.condition"))]


def _joined(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    conditions = [part.condition for part in parts if part.condition is not None]
    return Batch(torch.cat([part.data for part in parts]), torch.cat(conditions) if conditions else None)
