"use strict";
// The Dirac-GAN: the plane of (theta, psi) with its flow, the game's path and the theory's spiral; eigenvalues beside it.

const TOP = 20;

class DiracPainter {
  layers(frame) {
    return [
      { key: "field", label: "gradient of each player", role: "muted", sample: "arrow" },
      ...(frame.spiral.length
        ? [{ key: "spiral", label: "linear theory", role: "other1", sample: "dashed" }]
        : []),
      { key: "path", label: "path of the game", role: "ink", sample: "solid" },
    ];
  }
  height(width) {
    return width < 560 ? width + 226 : clamp(width * 0.66, 380, 540);
  }
  box(frame, width, height) {
    const narrow = width < 560,
      side = narrow ? width : Math.min(height, width - 190);
    const reach = Math.max(...frame.field.map(([theta]) => Math.abs(theta))) * 1.08;
    const left = 0,
      inner = side - 30 - TOP;
    return {
      narrow,
      side,
      reach,
      left,
      inner,
      x: (theta) => left + 30 + inner / 2 + (theta / reach) * (inner / 2),
      y: (psi) => TOP + inner / 2 - (psi / reach) * (inner / 2),
    };
  }
  paint(context, width, height, frame, view, focus) {
    const box = this.box(frame, width, height);
    const seen = (key) => !view.hide.has(key),
      alpha = (key) => (focus && !focus.has(key) ? 0.15 : 1);
    this.axes(context, box);
    context.save();
    context.beginPath();
    context.rect(box.left + 30, TOP, box.inner, box.inner);
    context.clip();
    if (seen("field")) this.flow(context, box, frame.field, 0.75 * alpha("field"));
    if (seen("spiral")) this.line(context, box, frame.spiral, palette.other1, 1.8, [6, 4], alpha("spiral"));
    if (seen("path")) this.line(context, box, frame.path, palette.ink, 2, [], alpha("path"));
    const [theta, psi] = [frame.theta, frame.psi];
    if (seen("path")) this.spot(context, box.x(frame.path[0][0]), box.y(frame.path[0][1]), 4, palette.card, palette.ink);
    this.spot(context, box.x(theta), box.y(psi), 6, palette.generator, palette.card);
    context.restore();
    this.plane(context, box, width, height, frame);
    return false;
  }
  axes(context, box) {
    Object.assign(context, { lineWidth: 1, strokeStyle: palette.grid });
    for (const value of ticks(-box.reach, box.reach, 6)) {
      context.strokeStyle = value === 0 ? palette.muted : palette.grid;
      trace(context, [
        [box.x(value), TOP],
        [box.x(value), TOP + box.inner],
      ]);
      context.stroke();
      trace(context, [
        [box.left + 30, box.y(value)],
        [box.left + 30 + box.inner, box.y(value)],
      ]);
      context.stroke();
      write(context, mark(value), box.x(value), TOP + box.inner + 15, "center");
      write(context, mark(value), box.left + 25, box.y(value) + 4, "right");
    }
    write(context, "θ: what G makes", box.left + 30 + box.inner, TOP + box.inner + 29, "right", palette.generator);
    write(context, "ψ: slope of D", box.left + 30, 12, "left", palette.discriminator);
  }
  flow(context, box, field, alpha) {
    const most = Math.max(...field.map(([, , a, b]) => Math.hypot(a, b))) || 1;
    const cell = (box.inner / Math.sqrt(field.length)) * 0.82;
    Object.assign(context, { strokeStyle: palette.muted, lineWidth: 1, globalAlpha: alpha });
    context.beginPath();
    for (const [theta, psi, a, b] of field) {
      const size = Math.hypot(a, b),
        long = (cell * Math.sqrt(size / most)) / (size || 1);
      const [x, y, dx, dy] = [box.x(theta), box.y(psi), (a * long) / 2, (b * long) / 2];
      arrow(context, x - dx, y + dy, x + dx, y - dy, 4);
    }
    context.stroke();
    context.globalAlpha = 1;
  }
  line(context, box, points, colour, thick, dash, alpha) {
    if (points.length < 2) return;
    Object.assign(context, { strokeStyle: colour, lineWidth: thick, globalAlpha: alpha, lineJoin: "round" });
    context.setLineDash(dash);
    trace(
      context,
      points.map(([theta, psi]) => [box.x(theta), box.y(psi)]),
    );
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }
  spot(context, x, y, radius, fill, edge) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    Object.assign(context, { fillStyle: fill, strokeStyle: edge, lineWidth: 1.6 });
    context.fill();
    context.stroke();
  }
  /** The complex plane of the eigenvalues: left of the middle line the players come to rest. */
  plane(context, box, width, height, frame) {
    const left = box.narrow ? 8 : box.side + 22,
      top = box.narrow ? box.side + 40 : 40;
    const side = box.narrow ? Math.min(170, width - 160) : Math.min(width - left - 6, 220);
    const both = [...(frame.eigenvalues.theory ?? []), ...(frame.eigenvalues.engine ?? [])];
    write(context, "Eigenvalues at the equilibrium", left, top - 14, "left", palette.ink);
    if (!both.length) {
      write(context, "There is no linear theory here.", left, top + 8);
      return;
    }
    const reach = Math.max(0.6, ...both.flat().map(Math.abs)) * 1.25,
      half = side / 2;
    const x = (re) => left + half + (re / reach) * half,
      y = (im) => top + half - (im / reach) * half;
    Object.assign(context, { fillStyle: palette.real, globalAlpha: 0.1 });
    context.fillRect(left, top, half, side);
    Object.assign(context, { globalAlpha: 1, strokeStyle: palette.muted, lineWidth: 1 });
    context.beginPath();
    context.moveTo(left + half, top);
    context.lineTo(left + half, top + side);
    context.moveTo(left, top + half);
    context.lineTo(left + side, top + half);
    context.stroke();
    write(context, "converges", left + 6, top + half - 6, "left", palette.real);
    write(context, "real", left + side, top + half - 6, "right");
    write(context, "imaginary", left + half + 12, top + half + 16);
    for (const [re, im] of frame.eigenvalues.engine ?? []) this.spot(context, x(re), y(im), 3.6, palette.ink, palette.ink);
    for (const [re, im] of frame.eigenvalues.theory ?? []) {
      context.beginPath();
      context.arc(x(re), y(im), 7.5, 0, 7);
      Object.assign(context, { strokeStyle: palette.other1, lineWidth: 1.8 });
      context.stroke();
    }
    this.words(context, box.narrow ? left + side + 12 : left, box.narrow ? top + 14 : top + side + 26, frame, box.narrow);
  }
  words(context, left, top, frame, narrow) {
    const complex = ([re, im]) => `${show(re)} ${im < 0 ? "−" : "+"} ${show(Math.abs(im))} i`;
    const lines = [
      ["theory ○", palette.other1],
      ...(frame.eigenvalues.theory ?? []).map((one) => [complex(one), palette.ink]),
      ["engine ●", palette.ink],
      ...(frame.eigenvalues.engine ?? []).map((one) => [complex(one), palette.ink]),
      [`a step grows by ${show4(frame.radius.engine)}`, palette.muted],
    ];
    lines.forEach(([text, colour], index) => write(context, text, left, top + index * (narrow ? 17 : 19), "left", colour));
  }
  pick(frame, px, py, width, height) {
    const box = this.box(frame, width, height);
    if (px < 30 || px > 30 + box.inner || py > TOP + box.inner) return null;
    const theta = ((px - 30 - box.inner / 2) / (box.inner / 2)) * box.reach,
      psi = ((TOP + box.inner / 2 - py) / (box.inner / 2)) * box.reach;
    const near = frame.field.reduce((a, b) =>
      Math.hypot(a[0] - theta, a[1] - psi) <= Math.hypot(b[0] - theta, b[1] - psi) ? a : b,
    );
    return {
      x: px,
      y: py,
      lines: [`θ = ${show(theta)}, ψ = ${show(psi)}`, `G pushes θ by ${show(near[2])}`, `D pushes ψ by ${show(near[3])}`],
    };
  }
  describe(frame) {
    const radius =
      frame.radius.theory === null
        ? ""
        : ` One step multiplies the distance from rest by ${show4(frame.radius.theory)} in theory, ` +
          `${show4(frame.radius.engine)} measured.`;
    return (
      `Phase portrait of the Dirac-GAN at step ${frame.step}: theta ${show(frame.theta)}, psi ${show(frame.psi)}, ` +
      `distance from rest ${show(Math.hypot(frame.theta, frame.psi))}.${radius}`
    );
  }
}

/** Four decimals: radii differ from 1 by little. */
function show4(value) {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(4);
}
