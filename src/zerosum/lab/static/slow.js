"use strict";
// Slow motion: one move of one player, stage by stage. What the move changes is shown when its last stage is reached.

const PARTS = {
  discriminator: [
    ["noise"],
    ["generator", "fakes"],
    ["reals", "fakes", "discriminator", "verdict"],
    ["verdict", "back-discriminator"],
    ["discriminator"],
  ],
  generator: [
    ["noise"],
    ["generator", "fakes"],
    ["fakes", "discriminator", "verdict"],
    ["verdict", "back-generator"],
    ["generator"],
  ],
};
/** By the dimensions of the data: what the picture stresses at each stage; null for all of it. */
const LAYERS = {
  1: {
    discriminator: [["arrows"], ["arrows", "fake"], ["real", "fake", "d"], ["d", "best"], null],
    generator: [["arrows"], ["arrows", "fake"], ["fake", "d"], ["fake", "d"], null],
  },
  2: {
    discriminator: [["warp"], ["warp", "fake"], ["real", "fake", "heat"], ["heat"], null],
    generator: [["warp"], ["warp", "fake"], ["fake", "heat"], ["fake", "arrows"], null],
  },
};

class SlowMotion {
  /** turn() makes the next move; apply(frame) shows a frame; highlight(layers) and say(text) tell the page. */
  constructor(stages, actions) {
    Object.assign(this, { stages, actions, on: false, waiting: false, held: null, queue: [], timer: null });
    $("slow-next").addEventListener("click", () => this.next());
    $("slow-close").addEventListener("click", () => this.leave());
    $("slow-pace").addEventListener("change", () => this.arm());
  }
  async enter() {
    this.on = true;
    this.open(true);
    await this.begin();
  }
  leave() {
    if (!this.on) return;
    this.on = this.waiting = false;
    clearTimeout(this.timer);
    this.open(false);
    this.actions.highlight(null);
    this.release();
  }
  open(on) {
    $("slow-panel").hidden = !on;
    $("slow").setAttribute("aria-pressed", String(on));
    document.body.classList.toggle("slow", on);
    this.actions.room(on);
  }
  /** Asks for the next move; its frame is held back until the stages were walked through. */
  async begin() {
    this.queue = [];
    this.waiting = true;
    clearTimeout(this.timer);
    if (!(await this.actions.turn())) this.leave();
  }
  /** Takes a frame; true when it is held back. */
  offer(frame) {
    if (!this.on) return false;
    if (frame.playing) {
      this.leave();
      return false;
    }
    const moved = this.waiting && frame.turn !== "none" && frame.step !== this.from;
    if (moved) this.start(frame);
    else if (this.held) this.held = frame.step === this.held.step ? frame : this.held;
    return Boolean(this.held);
  }
  start(frame) {
    this.waiting = false;
    this.held = frame;
    const players = frame.turn === "both" ? ["discriminator", "generator"] : [frame.turn];
    this.queue = players.flatMap((player) =>
      this.stages[player].map((stage, index) => ({
        ...stage,
        player,
        index,
        last: player === players[players.length - 1] && index === this.stages[player].length - 1,
      })),
    );
    this.total = this.queue.length;
    this.next();
  }
  next() {
    if (this.waiting) return;
    const stage = this.queue.shift();
    if (!stage) {
      this.begin();
      return;
    }
    this.show(stage);
    if (stage.last) this.release();
    this.arm();
  }
  arm() {
    clearTimeout(this.timer);
    const pace = Number($("slow-pace").value);
    if (pace && this.on && !this.waiting) this.timer = setTimeout(() => this.next(), pace);
  }
  release() {
    const frame = this.held;
    this.held = null;
    if (frame) {
      this.from = frame.step;
      this.actions.apply(frame);
    }
  }
  show({ title, text, player, index }) {
    const name = player === "generator" ? "The generator" : "The discriminator",
      other = player === "generator" ? "D" : "G";
    tell($("slow-who"), `${name} moves; ${other} is frozen. Stage ${index + 1} of ${this.stages[player].length}.`);
    tell($("slow-title"), title);
    tell($("slow-text"), text);
    const lit = new Set(PARTS[player][index] ?? []);
    for (const part of $("diagram").querySelectorAll("[data-part]"))
      part.classList.toggle("lit", lit.has(part.dataset.part));
    $("diagram").dataset.player = player;
    const details = (this.held ?? this.actions.shown()).details,
      side = player === "generator" ? "g" : "d";
    const judged = index >= 2;
    tell($("d-real"), `D(x) ${judged && player !== "generator" ? show(details["D(x)"]) : "–"}`);
    tell($("d-fake"), `D(G(z)) ${judged ? show(details["D(G(z))"]) : "–"}`);
    tell(
      $(`${side}-error`),
      index >= 3 ? `loss ${show(details[`${side}_loss`])}, gradient ${show(details[`${side}_gradient_norm`])}` : "error",
    );
    tell($(side === "g" ? "d-error" : "g-error"), "");
    this.actions.highlight(LAYERS[this.actions.shown().dims]?.[player][index] ?? null);
    this.dots(index);
    this.actions.say(`${name}, stage ${index + 1}: ${title}. ${text}`);
  }
  dots(index) {
    const count = 5,
      root = $("slow-dots");
    if (root.children.length !== count) root.replaceChildren(...Array.from({ length: count }, () => make("li")));
    [...root.children].forEach((dot, place) => dot.classList.toggle("on", place <= index));
  }
}
