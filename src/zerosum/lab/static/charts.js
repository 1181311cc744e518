"use strict";
// Numbers over the steps, as small multiples. A point at a chart reads all of them at the same step.

const CHARTS = [
  {
    title: "Value of the game",
    keys: [
      ["V", "V(D, G)", "discriminator"],
      ["bound", "best D's V", "ink"],
    ],
    reference: [-LOG4, "−log 4"],
  },
  {
    title: "Distance to the data",
    keys: [
      ["js", "JS", "ink"],
      ["kl", "KL(p‖p_g)", "other1"],
      ["kl_reverse", "KL(p_g‖p)", "other2"],
    ],
    log: true,
  },
  { title: "Transport distance", keys: [["w", "Wasserstein", "generator"]], log: true },
  {
    title: "Losses",
    keys: [
      ["d_loss", "of D", "discriminator"],
      ["g_loss", "of G", "generator"],
    ],
  },
  { title: "D's distance from the best D, %", keys: [["gap", "gap", "discriminator"]], floor: 0 },
  { title: "Modes found", keys: [["modes", "modes", "generator"]], floor: 0 },
  {
    title: "The two numbers",
    keys: [
      ["theta", "θ", "generator"],
      ["psi", "ψ", "discriminator"],
    ],
  },
  { title: "Distance from rest", keys: [["radius", "distance", "ink"]], log: true },
];

class Chart {
  constructor(plan, charts) {
    Object.assign(this, plan, { charts });
    this.canvas = make("canvas", { role: "img" });
    this.names = make("p", { class: "legend" });
    this.figure = make(
      "figure",
      { class: "card chart" },
      make("figcaption", {}, this.title),
      make("div", {}, this.canvas),
      this.names,
    );
    this.values = this.keys.map(([, label, role]) => {
      const value = make("b");
      this.names.append(make("span", { class: `s-${role}` }, make("i", { "aria-hidden": "true" }), `${label} `, value));
      return value;
    });
    this.board = new Board(
      this.canvas,
      () => 118,
      (...size) => this.paint(...size),
    );
    this.canvas.addEventListener("pointermove", (event) => this.charts.look(event.offsetX / this.canvas.clientWidth));
    this.canvas.addEventListener("pointerleave", () => this.charts.look(null));
  }
  get wanted() {
    return this.keys.some(([key]) => this.charts.points.some((point) => Number.isFinite(point[key])));
  }
  range(rows) {
    const values = rows
      .flatMap((row) => row.map(([, value]) => value))
      .filter((value) => !this.log || value > 0)
      .sort((a, b) => a - b);
    if (!values.length) return [0, 1];
    const cut = Math.floor(values.length * 0.01);
    let [low, high] = [values[cut], values[values.length - 1 - cut]];
    if (this.reference) [low, high] = [Math.min(low, this.reference[0]), Math.max(high, this.reference[0])];
    if (this.floor !== undefined) low = Math.min(low, this.floor);
    if (this.log) return [Math.log10(low) - 0.08, Math.log10(high) + 0.08];
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 0.5;
    return [this.floor === undefined ? low - pad : low, high + pad];
  }
  paint(context, width, height) {
    const { points, last, step, at } = this.charts;
    const rows = this.keys.map(([key]) =>
      points.filter((point) => Number.isFinite(point[key])).map((point) => [point.step, point[key]]),
    );
    const [low, high] = this.range(rows),
      turn = this.log ? Math.log10 : (value) => value;
    const left = 40,
      right = width - 4,
      bottom = height - 16;
    const x = (value) => left + (value / (last || 1)) * (right - left),
      y = (value) => bottom - ((turn(value) - low) / (high - low || 1)) * (bottom - 6);
    this.axes(context, { low, high, left, right, bottom, x, y, last });
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left + 2, height);
    context.clip();
    rows.forEach((row, index) =>
      this.curve(
        context,
        row.filter(([, value]) => !this.log || value > 0),
        x,
        y,
        palette[this.keys[index][2]],
      ),
    );
    Object.assign(context, { strokeStyle: palette.ink, globalAlpha: 0.35, lineWidth: 1 });
    for (const mark of at === null ? [step] : [step, at * last]) {
      trace(context, [
        [x(mark), 4],
        [x(mark), bottom],
      ]);
      context.stroke();
    }
    context.restore();
    this.read(rows, at === null ? step : clamp(at, 0, 1) * last);
  }
  axes(context, { low, high, left, right, bottom, x, y, last }) {
    const covered = (value) => this.reference && Math.abs(y(value) - y(this.reference[0])) < 12;
    const marks = (this.log ? this.powers(low, high) : ticks(low, high, 3)).filter((value) => !covered(value));
    Object.assign(context, { lineWidth: 1, strokeStyle: palette.grid, font: "11px system-ui, sans-serif" });
    for (const value of marks) {
      trace(context, [
        [left, y(value)],
        [right, y(value)],
      ]);
      context.stroke();
      write(
        context,
        Math.abs(value) >= 1000 || (value !== 0 && Math.abs(value) < 1e-3)
          ? value.toExponential(0).replace("-", "−")
          : mark(value),
        left - 6,
        y(value) + 4,
        "right",
      );
    }
    for (const value of ticks(0, last || 1, 3))
      if (value <= last)
        write(
          context,
          value.toLocaleString("en"),
          x(value),
          bottom + 14,
          x(value) > right - 20 ? "right" : value ? "center" : "left",
        );
    if (!this.reference) return;
    context.setLineDash([3, 3]);
    context.strokeStyle = palette.muted;
    trace(context, [
      [left, y(this.reference[0])],
      [right, y(this.reference[0])],
    ]);
    context.stroke();
    context.setLineDash([]);
    write(context, this.reference[1], left - 6, y(this.reference[0]) + 4, "right", palette.ink);
  }
  powers(low, high) {
    const found = [],
      many = high - low > 1.2;
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const factor of many ? [1] : [1, 2, 5]) {
        const value = factor * 10 ** power;
        if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(Number(value.toPrecision(3)));
      }
    }
    return found.length > 5 ? found.filter((_, index) => index % 2 === 0) : found;
  }
  curve(context, row, x, y, colour) {
    if (!row.length) return;
    Object.assign(context, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.5, lineJoin: "round", globalAlpha: 1 });
    if (row.length === 1) {
      context.beginPath();
      context.arc(x(row[0][0]), y(row[0][1]), 2.5, 0, 7);
      context.fill();
      return;
    }
    // One pixel column shows the range of what falls on it, so that long games stay true and quick.
    const stride = Math.max(1, Math.ceil(row.length / 600)),
      path = [];
    for (let start = 0; start < row.length; start += stride) {
      const part = row.slice(start, start + stride).sort((a, b) => a[1] - b[1]);
      const ends = part.length > 1 ? [part[0], part[part.length - 1]].sort((a, b) => a[0] - b[0]) : part;
      path.push(...ends.map(([step, value]) => [x(step), y(value)]));
    }
    trace(context, path);
    context.stroke();
  }
  read(rows, step) {
    const said = rows.map((row, index) => {
      const near = row.reduce(
        (best, point) => (!best || Math.abs(point[0] - step) <= Math.abs(best[0] - step) ? point : best),
        null,
      );
      tell(this.values[index], near ? show(near[1]) : "–");
      return near ? `${this.keys[index][1]} ${show(near[1])}` : "";
    });
    const values = said.filter(Boolean).join(", ") || "no number yet";
    const text = `${this.title} over steps. Near step ${Math.round(step)}: ${values}.`;
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
  }
}

class Charts {
  /** whole: all points are there from the beginning, as in a recording. */
  constructor(root, whole) {
    Object.assign(this, { root, whole, points: [], step: 0, last: 0, at: null, due: 0, timer: null });
    this.all = CHARTS.map((plan) => new Chart(plan, this));
  }
  /** All points of the game so far. */
  fill(points) {
    this.points = points;
    this.draw();
  }
  add(frame) {
    this.step = frame.step;
    this.last = this.whole ? (this.points.at(-1)?.step ?? 0) : Math.max(frame.rewind.last, frame.step);
    if (!this.whole) this.take(frame.point);
    const wait = this.due - performance.now();
    if (wait <= 0 || !frame.playing) this.draw();
    else this.timer ??= setTimeout(() => this.draw(), wait);
  }
  /** A point of this or of an earlier step; what came after the furthest step is forgotten. */
  take(point) {
    const points = this.points;
    while (points.length && points[points.length - 1].step > this.last) points.pop();
    let place = points.length;
    while (place > 0 && points[place - 1].step >= point.step) place -= 1;
    if (points[place]?.step === point.step) points[place] = { ...points[place], ...point };
    else points.splice(place, 0, point);
  }
  look(at) {
    this.at = at === null ? null : Math.max(0, at);
    this.draw();
  }
  draw() {
    clearTimeout(this.timer);
    this.timer = null;
    this.due = performance.now() + (CALM.matches ? 1000 : 200);
    const shown = this.all.filter((chart) => chart.wanted);
    const same =
      shown.length === this.root.children.length &&
      shown.every((chart, index) => this.root.children[index] === chart.figure);
    if (!same) this.root.replaceChildren(...shown.map((chart) => chart.figure));
    for (const chart of shown) chart.board.want();
  }
}
