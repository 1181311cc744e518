"use strict";
// Drawing the data: on a line, a curve that is filled with points; in the plane, points. By pointer or by keyboard.

const MOST_POINTS = 400,
  REACH = 3,
  BINS = 48,
  LEVELS = 8,
  GAP = 0.11,
  SPREAD = 0.1;

class Drawing {
  constructor() {
    this.dims = 2;
    this.stores = { 1: { strokes: [], now: [] }, 2: { strokes: [], now: [] } };
    this.cursor = [0, 0];
    this.changed = () => {};
  }
  /** What is drawn: on the line a count for each bin, in the plane [x, y] pairs. */
  get marks() {
    return this.stores[this.dims].now;
  }
  get points() {
    if (this.dims === 2) return this.marks;
    const wide = (2 * REACH) / BINS;
    return this.marks.flatMap((count, bin) =>
      Array.from({ length: count ?? 0 }, (_, index) => [-REACH + wide * (bin + (index + 0.5) / count)]),
    );
  }
  /** As the lab takes them: "x;x" or "x,y;x,y". */
  get text() {
    return this.points
      .map((point) => point.map((value) => Number(value.toFixed(2 + (this.dims === 1)))).join(","))
      .join(";");
  }
  set text(text) {
    const points = text
      .split(";")
      .filter(Boolean)
      .map((one) => one.split(",").map(Number));
    if (!points.length) return;
    this.dims = points[0].length;
    const bin = ([x]) => clamp(Math.floor(((x + REACH) / (2 * REACH)) * BINS), 0, BINS - 1);
    const now =
      this.dims === 2
        ? points
        : points.reduce((all, point) => all.with(bin(point), Math.min(LEVELS, all[bin(point)] + 1)), Array(BINS).fill(0));
    this.stores[this.dims] = { strokes: [], now };
  }
  /** Begins a stroke: what can be undone at once. */
  begin() {
    const store = this.stores[this.dims];
    store.strokes.push([...store.now]);
    this.from = null;
  }
  undo() {
    const store = this.stores[this.dims];
    if (store.strokes.length) store.now = store.strokes.pop();
    this.changed();
  }
  clear() {
    this.begin();
    this.stores[this.dims].now = [];
    this.changed();
  }
  /** A touch of the pointer or the key at (x, y) of the picture's own units; on the line y is a share of the height. */
  touch(x, y) {
    if (this.dims === 1) this.raise(x, y);
    else this.drop(x, y);
    this.changed();
  }
  drop(x, y) {
    const near = this.from && Math.hypot(this.from[0] - x, this.from[1] - y) < GAP;
    if (near || this.marks.length >= MOST_POINTS || Math.max(Math.abs(x), Math.abs(y)) > REACH) return;
    this.from = [x, y];
    this.marks.push([x, y]);
  }
  /** Sets the bins between the last touch and this one to the heights of the stroke. */
  raise(x, y) {
    const place = (at) => clamp(Math.floor(((at + REACH) / (2 * REACH)) * BINS), 0, BINS - 1);
    const level = clamp(Math.round(y * LEVELS), 0, LEVELS),
      [x0, y0] = this.from ?? [x, level],
      [a, b] = [place(x0), place(x)];
    const counts = (this.stores[1].now = Array.from({ length: BINS }, (_, bin) => this.marks[bin] ?? 0));
    for (let bin = Math.min(a, b); bin <= Math.max(a, b); bin += 1) {
      counts[bin] = Math.round(a === b ? level : y0 + ((level - y0) * (bin - a)) / (b - a));
    }
    this.from = [x, level];
  }
  /** A key of the picture: true when it meant something. */
  key(event) {
    const wide = this.dims === 1 ? (2 * REACH) / BINS : event.shiftKey ? 0.5 : 0.1;
    const step = { ArrowLeft: [-wide, 0], ArrowRight: [wide, 0], ArrowUp: [0, wide], ArrowDown: [0, -wide] }[event.key];
    if (step) this.cursor = this.cursor.map((value, axis) => clamp(value + step[axis], -REACH + 0.01, REACH - 0.01));
    else if (event.key === "Enter") this.enter();
    else if (event.key === "Backspace" || event.key === "Delete") this.undo();
    else return false;
    return true;
  }
  enter() {
    const [x, y] = this.cursor;
    this.begin();
    if (this.dims === 2) return this.touch(x, y);
    const bin = clamp(Math.floor(((x + REACH) / (2 * REACH)) * BINS), 0, BINS - 1);
    return this.touch(x, ((this.marks[bin] ?? 0) + 1) / LEVELS);
  }
  where() {
    const [x, y] = this.cursor;
    return this.dims === 1 ? `cursor at ${show(x)}` : `cursor at (${show(x)}, ${show(y)})`;
  }
  // --- the painter of the stage
  layers() {
    return [];
  }
  height(width) {
    return this.dims === 2 ? Math.min(width, 540) : clamp(width * 0.55, 260, 420);
  }
  box(width, height) {
    const side = this.dims === 2 ? Math.min(width, height) : width,
      left = (width - side) / 2,
      low = height - 34;
    const x = (value) => left + side / 2 + (value / REACH) * (side / 2 - 8);
    return {
      left,
      side,
      low,
      x,
      y: (value) => (this.dims === 2 ? height / 2 - (value / REACH) * (height / 2 - 8) : low - value * (low - 24)),
      undo: (px, py) => [
        ((px - left - side / 2) / (side / 2 - 8)) * REACH,
        this.dims === 2 ? ((height / 2 - py) / (height / 2 - 8)) * REACH : (low - py) / (low - 24),
      ],
    };
  }
  paint(context, width, height, frame, view, focus, focused) {
    const box = this.box(width, height);
    Object.assign(context, { strokeStyle: palette.grid, lineWidth: 1, fillStyle: palette.paper });
    context.fillRect(box.left, 0, box.side, height);
    for (const value of ticks(-REACH, REACH, 6)) {
      trace(
        context,
        this.dims === 2
          ? [
              [box.x(value), box.y(-REACH)],
              [box.x(value), box.y(REACH)],
            ]
          : [
              [box.x(value), box.low],
              [box.x(value), box.low + 5],
            ],
      );
      context.stroke();
      if (this.dims === 1) write(context, mark(value), box.x(value), box.low + 20, "center");
      else {
        trace(context, [
          [box.x(-REACH), box.y(value)],
          [box.x(REACH), box.y(value)],
        ]);
        context.stroke();
      }
    }
    if (this.dims === 1) this.curve(context, box);
    else this.dots(context, box);
    if (!this.marks.some(Boolean))
      write(
        context,
        this.dims === 1 ? "Paint a curve here" : "Paint points here",
        box.left + box.side / 2,
        height / 2,
        "center",
      );
    if (focused) this.cross(context, box);
    return false;
  }
  dots(context, box) {
    Object.assign(context, { fillStyle: palette.real, strokeStyle: palette.card });
    for (const [x, y] of this.marks) {
      context.beginPath();
      context.arc(box.x(x), box.y(y), 4.5, 0, 7);
      context.fill();
      context.stroke();
    }
  }
  /** The density that will be learnt: normals of deviation 0.1 at the points, whose own places are ticks below. */
  curve(context, box) {
    const points = this.points,
      full = (LEVELS * BINS) / (2 * REACH),
      scale = 1 / (SPREAD * Math.sqrt(2 * Math.PI) * full);
    const height = (x) => scale * points.reduce((sum, [at]) => sum + Math.exp(-0.5 * ((x - at) / SPREAD) ** 2), 0);
    const path = Array.from({ length: 181 }, (_, index) => -REACH + (index * REACH) / 90).map((x) => [
      box.x(x),
      box.y(height(x)),
    ]);
    trace(context, [[box.x(-REACH), box.low], ...path, [box.x(REACH), box.low]]);
    Object.assign(context, { fillStyle: palette.real, strokeStyle: palette.real, globalAlpha: 0.14 });
    context.fill();
    Object.assign(context, { globalAlpha: 1, lineWidth: 2.6, lineCap: "round" });
    context.setLineDash([0.1, 5.5]);
    trace(context, path);
    context.stroke();
    context.setLineDash([]);
    Object.assign(context, { lineWidth: 1, lineCap: "butt", strokeStyle: palette.muted });
    context.beginPath();
    for (const [x] of points) {
      context.moveTo(box.x(x), box.low);
      context.lineTo(box.x(x), box.low - 7);
    }
    context.moveTo(box.x(-REACH), box.low);
    context.lineTo(box.x(REACH), box.low);
    context.stroke();
  }
  cross(context, box) {
    const [x, y] = [box.x(this.cursor[0]), this.dims === 2 ? box.y(this.cursor[1]) : box.low];
    Object.assign(context, { strokeStyle: palette.ink, lineWidth: 1.6 });
    context.beginPath();
    context.moveTo(x - 9, y);
    context.lineTo(x + 9, y);
    context.moveTo(x, y - 9);
    context.lineTo(x, y + 9);
    context.stroke();
  }
  pick() {
    return null;
  }
  describe() {
    return `Drawing area, ${this.points.length} points of at most ${MOST_POINTS}. ${this.where()}. Enter adds a point.`;
  }
}
