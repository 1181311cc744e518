"use strict";
// The space of noise beside the plane: the plain grid of which G's warped one is the image.

/** The quantile of the standard normal distribution (Acklam's rational approximation, error below 1.2e-9 relative). */
function normalQuantile(share) {
  if (share > 0.5) return -normalQuantile(1 - share);
  const ratio = (numerator, denominator, at) =>
    numerator.reduce((sum, c) => sum * at + c, 0) / denominator.reduce((sum, c) => sum * at + c, 0);
  if (share < 0.02425) {
    const c = [
      -7.784894002430293e-3, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
      2.938163982698783,
    ];
    return ratio(
      c,
      [7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1],
      Math.sqrt(-2 * Math.log(share)),
    );
  }
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239,
  ];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1];
  return (share - 0.5) * ratio(a, b, (share - 0.5) ** 2);
}

class NoisePanel {
  /** Where line `index` of n stands, from -1 to 1: lines are evenly spaced in probability. */
  spot(index, n, noise) {
    const share = (index + 0.5) / n;
    return noise === "uniform" ? (2 * share - 1) / (1 - 1 / n) : normalQuantile(share) / normalQuantile(1 - 0.5 / n);
  }
  spots(frame) {
    return Array.from({ length: frame.warp.n }, (_, index) => this.spot(index, frame.warp.n, frame.settings.noise));
  }
  paint(context, box, frame, seen) {
    const { noise, noiseLeft: left, noiseTop: top } = box,
      half = noise / 2;
    Object.assign(context, { strokeStyle: palette.generator, lineWidth: 0.8, globalAlpha: seen ? 0.6 : 0.2 });
    context.beginPath();
    for (const spot of this.spots(frame)) {
      const at = half + spot * (half - 6);
      context.moveTo(left + at, top + 6);
      context.lineTo(left + at, top + noise - 6);
      context.moveTo(left + 6, top + at);
      context.lineTo(left + noise - 6, top + at);
    }
    context.stroke();
    context.globalAlpha = 1;
    write(context, "noise z", left + 6, top - 5);
    if (!box.left) return;
    Object.assign(context, { strokeStyle: palette.generator, lineWidth: 1.6 });
    context.beginPath();
    arrow(context, left + noise + 2, top + half, box.left - 6, top + half, 6);
    context.stroke();
    write(context, "G", (left + noise + box.left) / 2 - 2, top + half - 8, "center", palette.generator);
  }
  /** Noise under the pointer, and the sample that G makes of it. */
  pick(frame, box, px, py) {
    const { noise, noiseLeft: left, noiseTop: top } = box,
      half = noise / 2,
      spots = this.spots(frame);
    if (px < left || py < top || px > left + noise || py > top + noise) return null;
    const nearest = (offset) =>
      spots.reduce((best, spot, index) => (Math.abs(spot - offset) < Math.abs(spots[best] - offset) ? index : best), 0);
    const row = nearest((top + half - py) / (half - 6)),
      column = nearest((px - left - half) / (half - 6));
    const point = frame.warp.points[row * frame.warp.n + column];
    return {
      x: px,
      y: py,
      to: [box.x(point[0]), box.y(point[1])],
      lines: [`G(z) = (${show(point[0])}, ${show(point[1])})`],
    };
  }
}
