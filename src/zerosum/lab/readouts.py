"""The numbers beside the picture: what each is called, its value, what it should be, and how it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zerosum.lab.measure import NUM, NUM_TRANSPORT, Measure

LOG_4 = math.log(4)


def of_game(told: Mapping[str, Any], now: Mapping[str, Any], measure: Measure, step: int) -> list[dict[str, Any]]:
    """told: the newest point that was measured; now: the point of this moment."""
    when = "" if told.get("step", step) == step else f", at step {told['step']:,}"
    counted = f"from {NUM:,} samples{when}"
    exact = f"W1 to the exact quantiles, {counted}" if measure.on_line else f"exact W2 of {NUM_TRANSPORT} points{when}"
    rows = [
        _row("V", "V(D, G)", told, -LOG_4, f"what D maximises and G minimises, {counted}; -log 4 when D = 1/2"),
        _row("bound", "-log 4 + 2 JSD", told, -LOG_4, f"V of the best D against this G, {counted}"),
        _row("gap", "D away from optimal, %", told, 0.0, f"100 times the mean of |D - D*|, {counted}"),
        _row("js", "JSD(data, G)", told, 0.0, f"nats, at most log 2 = 0.693, {counted}"),
        _row("kl", "KL(data || G)", told, 0.0, f"nats, large where data are that G does not make, {counted}"),
        _row("kl_reverse", "KL(G || data)", told, 0.0, f"nats, large where G makes what data are not, {counted}"),
        _row("w", "W1" if measure.on_line else "W2", told, measure.floor, f"{exact}; the reference is of fresh data"),
    ]
    if "num_modes" in now:
        rows.append(_row("modes", "modes covered", now, now["num_modes"], "modes with a tenth of their share or more"))
    return rows


def of_dirac(portrait: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The game of two numbers: where it stands, and how fast theory and engine say it moves."""
    radius, values = portrait["radius"], portrait["eigenvalues"]
    first = {side: values[side][0] if values[side] else (None, None) for side in ("theory", "engine")}
    both = {
        "distance": now["radius"],
        "radius": radius["engine"],
        "real": first["engine"][0],
        "imag": first["engine"][1],
    }
    return [
        _row("distance", "distance from equilibrium", both, 0.0, "the length of (theta, psi)"),
        _row(
            "radius",
            "spectral radius of a step",
            both,
            radius["theory"],
            "below 1 the game converges; the reference is the theory's",
        ),
        _row(
            "real",
            "eigenvalue, real part",
            both,
            first["theory"][0],
            "below 0 the game is damped; the reference is the theory's",
        ),
        _row(
            "imag",
            "eigenvalue, imaginary part",
            both,
            first["theory"][1],
            "how fast it turns; the reference is the theory's",
        ),
    ]


def _row(key: str, label: str, values: Mapping[str, Any], reference: float | None, note: str) -> dict[str, Any]:
    return {"key": key, "label": label, "value": values.get(key), "reference": reference, "note": note}
