"""The settings of the lab: flat, typed values that can be part of an address, and the corresponding recipe."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from zerosum.domains.toy import densities
from zerosum.domains.toy.networks import ACTIVATIONS
from zerosum.engine import losses, penalties
from zerosum.engine.duel import UpdateRules
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.seeds import Prior
from zerosum.errors import UserError, nearest
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

MOST_POINTS = 400
DRAWN = "drawn"
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
CHANGEABLE = ("lr_g", "lr_d", "k", "weight")
"""Settings that may be changed during the game."""

Rate = Annotated[float, Field(ge=1e-6, le=1.0)]
Width = Annotated[int, Field(ge=1, le=256)]
Depth = Annotated[int, Field(ge=0, le=6)]
Beta = Annotated[float, Field(ge=0.0, le=0.9999)]
Coordinate = Annotated[float, Field(ge=-5.0, le=5.0)]


class LabSettings(BaseModel):
    """One game of the lab. mode "game": densities of the toy domain; "dirac": the Dirac-GAN, where only loss, penalty,
    weight, simultaneous, k, lr_g (the step size of both), theta, psi and seed have an effect.

    points: of the source "drawn", "x;x;x" or "x,y;x,y". weight: of the penalty, or of both in "r1+r2". k: discriminator
    moves before each move of the generator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    mode: Literal["game", "dirac"] = "game"
    source: str = "ring"
    points: str = ""
    noise: Literal["normal", "uniform"] = "normal"
    latent: int = Field(2, ge=1, le=32)
    g_layers: Depth = 2
    g_width: Width = 64
    d_layers: Depth = 2
    d_width: Width = 64
    activation: str = "leaky_relu"
    loss: str = "non_saturating"
    penalty: str = "r1"
    weight: float = Field(0.02, ge=0.0, le=100.0)
    optimizer: str = "adam"
    lr_g: Rate = 3e-4
    lr_d: Rate = 1e-3
    beta1: Beta = 0.0
    beta2: Beta = 0.99
    momentum: float = Field(0.0, ge=0.0, le=0.99)
    k: int = Field(1, ge=1, le=20)
    simultaneous: bool = False
    batch: int = Field(256, ge=1, le=2048)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    theta: Coordinate = 1.0
    psi: Coordinate = 1.0

    @field_validator("source", "activation", "loss", "penalty", "optimizer")
    @classmethod
    def _check_choice(cls, value: str, info: Any) -> str:
        known = choices(info.field_name)
        if value not in known:
            raise ValueError(f"there is no such choice. {nearest(value, known)}")
        return value

    @field_validator("points")
    @classmethod
    def _check_points(cls, value: str) -> str:
        read_points(value)
        return value

    @model_validator(mode="after")
    def _check_combination(self) -> LabSettings:
        if self.simultaneous and self.k != 1:
            raise ValueError("a simultaneous step has one move of each player; set k to 1, or simultaneous to false")
        if self.mode == "game" and self.source == DRAWN and not self.points:
            raise ValueError('the source "drawn" needs points, as in points="-1;0.5;1" or points="0,0;1,1"')
        return self

    @property
    def penalty_names(self) -> tuple[str, ...]:
        """The engine's penalties that are used: none, one, or both of "r1+r2"."""
        return () if self.penalty == "none" else tuple(self.penalty.split("+"))

    def changed(self, name: str, value: Any) -> LabSettings:
        """The settings with one of CHANGEABLE replaced; UserError if that is not possible."""
        if name not in CHANGEABLE:
            raise UserError(f"{name} cannot be changed during the game. {nearest(name, CHANGEABLE)}")
        return parse(self.model_dump() | {name: value})

    def rules(self) -> UpdateRules:
        """The update rules of the recipe."""
        return UpdateRules(discriminator_steps=self.k, simultaneous=self.simultaneous)

    def learning(self, player: str) -> OptimizerConfig:
        """The optimizer of "generator" or "discriminator"; in dirac mode gradient descent of step size lr_g."""
        if self.mode == "dirac":
            return OptimizerConfig("sgd", lr=self.lr_g)
        return OptimizerConfig(
            self.optimizer,  # type: ignore[arg-type]
            lr=self.lr_g if player == "generator" else self.lr_d,
            betas=(self.beta1, self.beta2),
            momentum=self.momentum,
        )

    def recipe(self) -> Recipe:
        """The recipe of the toy domain that corresponds to these settings."""
        options = {"points": read_points(self.points)} if self.source == DRAWN else {}
        return Recipe(
            name="lab",
            domain="toy",
            data=part(self.source, **options),
            generator=part("mlp", width=self.g_width, depth=self.g_layers, activation=self.activation),
            discriminator=part("mlp", width=self.d_width, depth=self.d_layers, activation=self.activation),
            prior=Prior(self.latent, self.noise),
            conditional=False,
            loss=self.loss,
            penalties={name: PenaltyConfig(weight=self.weight) for name in self.penalty_names},
            rules=self.rules(),
            learning={player: self.learning(player) for player in ("generator", "discriminator")},
            ema=AverageConfig(half_life_samples=0),
            batch=self.batch,
            seed=self.seed,
            precision="float32",
            device="cpu",
            threads=1,
        )


DIRAC_DEFAULTS: Mapping[str, Any] = {"mode": "dirac", "penalty": "none", "weight": 0.3, "lr_g": 0.1}


def defaults(mode: str = "game") -> LabSettings:
    """The default settings of a mode."""
    return LabSettings.model_validate(DIRAC_DEFAULTS if mode == "dirac" else {})


def choices(field: str) -> Mapping[str, str]:
    """Name -> summary of each choice of a field: source, loss, penalty, optimizer or activation."""
    if field == "source":
        return {name: summary for name, (summary, _) in sources().items()}
    if field == "loss":
        return {name: pair.source for name, pair in losses.table().items()}
    if field == "penalty":
        known = {name: (maker.__doc__ or "").split("\n")[0] for name, maker in penalties.table(any_game=True).items()}
        return {"none": "No penalty."} | known | {"r1+r2": "Both R1 and R2, each with the weight."}
    return dict.fromkeys(OPTIMIZERS if field == "optimizer" else ACTIVATIONS, "")


@functools.cache
def sources() -> Mapping[str, tuple[str, int]]:
    """Name -> (summary, dimensions) of each source; 0 dimensions for drawn points, which may have either."""
    known = {name: densities.build(name) for name in densities.DENSITIES if name != DRAWN}
    plain = {name: (density.summary, density.num_dims) for name, density in known.items()}
    return plain | {DRAWN: ("points that you draw", 0)}


def read_points(text: str) -> list[list[float]]:
    """ "x;x;x" or "x,y;x,y" as lists of coordinates, at most 400 points; ValueError if they cannot be read."""
    pieces = [piece for piece in text.split(";") if piece.strip()]
    try:
        points = [[float(number) for number in piece.split(",")] for piece in pieces]
    except ValueError:
        raise ValueError('points are numbers, as in "-1;0.5;1" or "0,0;1,1"') from None
    if len(points) > MOST_POINTS:
        raise ValueError(f"there are {len(points)} points; {MOST_POINTS} is the most")
    if any(len(point) not in (1, 2) or len(point) != len(points[0]) for point in points):
        raise ValueError("all points need the same number of coordinates, one or two")
    if any(not -100 <= number <= 100 for point in points for number in point):
        raise ValueError("coordinates must lie between -100 and 100")
    return points


def dimensions(plain: Mapping[str, Any]) -> int:
    """Dimensions of the data of these settings, 1 or 2; 2 if they name no source."""
    points = str(plain.get("points") or "")
    if plain.get("source") == DRAWN:
        return 2 if "," in points.split(";")[0] else 1
    return sources().get(str(plain.get("source")), ("", 2))[1]


def parse(plain: Mapping[str, Any]) -> LabSettings:
    """Settings from JSON values or the strings of an address, with defaults for what is missing.

    UserError names the field, the value and the accepted values.
    """
    start = dict(DIRAC_DEFAULTS) if plain.get("mode") == "dirac" else {"latent": dimensions(plain)}
    try:
        return LabSettings.model_validate(start | dict(plain))
    except ValidationError as error:
        raise UserError(_format_errors(error)) from None


def _format_errors(error: ValidationError) -> str:
    sentences = []
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            sentences.append(f"There is no setting {name!r}. {nearest(name, LabSettings.model_fields)}")
        elif not name:
            sentences.append(f"{message[0].upper()}{message[1:]}.")
        else:
            end = "" if message.endswith((".", "?")) else "."
            sentences.append(f"{name} = {problem['input']!r}: {message[0].lower()}{message[1:]}{end}")
    return " ".join(dict.fromkeys(sentences))


def limits() -> dict[str, tuple[float, float]]:
    """Name -> (lowest, highest) accepted value of each number."""
    found = {}
    for name, field in LabSettings.model_fields.items():
        bounds = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "le") if hasattr(rule, key)}
        if len(bounds) == 2:
            found[name] = (bounds["ge"], bounds["le"])
    return found
