"""The ordinary game: one generator against one discriminator, the formula of 2014 and its descendants.

Legend: N rows of a share, L latent size, ``...`` the data's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine import losses
from zerosum.engine.adaptive import Adaptive, Controller
from zerosum.engine.game import Batch, DiscriminatorOutput, Game, LossContext, MicroBatch, Turn
from zerosum.engine.losses import GANLoss
from zerosum.engine.penalties import Penalty, clip_weights
from zerosum.engine.schedule import at
from zerosum.engine.seeds import SeededNoise
from zerosum.engine.update_rules import Prior, UpdateRules

__all__ = ["DISCRIMINATOR", "GENERATOR", "Adaptive", "Augment", "Duel", "Prior", "UpdateRules"]

Augment = Callable[[Tensor, SeededNoise, str, float], Tensor]
Replay = Callable[[Batch, MicroBatch], Batch]
GENERATOR, DISCRIMINATOR = "generator", "discriminator"


class Duel(Game):
    """G against D. D is frozen while G learns, but its error flows through it to G.

    generator: (N, L) noise [, condition] -> (N, ...) data. discriminator: (N, ...) data [, condition] -> logits.
    With labelled data both receive the reals' conditions; with unlabelled data neither receives any.
    augment(x, draws, purpose, strength) acts on reals and fakes alike before D sees them, and must be differentiable.
    replay(fakes, share) gives what D is shown in place of fresh fakes, past ones among them (Shrivastava et al. 2017,
    arXiv:1612.07828); it keeps its own state.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        loss: GANLoss = losses.non_saturating,
        penalties: Sequence[Penalty] = (),
        prior: Prior | int = 64,
        rules: UpdateRules = UpdateRules(),
        conditional: bool = False,
        augment: Augment | None = None,
        replay: Replay | None = None,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        self.loss, self.penalties, self.rules = loss, tuple(penalties), rules
        self.prior = Prior(prior) if isinstance(prior, int) else prior
        self.conditional, self.augment, self.replay = conditional, augment, replay
        self.reals_per_step = sum(turn.reals for turn in self.turns(0))
        self._previous: list[Batch] = []  # the last generator turn's fakes of this process, in row order
        self._first_row = 0
        self._peers: Tensor | None = None
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

    def terms(self, player: str, share: MicroBatch) -> dict[str, Tensor]:
        """The player's loss, and the penalties on it."""
        if player == DISCRIMINATOR:
            play, loss = self._discriminators_play(share), self.loss.discriminator
            self._last = play.on_real.detach(), play.on_fake.detach()
            self._rows = share.draws.total
        else:
            play, loss = self._generators_play(share), self.loss.generator
            if self.rules.fakes == "previous" and play.plain_fake is not None:
                self._keep(share, Batch(play.plain_fake.detach(), play.condition))
        terms = {"loss": self._coupled_mean(loss, play.on_real, play.on_fake, share)}
        for penalty in self.penalties:
            if player in penalty.players and penalty.due(share.step):
                terms[penalty.name] = penalty.term(play).mean()
        return terms

    def noted(self, player: str) -> dict[str, Tensor]:
        """The mean sign of D on the reals, for adaptive augmentation."""
        if player != DISCRIMINATOR or self.control is None or self._last is None:
            return {}
        real, fake = (verdict.score() for verdict in self._last)
        peers = torch.stack([real, fake], 1) if self._peers is None else self._peers
        return {"sign": (real - self.loss.centre(peers[:, 0], peers[:, 1])).sign().mean()}

    def finish(self, player: str, noted: Mapping[str, Tensor]) -> None:
        """Weight clipping and adaptive augmentation, where the rules ask for them."""
        if player == DISCRIMINATOR and self.rules.clip_weights is not None:
            clip_weights(self.discriminator, self.rules.clip_weights)
        if self.control is not None and "sign" in noted:
            self.control.see(noted["sign"], self._rows)

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
        if self.control is not None:
            values["augment/strength"] = real.new_tensor(self.control.strength)
            values["augment/sign"] = real.new_tensor(self.control.sign)
        return values

    # --- the two sides

    def _discriminators_play(self, share: MicroBatch) -> LossContext:
        """One share of the discriminator's turn: fakes made without a graph, reals and fakes judged."""
        assert share.real is not None, "the discriminator's turn draws reals"
        condition = self._condition(share)
        fakes = self._fakes(share, condition)
        real, fake = self._shown(share.real.data, share, "real"), self._shown(fakes.data, share, "fake")
        verdicts = self._verdicts(real, fake, condition, fakes.condition)
        plain = share.real.data, fakes.data
        return self._play(DISCRIMINATOR, share, plain, (real, fake), verdicts, (condition, fakes.condition))

    def _generators_play(self, share: MicroBatch) -> LossContext:
        """One share of the generator's turn; without a need for reals the fakes stand in for them, unused."""
        condition = self._condition(share)
        noise = self.prior.draw(share.draws)
        plain = self._generate(noise, condition)
        fake = self._shown(plain, share, "fake")
        both = plain if share.real is None else share.real.data, plain
        if share.real is not None and self.loss.needs_real:
            real = self._shown(share.real.data, share, "real")
            verdicts = self._verdicts(real, fake, condition, condition)
        else:
            real, on_fake = fake, self._judge(fake, condition)
            verdicts = on_fake, on_fake
        return self._play(GENERATOR, share, both, (real, fake), verdicts, (condition, condition), noise)

    def _play(
        self,
        player: str,
        share: MicroBatch,
        plain: tuple[Tensor, Tensor],
        shown: tuple[Tensor, Tensor],
        verdicts: tuple[DiscriminatorOutput, DiscriminatorOutput],
        conditions: tuple[Tensor | None, Tensor | None],
        noise: Tensor | None = None,
    ) -> LossContext:
        told = dict(zip(("real", "fake"), conditions, strict=True))
        return LossContext(
            *shown,
            *verdicts,
            judge=lambda points, side: self._judge(points, told[side]),
            draws=share.draws,
            step=share.step,
            player=player,
            condition=conditions[0],
            fake_condition=conditions[1],
            noise=noise,
            generator=self.generator,
            plain_real=plain[0],
            plain_fake=plain[1],
            see=lambda points, side: self._augmented(points, share, side),
        )

    def _fakes(self, share: MicroBatch, condition: Tensor | None) -> Batch:
        if self.rules.fakes == "previous" and self._previous:
            whole = _joined(self._previous)
            first = share.draws.start - self._first_row
            return whole.rows(first, first + len(share))
        with torch.no_grad():
            fresh = Batch(self._generate(self.prior.draw(share.draws), condition), condition)
            return self.replay(fresh, share) if self.replay else fresh

    def _generate(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        return self.generator(noise) if condition is None else self.generator(noise, condition)  # type: ignore[no-any-return]

    def _condition(self, share: MicroBatch) -> Tensor | None:
        return share.real.condition if self.conditional and share.real is not None else None

    # --- judging

    def _shown(self, data: Tensor, share: MicroBatch, side: str) -> Tensor:
        """The data as D sees them."""
        return self._augmented(data, share, side) if self.rules.augment_role == "shown" else data

    def _augmented(self, data: Tensor, share: MicroBatch, side: str) -> Tensor:
        if self.augment is None:
            return data
        return self.augment(data, share.draws, f"augment {side}", self.strength(share.step))

    def strength(self, step: int) -> float:
        """The strength of the augmentation in step `step`; an adaptive one is told as it is now."""
        strength = self.rules.augment_strength
        return self.control.strength if isinstance(strength, Adaptive) and self.control else at(strength, step)  # type: ignore[arg-type]

    def _judge(self, data: Tensor, condition: Tensor | None) -> DiscriminatorOutput:
        return DiscriminatorOutput.of(
            self.discriminator(data) if condition is None else self.discriminator(data, condition)
        )

    def _verdicts(
        self, real: Tensor, fake: Tensor, real_condition: Tensor | None, fake_condition: Tensor | None
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        if self.rules.batches == "two":
            return self._judge(real, real_condition), self._judge(fake, fake_condition)
        conditions = [c for c in (real_condition, fake_condition) if c is not None]
        both = self._judge(torch.cat([real, fake.to(real.dtype)]), torch.cat(conditions) if conditions else None)
        return both.rows(0, len(real)), both.rows(len(real), len(real) + len(fake))

    # --- losses that couple the rows of a batch

    def rehearse(self, player: str, share: MicroBatch) -> Tensor | None:
        """(N, 2) real and fake scores of the share, when the loss, or the sign that an adaptive augmentation follows, compares
        rows with the whole batch's means."""
        centred = player == DISCRIMINATOR and self.control is not None and self.loss.neutral is None
        if not (self.loss.coupled or centred):
            return None
        play = self._discriminators_play(share) if player == DISCRIMINATOR else self._generators_play(share)
        return torch.stack([play.on_real.score(), play.on_fake.score()], 1)

    def meet(self, rows: Tensor | None) -> None:
        """Keeps the scores of the global batch for the turn that follows."""
        self._peers = rows

    def _coupled_mean(
        self, function: losses.LossFunction, real: DiscriminatorOutput, fake: DiscriminatorOutput, share: MicroBatch
    ) -> Tensor:
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

    def _keep(self, share: MicroBatch, fakes: Batch) -> None:
        if not self._previous or share.draws.start <= self._first_row:
            self._previous, self._first_row = [], share.draws.start
        self._previous.append(fakes)

    def state_dict(self) -> dict[str, Any]:
        """The kept fakes and the augmentation's controller, when the rules use them."""
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
    """Rules that need one another."""
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
