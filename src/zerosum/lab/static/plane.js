"use strict";
// Data in the plane: real and made points, D as heat, the generator's warped grid, its gradient as arrows, the modes.

class PlanePainter {
  constructor() {
    this.heat = make("canvas");
    this.noise = new NoisePanel();
    this.scale = 0;
  }
  layers(frame) {
    return [
      { key: "heat", label: "D", role: "heat", sample: "heat" },
      { key: "real", label: "real", role: "real", sample: "dot" },
      { key: "fake", label: "fake", role: "fake", sample: "diamond" },
      ...(frame.warp ? [{ key: "warp", label: "warped grid of G", role: "generator", sample: "grid" }] : []),
      { key: "arrows", label: "gradient of G", role: "ink", sample: "arrow" },
      ...(frame.modes ? [{ key: "modes", label: "modes", role: "muted", sample: "ring" }] : []),
    ];
  }
  height(width) {
    return width < 560 ? width + 118 : clamp(width * 0.7, 380, 560);
  }
  box(frame, width, height) {
    const [[x0, x1], [y0, y1]] = frame.box,
      narrow = width < 560;
    const side = narrow ? width : Math.min(height, width - 150);
    const scale = side / Math.max(x1 - x0, y1 - y0);
    const left = narrow ? 0 : width - side,
      noise = narrow ? 96 : clamp(width - side - 34, 110, 210);
    return {
      left,
      top: 0,
      side,
      scale,
      x0,
      x1,
      y0,
      y1,
      noise,
      noiseLeft: 0,
      noiseTop: narrow ? side + 20 : Math.max(20, (height - noise) / 2 - 40),
      x: (value) => left + side / 2 + (value - (x0 + x1) / 2) * scale,
      y: (value) => side / 2 - (value - (y0 + y1) / 2) * scale,
    };
  }
  paint(context, width, height, frame, view, focus) {
    const box = this.box(frame, width, height);
    const seen = (key) => !view.hide.has(key);
    const alpha = (key) => (focus && !focus.has(key) ? 0.2 : 1);
    context.save();
    context.beginPath();
    context.roundRect(box.left, box.top, box.side, box.side, 8);
    context.clip();
    context.fillStyle = palette.card;
    context.fillRect(box.left, 0, box.side, box.side);
    if (seen("heat")) this.warmth(context, box, frame.heat, view.best, alpha("heat"));
    if (seen("warp") && frame.warp) this.sheet(context, box, frame.warp, alpha("warp"));
    if (seen("real")) this.dots(context, box, frame.real, alpha("real"));
    if (seen("fake")) this.diamonds(context, box, frame.fake, alpha("fake"));
    if (seen("arrows")) this.pushes(context, box, frame.arrows, view.probability, alpha("arrows"));
    if (seen("modes") && frame.modes) this.rings(context, box, frame.modes, alpha("modes"));
    context.restore();
    Object.assign(context, { strokeStyle: palette.line, lineWidth: 1 });
    context.beginPath();
    context.roundRect(box.left + 0.5, 0.5, box.side - 1, box.side - 1, 8);
    context.stroke();
    if (frame.warp) this.noise.paint(context, box, frame, seen("warp"));
    this.key(context, box, view, width);
    return false;
  }
  warmth(context, box, heat, best, alpha) {
    const values = best && heat.d_star ? heat.d_star : heat.d,
      n = heat.n;
    if (this.heat.width !== n) this.heat.width = this.heat.height = n;
    const inner = this.heat.getContext("2d"),
      image = inner.createImageData(n, n);
    const real = palette.parts("real"),
      fake = palette.parts("fake");
    for (let row = 0; row < n; row += 1) {
      for (let column = 0; column < n; column += 1) {
        const lean = 2 * values[(n - 1 - row) * n + column] - 1,
          at = 4 * (row * n + column);
        const colour = lean > 0 ? real : fake;
        for (let part = 0; part < 3; part += 1) image.data[at + part] = colour[part];
        image.data[at + 3] = Math.abs(lean) * 118;
      }
    }
    inner.putImageData(image, 0, 0);
    Object.assign(context, { globalAlpha: alpha, imageSmoothingEnabled: true, imageSmoothingQuality: "high" });
    const x = box.x(box.x0),
      y = box.y(box.y1);
    context.drawImage(this.heat, x, y, box.x(box.x1) - x, box.y(box.y0) - y);
    context.globalAlpha = 1;
  }
  sheet(context, box, warp, alpha) {
    const n = warp.n,
      at = (row, column) => warp.points[row * n + column];
    const place = ([x, y]) => [box.x(x), box.y(y)];
    Object.assign(context, { strokeStyle: palette.generator, lineWidth: 0.8, globalAlpha: 0.5 * alpha });
    for (let row = 0; row < n; row += 1) {
      trace(
        context,
        Array.from({ length: n }, (_, column) => place(at(row, column))),
      );
      context.stroke();
      trace(
        context,
        Array.from({ length: n }, (_, column) => place(at(column, row))),
      );
      context.stroke();
    }
    context.globalAlpha = 1;
  }
  dots(context, box, points, alpha) {
    context.beginPath();
    for (const [x, y] of points) {
      const px = box.x(x),
        py = box.y(y);
      context.moveTo(px + 3, py);
      context.arc(px, py, 3, 0, 7);
    }
    this.ink(context, palette.real, alpha);
  }
  diamonds(context, box, points, alpha) {
    context.beginPath();
    for (const [x, y] of points) {
      const px = box.x(x),
        py = box.y(y);
      context.moveTo(px - 4, py);
      context.lineTo(px, py - 4);
      context.lineTo(px + 4, py);
      context.lineTo(px, py + 4);
      context.closePath();
    }
    this.ink(context, palette.fake, alpha);
  }
  ink(context, colour, alpha) {
    Object.assign(context, { fillStyle: colour, strokeStyle: palette.card, lineWidth: 1, globalAlpha: 0.9 * alpha });
    context.fill();
    context.stroke();
    context.globalAlpha = 1;
  }
  /** Both kinds share the scale of the loss's own gradient, so that what vanishes is seen to vanish. */
  pushes(context, box, arrows, probability, alpha) {
    const sizes = arrows.logit.map(([, , dx, dy]) => Math.hypot(dx, dy)).sort((a, b) => a - b);
    const goal = sizes[Math.floor(sizes.length * 0.9)] || 1e-9;
    this.scale = this.scale && Math.abs(Math.log(this.scale / goal)) < 3 ? this.scale * (goal / this.scale) ** 0.15 : goal;
    const pixels = (box.side * 0.075) / this.scale;
    Object.assign(context, { strokeStyle: palette.ink, lineWidth: 1.2, globalAlpha: 0.8 * alpha });
    context.beginPath();
    for (const [x, y, dx, dy] of probability ? arrows.probability : arrows.logit) {
      const cut = Math.min(1, (box.side * 0.16) / (Math.hypot(dx, dy) * pixels || 1)) * pixels;
      arrow(context, box.x(x), box.y(y), box.x(x) + dx * cut, box.y(y) - dy * cut, 5);
    }
    context.stroke();
    context.globalAlpha = 1;
  }
  rings(context, box, modes, alpha) {
    const fair = 1 / modes.total,
      room = box.side / Math.sqrt(modes.total) > 60;
    context.save();
    context.globalAlpha = alpha;
    modes.centres.forEach(([x, y], index) => {
      const share = modes.hits[index],
        found = share >= 0.1 * fair;
      Object.assign(context, { strokeStyle: found ? palette.ink : palette.alarm, lineWidth: found ? 1.1 : 1.6 });
      context.setLineDash(found ? [] : [4, 3]);
      context.beginPath();
      context.arc(box.x(x), box.y(y), 13, 0, 7);
      context.stroke();
      if (!room) return;
      context.setLineDash([]);
      Object.assign(context, {
        font: "600 11px system-ui, sans-serif",
        lineWidth: 3.5,
        strokeStyle: palette.card,
        textAlign: "center",
        lineJoin: "round",
      });
      const text = percent(share),
        below = box.y(y) + 28 < box.side - 4 ? 28 : -19;
      context.strokeText(text, box.x(x), box.y(y) + below);
      write(context, text, box.x(x), box.y(y) + below, "center", found ? palette.ink : palette.alarm);
    });
    context.restore();
  }
  /** The colours of D. */
  key(context, box, view, width) {
    if (view.hide.has("heat")) return;
    const wide = box.left ? box.noise - 12 : width - box.noise - 44,
      left = box.left ? 6 : box.noise + 30;
    const top = box.left ? box.noiseTop + box.noise + 42 : box.noiseTop + 44;
    const shade = context.createLinearGradient(left, 0, left + wide, 0),
      tint = (name) => `rgba(${palette.parts(name).join(",")},`;
    [
      [0, `${tint("fake")}.46)`],
      [0.5, `${tint("fake")}0)`],
      [0.5, `${tint("real")}0)`],
      [1, `${tint("real")}.46)`],
    ].forEach(([at, colour]) => shade.addColorStop(at, colour));
    Object.assign(context, { fillStyle: shade, strokeStyle: palette.line, lineWidth: 1 });
    context.fillRect(left, top, wide, 10);
    context.strokeRect(left + 0.5, top + 0.5, wide - 1, 9);
    write(context, view.best ? "best D*(x)" : "D(x)", left, top - 7, "left", palette.discriminator);
    [
      ["0 fake", 0, "left"],
      ["½", 0.5, "center"],
      ["1 real", 1, "right"],
    ].forEach(([text, at, align]) => write(context, text, left + at * wide, top + 24, align));
  }
  pick(frame, px, py, width, height) {
    const box = this.box(frame, width, height);
    if (px < box.left || py > box.side || px > box.left + box.side) return frame.warp && this.noise.pick(frame, box, px, py);
    const x = box.x0 + (px - box.x(box.x0)) / box.scale,
      y = box.y1 - (py - box.y(box.y1)) / box.scale;
    const lines = [`x = (${show(x)}, ${show(y)})`],
      n = frame.heat.n;
    const column = Math.floor(((x - box.x0) / (box.x1 - box.x0)) * n),
      row = Math.floor(((y - box.y0) / (box.y1 - box.y0)) * n);
    if (column >= 0 && row >= 0 && column < n && row < n) {
      lines.push(`D = ${show(frame.heat.d[row * n + column])}`);
      if (frame.heat.d_star) lines.push(`best D* = ${show(frame.heat.d_star[row * n + column])}`);
    }
    const near = (frame.modes?.centres ?? []).findIndex(([a, b]) => Math.hypot(box.x(a) - px, box.y(b) - py) < 16);
    if (near >= 0)
      lines.push(`mode ${near + 1}: ${percent(frame.modes.hits[near])} of made, ${percent(1 / frame.modes.total)} is fair`);
    return { x: px, y: py, lines };
  }
  describe(frame) {
    const low = show(Math.min(...frame.heat.d)),
      high = show(Math.max(...frame.heat.d));
    const told = `Real and fake points in the plane at step ${frame.step}, over a map of D, which runs from ${low} to ${high}.`;
    if (!frame.modes) return told;
    const { found, total, hits } = frame.modes;
    const shares =
      total <= 12 ? hits.map(percent).join(", ") : `from ${percent(Math.min(...hits))} to ${percent(Math.max(...hits))}`;
    return `${told} Modes found: ${found} of ${total}; shares ${shares}.`;
  }
}
