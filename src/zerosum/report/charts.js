"use strict";
// The namespace is taken from the page itself, so that this file holds no web address.
const SPACE = document.querySelector("svg.logo").namespaceURI;

function draw(tag, attributes, parent) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (parent) parent.append(node);
  return node;
}

function write(parent, tag, text, kind) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  parent.append(node);
  return node;
}

function show(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toPrecision(3).replace(/\.?0+$/, "") + " M";
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size > 0 && size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) {
    found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  }
  return found;
}

function logTicks(low, high) {
  const found = [];
  const narrow = high / low < 100;
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of narrow ? [1, 2, 5] : [1]) found.push(factor * 10 ** power);
  }
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

// The range shows every mean and reference line; bands are shown to their 98th percentile, so one spike cannot flatten all.
function valueRange(chart) {
  if (chart.bounds) return chart.bounds;
  const points = chart.curves.flatMap((curve) => curve.points).filter((point) => !chart.log || point[2] > 0);
  if (!points.length) return chart.log ? [0.1, 10] : [0, 1];
  const lows = points.map((point) => point[2]).sort((a, b) => a - b);
  const highs = points.map((point) => point[3]).sort((a, b) => a - b);
  const cut = Math.floor(points.length * 0.02);
  const means = points.map((point) => point[1]).concat(chart.references.map((line) => line.value));
  let low = means.reduce((a, b) => Math.min(a, b), lows[cut]);
  let high = means.reduce((a, b) => Math.max(a, b), highs[highs.length - 1 - cut]);
  if (chart.log) return [Math.max(low, lows[0]) / 1.15, high * 1.15];
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  if (low >= 0 && low < (high - low) * 0.4) return [0, high + pad];
  return [low - pad, high + pad];
}

function frame(chart, width, height, steps) {
  const [low, high] = valueRange(chart);
  const left = 46, right = width - 10, top = 10, bottom = height - 22;
  const turn = chart.log ? Math.log10 : (value) => value;
  const [from, to] = [turn(low), turn(high)];
  const span = steps[1] - steps[0] || 1;
  return {
    low, high, left, right, top, bottom,
    x: (step) => left + ((step - steps[0]) / span) * (right - left),
    y: (value) => bottom - ((turn(value) - from) / (to - from)) * (bottom - top),
    step: (x) => steps[0] + ((x - left) / (right - left)) * span,
  };
}

function axes(svg, box, values, steps) {
  for (const value of values) {
    draw("line", { class: "gridline", x1: box.left, x2: box.right, y1: box.y(value), y2: box.y(value) }, svg);
    draw("text", { x: box.left - 7, y: box.y(value) + 4, "text-anchor": "end" }, svg).textContent = show(value);
  }
  draw("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }, svg);
  draw("text", { x: box.left - 7, y: box.bottom + 16, "text-anchor": "end" }, svg).textContent = "step";
  const count = Math.max(2, Math.floor((box.right - box.left) / 110));
  for (const step of ticks(steps[0], steps[1], count)) {
    const x = box.x(step);
    const anchor = x > box.right - 18 ? "end" : x < box.left + 14 ? "start" : "middle";
    draw("text", { x, y: box.bottom + 16, "text-anchor": anchor }, svg).textContent = show(step);
  }
}

// Reference lines, each labelled at the least crowded of six places: left, middle or right, above or below its line.
function references(svg, box, chart) {
  const marks = chart.curves.flatMap((curve) => curve.points.map((point) => [box.x(point[0]), box.y(point[1])]));
  for (const line of chart.references) {
    const y = box.y(line.value), wide = line.label.length * 5.8 + 8;
    draw("line", { class: "reference", x1: box.left, x2: box.right, y1: y, y2: y }, svg);
    const places = [box.right - wide, box.left + 4, (box.left + box.right - wide) / 2].flatMap((x) => [[x, y - 5], [x, y + 13]]);
    const crowd = ([x, base]) => {
      const outside = base - 9 < box.top || base + 2 > box.bottom ? 1e6 : 0;
      return outside + marks.filter(([a, b]) => a > x - 3 && a < x + wide && b > base - 12 && b < base + 5).length;
    };
    const [x, base] = places.reduce((best, place) => (crowd(place) < crowd(best) ? place : best));
    for (let at = x; at < x + wide; at += 4) for (let i = 0; i < 20; i += 1) marks.push([at, base - 4]);
    draw("text", { class: "reflabel", x: x + 4, y: base }, svg).textContent = line.label;
  }
}

function trace(svg, box, chart, clip) {
  const kept = (value) => !chart.log || value > 0;
  chart.curves.forEach((curve, index) => {
    const points = curve.points.filter((point) => kept(point[2]));
    const at = (column) => points.map((point) => `${box.x(point[0]).toFixed(1)},${box.y(point[column]).toFixed(1)}`);
    const group = draw("g", { class: `s-${curve.role}`, "clip-path": `url(#${clip})` }, svg);
    if (points.some((point) => point[2] !== point[3])) {
      draw("path", { class: "band", d: `M${at(3).join("L")}L${at(2).reverse().join("L")}Z` }, group);
    }
    if (points.length === 1) {
      draw("circle", { class: "cell", cx: box.x(points[0][0]), cy: box.y(points[0][1]), r: 3 }, group);
    } else if (points.length) {
      draw("path", { class: index ? "curve second" : "curve", d: `M${at(1).join("L")}` }, group);
    }
  });
}

function nearest(points, step) {
  let best = points[0];
  for (const point of points) if (Math.abs(point[0] - step) <= Math.abs(best[0] - step)) best = point;
  return best;
}

function reading(point) {
  const range = point[2] !== point[3] ? ` (${show(point[2])} to ${show(point[3])})` : "";
  return show(point[1]) + range;
}

function swatch(parent, role, dashed) {
  const svg = draw("svg", { viewBox: "0 0 20 8", "aria-hidden": "true", class: `s-${role}` }, parent);
  draw("line", { class: dashed ? "curve second" : "curve", x1: 0, x2: 20, y1: 4, y2: 4 }, svg);
}

let clips = 0;

// A chart in its figure. Returns { draw, mark }: redraw for the present width, and mark the step of the samples shown.
function lineChart(figure, chart) {
  const plot = figure.querySelector(".plot"), legend = figure.querySelector(".legend");
  const every = [...new Set(chart.curves.flatMap((curve) => curve.points.map((point) => point[0])))].sort((a, b) => a - b);
  if (!every.length) {
    write(plot, "p", "No finite value was logged.", "empty");
    return { draw() {}, mark() {} };
  }
  const steps = [every[0], every[every.length - 1]];
  const clip = `clip${(clips += 1)}`;
  let svg, box, hair, marker, marked = null, index = null;

  function read() {
    legend.replaceChildren();
    const step = every[index ?? every.length - 1];
    const spoken = chart.curves.map((curve, order) => {
      const value = reading(nearest(curve.points, step));
      const item = write(legend, "span", "");
      swatch(item, curve.role, order > 0);
      write(item, "span", `${curve.label} ${value}`);
      return `${curve.label} ${value}`;
    });
    write(legend, "span", `${index === null ? "last, step" : "step"} ${step.toLocaleString("en")}`, "at");
    svg.setAttribute("aria-valuenow", step);
    svg.setAttribute("aria-valuetext", `step ${step}: ${spoken.join(", ")}`);
  }
  function place(line, step) {
    line.setAttribute("visibility", step === null ? "hidden" : "visible");
    if (step !== null) for (const end of ["x1", "x2"]) line.setAttribute(end, box.x(step));
  }
  function move(to) {
    index = to === null ? null : Math.max(0, Math.min(every.length - 1, to));
    place(hair, index === null ? null : every[index]);
    read();
  }
  function closest(event) {
    const scale = plot.clientWidth / svg.getBoundingClientRect().width;
    const step = box.step((event.clientX - svg.getBoundingClientRect().left) * scale);
    const after = every.findIndex((one) => one >= step);
    if (after <= 0) return after < 0 ? every.length - 1 : 0;
    return every[after] - step < step - every[after - 1] ? after : after - 1;
  }
  function keys(event) {
    const jump = { ArrowLeft: -1, ArrowRight: 1, PageUp: 20, PageDown: -20, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === "Escape") return move(null);
    if (jump === undefined) return undefined;
    event.preventDefault();
    return move((index ?? every.length - 1) + jump);
  }
  function redraw() {
    const width = Math.max(220, plot.clientWidth), height = 210;
    box = frame(chart, width, height, steps);
    const focused = svg && document.activeElement === svg;
    svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, tabindex: 0, role: "slider", "aria-label": chart.title,
      "aria-valuemin": steps[0], "aria-valuemax": steps[1] });
    const shape = draw("clipPath", { id: clip }, svg);
    draw("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }, shape);
    axes(svg, box, chart.log ? logTicks(box.low, box.high) : ticks(box.low, box.high, 4), steps);
    trace(svg, box, chart, clip);
    references(svg, box, chart);
    marker = draw("line", { class: "mark", y1: box.top, y2: box.bottom }, svg);
    hair = draw("line", { class: "hair", y1: box.top, y2: box.bottom }, svg);
    svg.addEventListener("pointermove", (event) => move(closest(event)));
    svg.addEventListener("pointerleave", () => move(null));
    svg.addEventListener("keydown", keys);
    plot.replaceChildren(svg);
    place(marker, marked);
    move(index);
    if (focused) svg.focus();
  }
  function mark(step) {
    marked = step < steps[0] || step > steps[1] ? null : step;
    place(marker, marked);
  }
  return { draw: redraw, mark };
}
