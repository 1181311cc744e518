"use strict";
// The picture of the game: which painter draws it, its legend of switches, what the pointer or the cursor reads.

const SAMPLES = {
  solid: "M1 7H23",
  dotted: "M2 7H23",
  dashed: "M1 7H23",
  thin: "M1 7H23",
  arrow: "M3 12L20 3M13 3H20V9",
  dot: "M12 3.5a3.5 3.5 0 1 0 .01 0z",
  diamond: "M12 2.5L16.5 7 12 11.5 7.5 7z",
  ring: "M12 2a5 5 0 1 0 .01 0z",
  grid: "M4 2V12M12 2V12M20 2V12M2 4H22M2 10H22",
  heat: "M1 2H12V12H1z|M12 2H23V12H12z",
};
const SPACE = document.querySelector("svg.logo").namespaceURI;

/** A node of a drawing. The name space is taken from the page, so that this file holds no web address. */
function drawn(tag, attributes) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

class Stage {
  constructor(view, changed) {
    Object.assign(this, { view, changed, frame: null, focus: null, cursor: null, drawing: false, spoken: 0, kinds: "" });
    this.line = new LinePainter();
    this.plane = new PlanePainter();
    this.dirac = new DiracPainter();
    this.sketch = new Drawing();
    this.root = $("board");
    this.canvas = $("canvas");
    this.board = new Board(
      this.canvas,
      (width) => this.height(width),
      (...size) => this.paint(...size),
    );
    this.pointing();
    this.root.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["focus", "blur"]) this.root.addEventListener(kind, () => this.settle());
  }
  get painter() {
    if (this.drawing) return this.sketch;
    if (!this.frame) return null;
    return this.frame.mode === "dirac" ? this.dirac : this.frame.dims === 1 ? this.line : this.plane;
  }
  /** Of the picture; lower while something else needs room. */
  height(width) {
    const full = this.painter?.height(width) ?? 360;
    return this.low && width > 560 ? Math.min(full, 400) : full;
  }
  lower(low) {
    this.low = low;
    this.want();
  }
  show(frame) {
    this.frame = frame;
    this.want();
  }
  want() {
    this.board.want(CALM.matches && this.frame?.playing ? 250 : 0);
  }
  /** Only these layers in full strength; null for all. */
  highlight(layers) {
    this.focus = layers && new Set(layers);
    this.want();
  }
  paint(context, width, height) {
    const painter = this.painter;
    if (!painter) return;
    this.size = [width, height];
    const focused = document.activeElement === this.root;
    const moving = painter.paint(context, width, height, this.frame, this.view, this.focus, focused);
    this.probe(context, painter);
    this.legend(painter);
    this.alternative(painter);
    this.canvas.dataset.drawn = this.board.drawn + 1;
    if (moving) this.want();
  }
  // --- legend
  legend(painter) {
    const layers = painter.layers(this.frame),
      kinds = JSON.stringify([layers, [...this.view.hide], this.view.best, this.view.probability]);
    if (kinds === this.kinds) return;
    this.kinds = kinds;
    const held = document.activeElement?.dataset?.layer;
    $("layers").replaceChildren(...layers.map((layer) => this.toggle(layer)), ...this.switches(layers));
    if (held) $("layers").querySelector(`[data-layer="${held}"]`)?.focus();
  }
  toggle({ key, label, role, sample }) {
    const svg = drawn("svg", { viewBox: "0 0 24 14", "aria-hidden": "true", class: `sample s-${role} ${sample}` });
    for (const shape of SAMPLES[sample].split("|")) svg.append(drawn("path", { d: shape }));
    const button = make(
      "button",
      { type: "button", class: "layer", "data-layer": key, "aria-pressed": String(!this.view.hide.has(key)) },
      svg,
      label,
    );
    button.addEventListener("click", () => {
      if (!this.view.hide.delete(key)) this.view.hide.add(key);
      this.settle();
      this.changed();
    });
    return button;
  }
  /** Which D the heat shows and whose gradient the arrows are. */
  switches(layers) {
    const has = (key) => layers.some((layer) => layer.key === key);
    const either = (name, label, options) => {
      const select = make(
        "select",
        { "data-layer": name, "aria-label": label },
        ...options.map(([text, on]) => make("option", { selected: this.view[name] === on }, text)),
      );
      select.addEventListener("change", () => {
        this.view[name] = select.selectedIndex === 1;
        this.settle();
        this.changed();
      });
      return select;
    };
    if (this.frame?.dims !== 2) return [];
    const heat = this.frame.heat.d_star
      ? [
          either("best", "What the colours show", [
            ["colours: D", false],
            ["colours: best D*", true],
          ]),
        ]
      : [];
    const push = has("arrows")
      ? [
          either("probability", "What the arrows show", [
            ["arrows: of G's loss", false],
            ["arrows: of D's probability", true],
          ]),
        ]
      : [];
    return [...heat, ...push];
  }
  settle() {
    this.kinds = "";
    this.want();
  }
  // --- reading values
  pointing() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (!this.drawing) return;
      event.preventDefault();
      this.canvas.setPointerCapture(event.pointerId);
      this.sketch.begin();
      this.stroke = event.pointerId;
      this.touch(at(event));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.drawing && this.stroke === event.pointerId)
        for (const one of event.getCoalescedEvents?.() ?? [event]) this.touch(at(one));
      else if (!this.drawing) this.look(at(event));
    });
    for (const kind of ["pointerup", "pointercancel"]) this.canvas.addEventListener(kind, () => (this.stroke = null));
    this.canvas.addEventListener("pointerleave", () => this.look(null));
  }
  touch(place) {
    this.sketch.touch(...this.sketch.box(...this.size).undo(...place));
    this.want();
  }
  look(place) {
    this.cursor = place;
    this.want();
  }
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.drawing ? this.sketch.key(event) : this.walk(event)) {
      event.preventDefault();
      event.stopPropagation();
      this.aloud = true;
      this.want();
    }
  }
  walk(event) {
    const step = event.shiftKey ? 40 : 8;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!move || !this.size) return false;
    const [x, y] = this.cursor ?? [this.size[0] / 2, this.size[1] / 3];
    this.cursor = [clamp(x + move[0], 0, this.size[0]), clamp(y + move[1], 0, this.size[1])];
    return true;
  }
  /** Marks the place read and writes its values beside it. */
  probe(context, painter) {
    const [width, height] = this.size,
      tip = $("tip");
    const found = this.cursor && painter.pick(this.frame, ...this.cursor, width, height);
    tip.hidden = !found;
    if (this.aloud)
      tell(
        $("live"),
        this.drawing
          ? `${painter.where()}, ${painter.points.length} points`
          : found
            ? found.lines.join(", ")
            : "nothing here",
      );
    this.aloud = false;
    if (!found) return;
    Object.assign(context, { strokeStyle: palette.ink, lineWidth: 1.2, globalAlpha: 0.6 });
    context.beginPath();
    if (found.y === null) context.rect(found.x, found.top, 0.01, found.bottom - found.top);
    else context.arc(found.x, found.y, 5, 0, 7);
    if (found.to) arrow(context, found.x, found.y, ...found.to, 8);
    context.stroke();
    context.globalAlpha = 1;
    if (tip.dataset.text !== found.lines.join()) tip.replaceChildren(...found.lines.map((line) => make("span", {}, line)));
    tip.dataset.text = found.lines.join();
    const right = found.x > width / 2;
    tip.style.left = right ? "auto" : `${found.x + 14}px`;
    tip.style.right = right ? `${width - found.x + 14}px` : "auto";
    tip.style.top = `${clamp(found.y ?? this.cursor[1], 8, height - 110)}px`;
  }
  /** The picture in words, renewed at a gentle rate. */
  alternative(painter) {
    const now = performance.now();
    if (this.frame?.playing && now - this.spoken < 2000) return;
    this.spoken = now;
    const text = painter.describe(this.frame);
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
  }
}
