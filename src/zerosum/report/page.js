const NARROW = 4; // columns and rows of a grid that a narrow screen shows
const DATA = JSON.parse(document.getElementById("report-data").textContent);
const GROUPS = { train: "training reals", heldout: "held-out reals", fake: "fakes" };

// Share of samples that D calls real (probability above 1/2); a bin across 1/2 counts in proportion.
function calledReal(shares, edges) {
  return shares.reduce((sum, share, bin) => {
    const [low, high] = [edges[bin], edges[bin + 1]];
    return sum + share * Math.max(0, Math.min(1, (high - 0.5) / (high - low)));
  }, 0);
}

function scoreAt(step) {
  const before = DATA.scores.filter((row) => row.step <= step);
  return before.length ? before[before.length - 1] : DATA.scores[0];
}

// Histograms of D's scores at one step, all groups in one frame.
function beliefPlot(figure) {
  const plot = figure.querySelector(".plot"), legend = figure.querySelector(".legend");
  const names = Object.keys(GROUPS).filter((name) => DATA.scores.some((row) => row[name]));
  const peaks = DATA.scores.map((row) => Math.max(...names.flatMap((name) => row[name] ?? []))).sort((a, b) => a - b);
  const peak = peaks[Math.floor((peaks.length - 1) * 0.9)] * 1.1 || 1;
  let shown = null;
  figure.hidden = false;

  function outline(box, shares, edges) {
    const path = [`M${box.x(edges[0])},${box.bottom}`];
    shares.forEach((share, bin) => {
      const y = Math.max(box.top, box.y(share)).toFixed(1);
      path.push(`L${box.x(edges[bin]).toFixed(1)},${y}L${box.x(edges[bin + 1]).toFixed(1)},${y}`);
    });
    return `${path.join("")}L${box.x(edges[edges.length - 1])},${box.bottom}Z`;
  }
  function describe(row) {
    legend.replaceChildren();
    const words = names.filter((name) => row[name]).map((name) => {
      const share = `${Math.round(calledReal(row[name], row.edges) * 100)}% of ${GROUPS[name]} called real`;
      const item = write(legend, "span", "");
      swatch(item, name, name === "heldout");
      write(item, "span", share);
      return share;
    });
    write(legend, "span", `measured at step ${row.step.toLocaleString("en")}`, "at");
    return words.join(", ");
  }
  function redraw() {
    if (!shown) return;
    const edges = shown.edges, width = Math.max(220, plot.clientWidth), height = Math.max(190, Math.min(280, width * 0.72));
    const box = frame({ bounds: [0, peak] }, width, height, [edges[0], edges[edges.length - 1]]);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
    for (const value of ticks(0, peak, 3)) {
      draw("line", { class: "gridline", x1: box.left, x2: box.right, y1: box.y(value), y2: box.y(value) }, svg);
      const label = draw("text", { x: box.left - 7, y: box.y(value) + 4, "text-anchor": "end" }, svg);
      label.textContent = `${Math.round(value * 100)}%`;
    }
    for (const name of names.filter((one) => shown[one])) {
      const dashed = name === "heldout" ? " second" : "";
      draw("path", { class: `area s-${name}${dashed}`, d: outline(box, shown[name], edges) }, svg);
    }
    draw("line", { class: "reference", x1: box.x(0.5), x2: box.x(0.5), y1: box.top, y2: box.bottom }, svg);
    const words = [[0, "0 fake", "start"], [0.5, "1/2", "middle"], [1, "1 real", "end"]];
    for (const [at, label, anchor] of words) {
      draw("text", { x: box.x(at), y: box.bottom + 16, "text-anchor": anchor }, svg).textContent = label;
    }
    svg.setAttribute("aria-label", `D's scores at step ${shown.step}: ${describe(shown)}`);
    plot.replaceChildren(svg);
  }
  return { draw: redraw, mark(step) { shown = scoreAt(step); redraw(); } };
}

// One group's scores over the whole run: a column a step, darker where more samples lie.
function heatMap(figure) {
  const name = figure.dataset.group, plot = figure.querySelector(".plot");
  const rows = DATA.scores.filter((row) => row[name]);
  const end = DATA.scores[DATA.scores.length - 1].step, start = DATA.scores[0].step;
  const gap = rows.length > 1 ? (end - start) / (DATA.scores.length - 1) : 1;
  const peak = Math.max(...rows.flatMap((row) => row[name]));
  const steps = [start, end + gap];
  let box, marker, marked = null;

  function mark(step) {
    marked = step;
    const inside = marker && step >= steps[0] && step <= steps[1];
    if (!marker) return;
    marker.setAttribute("visibility", inside ? "visible" : "hidden");
    if (inside) for (const side of ["x1", "x2"]) marker.setAttribute(side, box.x(step));
  }
  function columns(svg) {
    const group = draw("g", { class: `s-${name}`, "shape-rendering": "crispEdges" }, svg);
    rows.forEach((row, index) => {
      const x = box.x(row.step), wide = box.x(rows[index + 1]?.step ?? row.step + gap) - x;
      row[name].forEach((share, bin) => {
        if (!share) return;
        const [low, high] = [box.y(row.edges[bin]), box.y(row.edges[bin + 1])];
        const strength = Math.sqrt(share / peak).toFixed(3);
        const cell = draw("rect", { class: "cell", x, y: high, width: wide, height: low - high, opacity: strength }, group);
        const range = `${show(row.edges[bin])} to ${show(row.edges[bin + 1])}`;
        draw("title", {}, cell).textContent = `step ${row.step}: ${show(share * 100)}% score ${range}`;
      });
    });
  }
  function redraw() {
    const width = Math.max(200, plot.clientWidth), height = 180;
    box = frame({ bounds: [0, 1] }, width, height, steps);
    const first = show(calledReal(rows[0][name], rows[0].edges) * 100);
    const last = show(calledReal(rows[rows.length - 1][name], rows[rows.length - 1].edges) * 100);
    const label = `D's scores of ${GROUPS[name]} over time: ${first}% called real at step ${rows[0].step}, ` +
      `${last}% at step ${rows[rows.length - 1].step}`;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
    columns(svg);
    axes(svg, box, [0, 0.5, 1], steps);
    marker = draw("line", { class: "mark", y1: box.top, y2: box.bottom }, svg);
    plot.replaceChildren(svg);
    if (marked !== null) mark(marked);
  }
  return { draw: redraw, mark };
}

const parts = [];
const put = (kind, make) => document.querySelectorAll(kind).forEach((node) => parts.push({ node, ...make(node) }));
put(".chart", (node) => lineChart(node, DATA.charts[Number(node.dataset.chart)]));
put(".belief", beliefPlot);
put(".heat", heatMap);
parts.forEach((part) => part.draw());
// What is folded has no width until it opens.
document.addEventListener("toggle", (event) => {
  if (event.target.open) parts.filter((part) => event.target.contains(part.node)).forEach((part) => part.draw());
}, true);

const times = DATA.frames.length ? DATA.frames : DATA.scores;
const slider = document.getElementById("slider"), play = document.getElementById("play");
const picture = document.getElementById("fake"), medium = document.getElementById("fake-element"), when = document.getElementById("when");

const sound = document.getElementById("fake-sound"), heard = document.getElementById("fake-heard");

const newest = DATA.frames[DATA.frames.length - 1];
if (newest && picture) newest.src = picture.src;
if (sound) DATA.frames.findLast((one) => "sound" in one).sound = sound.src;

// Plays the newest sound up to the step shown; the first one before that.
function hear(step) {
  const all = DATA.frames.filter((one) => one.sound);
  const at = all.findLast((one) => one.step <= step) ?? all[0];
  if (sound.src !== at.sound) sound.src = at.sound;
  const count = at.step.toLocaleString("en");
  sound.setAttribute("aria-label", `Sound: generated samples at step ${count}`);
  heard.textContent = `The first of these samples${at.step === step ? "" : ` at step ${count}`}, one after another.`;
}

function seek(index) {
  const at = times[index], step = at.step.toLocaleString("en");
  const samples = at.samples ? ` · ${at.samples.toLocaleString("en")} samples seen` : "";
  parts.forEach((part) => part.mark(at.step));
  if (picture && at.src) {
    picture.src = at.src;
    picture.alt = `Generated samples at step ${step}`;
  }
  if (sound) hear(at.step);
  if (medium && at.html && medium.innerHTML !== at.html) medium.innerHTML = at.html;
  follow();
  if (!slider) return;
  slider.value = index;
  slider.setAttribute("aria-valuetext", `step ${step}${samples}`);
  when.textContent = `step ${step}${samples}`;
}

// Pictures: a click or the key E enlarges one; the arrow keys then move through the run; Escape or a click closes it.
const large = write(document.body, "dialog", ""), sheet = write(large, "div", "", "sheet"), bar = write(large, "div", "", "bar");
const largest = write(sheet, "img", ""), told = write(bar, "span", "");
large.setAttribute("aria-label", "Enlarged samples");
write(bar, "button", "Close").type = "button";
let enlarged = null;

function follow() {
  if (!enlarged) return;
  largest.src = enlarged.src;
  largest.alt = enlarged.alt;
  const keys = enlarged === picture && times.length > 1 ? ". Arrow keys: earlier and later. Escape: close." : ". Escape: close.";
  told.textContent = enlarged.alt + keys;
}

function enlarge(image) {
  enlarged = image;
  const columns = Number(image.closest("button").dataset.columns ?? 1);
  largest.className = image.className;
  largest.style.setProperty("--ratio", image.getAttribute("width") / image.getAttribute("height"));
  largest.style.setProperty("--least", `${Math.max(320, columns * 64)}px`);
  follow();
  large.showModal();
}

document.querySelectorAll("button.enlarge").forEach((button) => {
  const image = button.querySelector("img"), { columns, rows } = button.dataset;
  button.addEventListener("click", () => enlarge(image));
  if (!columns) return;
  const [wide, tall] = [Math.min(columns, NARROW), Math.min(rows, NARROW)];
  const tile = (image.getAttribute("width") / columns) / (image.getAttribute("height") / rows);
  button.style.setProperty("--enlarge", columns / wide);
  button.style.setProperty("--cut", tile * wide / tall);
});
large.addEventListener("click", () => large.close());
large.addEventListener("close", () => { if (!large.open) enlarged = null; });
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "e" || event.altKey || event.ctrlKey || event.metaKey || !picture) return;
  if (!large.open) enlarge(document.activeElement?.querySelector?.(":scope > img") ?? picture);
});

// Folded parts open for whoever follows a link into them, and for print.
function unfold(address) {
  const part = address.length > 1 && document.getElementById(decodeURIComponent(address.slice(1)));
  if (part && part.tagName === "DETAILS") part.open = true;
}
window.addEventListener("hashchange", () => unfold(window.location.hash));
unfold(window.location.hash);
document.querySelectorAll("a[href^='#measures-']").forEach((link) => link.addEventListener("click", () => unfold(link.hash)));
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.question:not([open]), details.more:not([open])")];
  folded.forEach((part) => { part.open = true; });
  parts.forEach((part) => part.draw());
});
window.addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));

function player() {
  const pause_ms = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 180;
  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }
  function forward() {
    if (Number(slider.value) >= times.length - 1) return stop();
    return seek(Number(slider.value) + 1);
  }
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) >= times.length - 1) seek(0);
    play.textContent = "Pause";
    timer = setInterval(forward, pause_ms);
    return undefined;
  });
  slider.addEventListener("input", () => { stop(); seek(Number(slider.value)); });
  document.addEventListener("keydown", (event) => {
    const jump = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const free = event.target === document.body || event.target.closest("main, dialog") && !event.target.closest("svg, input, summary, audio, video");
    if (!jump || !free || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    stop();
    seek(Math.max(0, Math.min(times.length - 1, Number(slider.value) + jump)));
  });
}

if (times.length) seek(times.length - 1);
if (slider) player();
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  parts.forEach((part) => part.draw());
});

// Clips: each row of a picture is one, its columns are the frames. They play unless less motion is asked for.
document.querySelectorAll("canvas.film").forEach((canvas) => {
  const picture = document.getElementById(canvas.dataset.picture), button = canvas.nextElementSibling;
  const [columns, rows, rate] = ["frames", "clips", "rate"].map((name) => Number(canvas.dataset[name]));
  const across = Math.ceil(Math.sqrt(rows)), down = Math.ceil(rows / across);
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches, begun = null, shown = 0;

  function paint() {
    const width = picture.naturalWidth / columns, height = picture.naturalHeight / rows;
    if (!width) return;
    if (canvas.width !== Math.round(across * width) || canvas.height !== Math.round(down * height)) {
      [canvas.width, canvas.height] = [Math.round(across * width), Math.round(down * height)];
    }
    const brush = canvas.getContext("2d");
    for (let row = 0; row < rows; row += 1) {
      const [x, y] = [(row % across) * width, Math.floor(row / across) * height];
      brush.drawImage(picture, shown * width, row * height, width, height, x, y, width, height);
    }
    canvas.dataset.frame = shown;
  }
  function tick(now) {
    if (!playing) return;
    begun ??= now - (shown * 1000) / rate;
    shown = Math.floor(((now - begun) * rate) / 1000) % columns;
    paint();
    requestAnimationFrame(tick);
  }
  function set(value) {
    playing = value;
    begun = null;
    button.textContent = playing ? "Pause" : "Play";
    if (playing) requestAnimationFrame(tick); else paint();
  }
  button.addEventListener("click", () => set(!playing));
  picture.addEventListener("load", paint);
  set(playing);
});
