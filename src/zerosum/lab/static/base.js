"use strict";
// Small tools that every part of the page uses: elements, figures in words, colours, a crisp canvas.

const $ = (id) => document.getElementById(id);
const LOG4 = Math.log(4);
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/** An element with attributes (booleans switch them) and children. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Sets text only where it changed, so that screen readers and layout are left in peace. */
function tell(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A number for reading, with as many decimals every time, so that columns stand still. */
function show(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 1e-9) return "0"; // rounding of sums that cancel
  let text;
  if (size >= 1e7 || size < 5e-4) text = value.toExponential(1);
  else if (size >= 1000) text = Math.round(value).toLocaleString("en");
  else if (Number.isInteger(value)) text = String(value);
  else text = value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3);
  return text.replace("-", "−");
}

/** A number on an axis: no more digits than it needs. */
const mark = (value) => String(Number(value.toPrecision(6))).replace("-", "−");
const percent = (share) => `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
const words = (name) => name.replaceAll("_", " ");
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** At most `count` round numbers from low to high. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1)
    found.push(Number((at * step).toPrecision(12)));
  return found;
}

const INKS = [
  "paper",
  "card",
  "ink",
  "muted",
  "line",
  "grid",
  "real",
  "fake",
  "discriminator",
  "generator",
  "other1",
  "other2",
  "alarm",
];
/** The style sheet's colours, as the canvas needs them; read again when the theme changes. */
const palette = {
  read() {
    const probe = make("i", { hidden: true });
    document.body.append(probe);
    for (const name of INKS) {
      probe.style.color = `var(--${name})`;
      this[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  },
  /** [red, green, blue] of a colour. */
  parts(name) {
    return this[name]
      .match(/[\d.]+/g)
      .slice(0, 3)
      .map(Number);
  },
};

/** A canvas as fine as the screen. `paint(context, width, height)` draws in CSS pixels; heightOf(width) is its height. */
class Board {
  constructor(canvas, heightOf, paint) {
    Object.assign(this, { canvas, heightOf, paint, drawn: 0, wanted: false, last: 0 });
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.want()).observe(canvas.parentElement);
  }
  /** Draws at the next frame of the screen; `rest` is the least time since the last drawing, in milliseconds. */
  want(rest = 0) {
    this.rest = rest;
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame((now) => this.tick(now));
  }
  tick(now) {
    if (now - this.last < this.rest) {
      requestAnimationFrame((later) => this.tick(later));
      return;
    }
    this.wanted = false;
    this.last = now;
    this.draw();
  }
  draw() {
    const width = this.canvas.parentElement.clientWidth;
    if (!width) return;
    const height = Math.round(this.heightOf(width)),
      ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    this.paint(context, width, height);
    this.drawn += 1;
  }
}

/** A path through [x, y] points of the canvas. */
function trace(context, points) {
  context.beginPath();
  points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
}

/** Strokes an arrow; its head is at most `head` pixels. */
function arrow(context, x0, y0, x1, y1, head = 5) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length < 0.5) return;
  const size = Math.min(head, length * 0.6),
    ux = (x1 - x0) / length,
    uy = (y1 - y0) / length;
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.moveTo(x1 - size * (ux + uy * 0.6), y1 - size * (uy - ux * 0.6));
  context.lineTo(x1, y1);
  context.lineTo(x1 - size * (ux - uy * 0.6), y1 - size * (uy + ux * 0.6));
}

function write(context, text, x, y, align = "left", colour = palette.muted) {
  context.textAlign = align;
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
