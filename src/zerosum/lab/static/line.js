"use strict";
// Data on the line: the living Figure 1 of the 2014 paper. p dotted, p_g solid, D dashed, D* thin, arrows from z to x below.

class LinePainter {
  constructor() {
    this.top = 0;
  }
  layers(frame) {
    return [
      { key: "real", label: "data, p(x)", role: "real", sample: "dotted" },
      { key: "fake", label: "fakes, p_g(x)", role: "fake", sample: "solid" },
      { key: "d", label: "D(x)", role: "discriminator", sample: "dashed" },
      ...(frame.d_star ? [{ key: "best", label: "best D*(x)", role: "discriminator", sample: "thin" }] : []),
      { key: "arrows", label: "z → G(z)", role: "generator", sample: "arrow" },
    ];
  }
  height(width) {
    return clamp(width * 0.68, 330, 540);
  }
  /** Where things are, in pixels. */
  box(frame, width, height) {
    const left = 42,
      right = width - 34,
      bottom = height - clamp(height * 0.3, 104, 150);
    const [low, high] = [frame.x[0], frame.x[frame.x.length - 1]];
    const [z0, z1] = frame.z_range ?? [-1, 1],
      inset = (right - left) * 0.08;
    return {
      left,
      right,
      top: 28,
      bottom,
      landing: bottom + 26,
      noise: height - 30,
      low,
      high,
      z0,
      z1,
      x: (value) => left + ((value - low) / (high - low)) * (right - left),
      z: (value) => left + inset + ((value - z0) / (z1 - z0 || 1)) * (right - left - 2 * inset),
      d: (value) => bottom - value * (bottom - 28),
      y: (value) => bottom - (value / this.top) * (bottom - 28),
      value: (px) => low + ((px - left) / (right - left)) * (high - low),
    };
  }
  /** The height of the density axis follows high peaks without jumping; true while it still moves. */
  rescale(frame) {
    const p = Math.max(...frame.p),
      q = Math.max(...frame.q);
    const goal = Math.max(p * 1.25, Math.min(q * 1.08, p * 2.4));
    if (!this.top || CALM.matches) this.top = goal;
    this.top += (goal - this.top) * 0.2;
    if (Math.abs(goal - this.top) < 0.004 * goal) this.top = goal;
    return this.top !== goal;
  }
  paint(context, width, height, frame, view, focus) {
    const moving = this.rescale(frame),
      box = this.box(frame, width, height);
    const seen = (key) => !view.hide.has(key);
    const alpha = (key) => (focus && !focus.has(key) ? 0.2 : 1);
    this.axes(context, box, width);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top - 8, box.right - box.left, box.bottom - box.top + 9);
    context.clip();
    context.lineJoin = "round";
    const along = (values, y) => values.map((value, index) => [box.x(frame.x[index]), y(value)]);
    if (seen("fake")) this.area(context, along(frame.q, box.y), box.bottom, 0.13 * alpha("fake"));
    const curves = [
      ["best", frame.d_star, box.d, "discriminator", 1.1, []],
      ["d", frame.d, box.d, "discriminator", 2.2, [8, 5]],
      ["fake", frame.q, box.y, "fake", 2.4, []],
      ["real", frame.p, box.y, "real", 2.6, [0.1, 5.5]],
    ];
    for (const [key, values, y, colour, thick, dash] of curves) {
      if (!values || !seen(key)) continue;
      Object.assign(context, {
        globalAlpha: alpha(key),
        strokeStyle: palette[colour],
        lineWidth: thick,
        lineCap: dash.length ? "round" : "butt",
      });
      context.setLineDash(dash);
      trace(context, along(values, y));
      context.stroke();
    }
    context.restore();
    if (seen("arrows")) this.arrows(context, box, frame, alpha("arrows"));
    return moving;
  }
  area(context, points, bottom, alpha) {
    trace(context, [[points[0][0], bottom], ...points, [points[points.length - 1][0], bottom]]);
    Object.assign(context, { globalAlpha: alpha, fillStyle: palette.fake });
    context.fill();
    context.globalAlpha = 1;
  }
  axes(context, box, width) {
    Object.assign(context, { lineWidth: 1, strokeStyle: palette.grid });
    for (const share of [0.5, 1]) {
      const y = Math.round(box.d(share)) + 0.5;
      context.setLineDash(share === 0.5 ? [2, 4] : []);
      context.strokeStyle = share === 0.5 ? palette.line : palette.grid;
      trace(context, [
        [box.left, y],
        [box.right, y],
      ]);
      context.stroke();
    }
    context.setLineDash([]);
    for (const [share, label] of [
      [0, "0"],
      [0.5, "½"],
      [1, "1"],
    ])
      write(context, label, box.right + 8, box.d(share) + 4, "left", palette.discriminator);
    write(context, "D", box.right + 8, 12, "left", palette.discriminator);
    for (const value of ticks(0, this.top, 4).slice(1))
      if (box.y(value) > box.top) write(context, mark(value), box.left - 8, box.y(value) + 4, "right");
    write(context, "density", 2, 12);
    context.strokeStyle = palette.muted;
    for (const y of [box.bottom, box.noise]) {
      trace(context, [
        [box.left, y],
        [box.right, y],
      ]);
      context.stroke();
    }
    const count = Math.max(3, Math.floor((box.right - box.left) / 90));
    for (const value of ticks(box.low, box.high, count))
      write(context, mark(value), box.x(value), box.bottom + 16, "center");
    write(context, "x", box.right + 8, box.bottom + 16);
    for (const value of ticks(box.z0, box.z1, Math.min(6, count)))
      write(context, mark(value), box.z(value), box.noise + 16, "center");
    write(context, "noise z", 2, box.noise + 16);
  }
  arrows(context, box, frame, alpha) {
    Object.assign(context, { globalAlpha: 0.62 * alpha, strokeStyle: palette.generator, lineWidth: 1.1 });
    context.beginPath();
    for (const [z, x] of frame.arrows) {
      if (x < box.low || x > box.high) continue;
      arrow(context, box.z(z), box.noise - 2, box.x(x), box.landing, 5);
    }
    context.stroke();
    context.globalAlpha = 1;
  }
  /** What stands at a place of the canvas: { x, y, lines } or null. */
  pick(frame, px, py, width, height) {
    const box = this.box(frame, width, height);
    if (px < box.left || px > box.right || py > box.noise) return null;
    const index = Math.round(((box.value(px) - box.low) / (box.high - box.low)) * (frame.x.length - 1));
    const best = frame.d_star ? [`best D* = ${show(frame.d_star[index])}`] : [];
    const lines = [
      `x = ${show(frame.x[index])}`,
      `data p = ${show(frame.p[index])}`,
      `made p_g = ${show(frame.q[index])}`,
      `D = ${show(frame.d[index])}`,
      ...best,
    ];
    return { x: box.x(frame.x[index]), y: null, top: box.top, bottom: box.bottom, lines };
  }
  describe(frame) {
    const step = frame.x[1] - frame.x[0];
    const mean = (density) =>
      density.reduce((sum, value, index) => sum + value * frame.x[index], 0) / (density.reduce((a, b) => a + b, 0) || 1);
    const spread = (density) => {
      const centre = mean(density),
        total = density.reduce((a, b) => a + b, 0) || 1;
      return Math.sqrt(density.reduce((sum, value, index) => sum + value * (frame.x[index] - centre) ** 2, 0) / total);
    };
    const overlap = frame.p.reduce((sum, value, index) => sum + Math.min(value, frame.q[index]), 0) * step;
    return (
      `Figure 1 of the 2014 paper, at step ${frame.step}. ` +
      `Data: mean ${show(mean(frame.p))}, deviation ${show(spread(frame.p))}. ` +
      `Generated: mean ${show(mean(frame.q))}, deviation ${show(spread(frame.q))}. ` +
      `The curves share ${percent(clamp(overlap, 0, 1))} of their area. ` +
      `D runs from ${show(Math.min(...frame.d))} to ${show(Math.max(...frame.d))}.`
    );
  }
}
