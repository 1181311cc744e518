"use strict";
// Buttons, the timeline, keys, theme, help, recording: everything that is pressed.

const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200];
const TRIES = {
  "try-figure": {
    source: "normal",
    noise: "uniform",
    penalty: "none",
    k: 5,
    lr_d: 2e-3,
    batch: 1024,
    g_width: 32,
    d_width: 32,
  },
  "try-collapse": { source: "ring", penalty: "none", lr_g: 2e-3, lr_d: 5e-4 },
  "try-dirac": { mode: "dirac", loss: "wasserstein", simultaneous: true },
};

/** The rate of something that happens, over about the last second. */
class Pace {
  constructor() {
    this.times = [];
  }
  count(amount, now) {
    this.times.push([now, amount]);
    while (this.times.length > 2 && now - this.times[0][0] > 1200) this.times.shift();
    const span = now - this.times[0][0];
    return span > 300 ? ((amount - this.times[0][1]) / span) * 1000 : null;
  }
}

class Controls {
  constructor(page) {
    Object.assign(this, { page, wanted: null, rewinding: false, frames: new Pace(), steps: new Pace(), paceAt: 0 });
    page.controls = this;
    $("speed").append(
      ...SPEEDS.map((speed) => make("option", { value: speed }, speed === 1 ? "1 step a frame" : `${speed} steps a frame`)),
    );
    this.transport();
    this.tools();
    this.tries();
    this.drawTools();
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("popstate", (event) => this.back(event.state));
    if (!page.client.live) this.recorded();
  }
  // --- playing
  transport() {
    const { page } = this;
    $("play").addEventListener("click", () => page.act(page.frame?.playing ? "pause" : "play"));
    for (const move of ["step", "discriminator", "generator"])
      $(`do-${move}`).addEventListener("click", () => page.act(move));
    $("slow").addEventListener("click", () => this.slow());
    $("speed").addEventListener("change", () => page.act("speed", { speed: Number($("speed").value) }));
    $("time").addEventListener("input", () => this.rewind(Number($("time").value)));
  }
  /** While a new game is being set up nothing else can be pressed. */
  busy(on) {
    document.querySelector("main").setAttribute("aria-busy", String(on));
    for (const button of $("transport").querySelectorAll("button, select")) button.disabled = on;
    for (const id of ["start", "learn"]) $(id).disabled = on;
    tell($("start"), on ? "Setting up the game …" : "Start a new game");
  }
  async slow() {
    const { page } = this;
    if (page.slow.on) page.slow.leave();
    else {
      if (page.frame?.playing) await page.act("pause");
      await page.slow.enter();
    }
  }
  /** Goes to a step; while one journey is made only the newest wish is kept. */
  async rewind(to) {
    this.wanted = to;
    if (this.rewinding) return;
    this.rewinding = true;
    while (this.wanted !== null) {
      const goal = this.wanted;
      this.wanted = null;
      await this.page.act("rewind", { to: goal });
    }
    this.rewinding = false;
  }
  show(frame) {
    const place = frame.place ?? { at: frame.step, last: Math.max(frame.rewind.last, frame.step) };
    this.place = place;
    tell($("step"), frame.step.toLocaleString("en"));
    tell($("play"), frame.playing ? "Pause" : "Play");
    $("play").classList.toggle("on", frame.playing);
    if ($("time").max !== String(place.last)) $("time").max = place.last;
    if (!this.rewinding || frame.playing) $("time").value = place.at;
    $("time").setAttribute("aria-valuetext", `step ${frame.step}`);
    tell(
      $("furthest"),
      frame.place ? `frame ${place.at + 1} of ${place.last + 1}` : `${place.last.toLocaleString("en")} played`,
    );
    if (document.activeElement !== $("speed") && SPEEDS.includes(frame.speed)) $("speed").value = frame.speed;
    if (!this.page.stage.drawing) this.title(frame.settings);
    this.recording(frame.recording);
    this.pace(frame);
  }
  title(settings) {
    const source = this.page.choices.sources.find((one) => one.name === settings.source);
    const penalty = settings.penalty === "none" ? "no penalty" : `${named(settings.penalty)}`;
    const what =
      settings.mode === "dirac"
        ? "Dirac-GAN"
        : source?.name === "drawn"
          ? "Your drawing"
          : (source?.summary.replace(/^an? |\.$/g, "") ?? settings.source);
    tell($("title"), `${what[0].toUpperCase()}${what.slice(1)}`);
    $("title").dataset.rules = `${named(settings.loss)} loss, ${penalty}${settings.simultaneous ? ", simultaneous" : ""}`;
  }
  pace(frame) {
    const now = performance.now();
    const drawn = this.frames.count(this.page.stage.board.drawn, now),
      steps = this.steps.count(frame.step, now);
    if (!frame.playing) {
      this.frames = new Pace();
      this.steps = new Pace();
    }
    if (now - this.paceAt < 700 && frame.playing) return;
    this.paceAt = now;
    tell(
      $("pace"),
      frame.playing && drawn !== null && steps >= 0 ? `${Math.round(steps)} steps/s · ${Math.round(drawn)} frames/s` : "",
    );
  }
  // --- keys
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || $("help-dialog").open) return;
    const element = event.target,
      typing = element.matches?.("select, input:not([type=range]):not([type=checkbox])");
    if (event.key === "Escape" && this.page.slow.on) this.page.slow.leave();
    if (typing || (event.key === " " && element.matches?.("button, a, summary, input"))) return;
    if (event.key.startsWith("Arrow") && element.matches?.("input[type=range], input[type=radio]")) return;
    const { at, last } = this.place ?? { at: 0, last: 0 };
    const press = (id) => () => $(id).disabled || $(id).click();
    const keys = {
      " ": press("play"),
      s: press("do-step"),
      d: press("do-discriminator"),
      g: press("do-generator"),
      m: press("slow"),
      n: press("slow-next"),
      "?": press("help"),
      ArrowLeft: () => this.rewind(clamp(at - 1, 0, last)),
      ArrowRight: () => this.rewind(clamp(at + 1, 0, last)),
      Home: () => this.rewind(0),
      End: () => this.rewind(last),
    };
    if (!keys[event.key] || (["Home", "End"].includes(event.key) && !element.matches("#board, #time, body, button"))) return;
    event.preventDefault();
    keys[event.key]();
  }
  // --- theme, help, recording
  tools() {
    const themes = ["auto", "light", "dark"];
    const set = (theme) => {
      if (theme === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      tell($("theme"), `Theme: ${theme}`);
      this.repaint();
    };
    let theme = remembered("theme") ?? "auto";
    set(theme);
    $("theme").addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % 3];
      remember("theme", theme);
      set(theme);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    $("help").addEventListener("click", () => $("help-dialog").showModal());
    $("record").addEventListener("click", () =>
      this.page.attempt(() => this.page.client.record($("record").getAttribute("aria-pressed") !== "true")),
    );
    $("intro-close").addEventListener("click", () => {
      $("intro").hidden = true;
      remember("intro", "closed");
    });
    $("intro").hidden = remembered("intro") === "closed";
  }
  repaint() {
    palette.read();
    this.page.stage.want();
    this.page.charts.draw();
  }
  recording(on) {
    const was = $("record").getAttribute("aria-pressed") === "true";
    if (was === on) return;
    $("record").setAttribute("aria-pressed", String(on));
    tell($("record"), on ? "Stop recording" : "Record");
    $("downloads").hidden = on;
  }
  recorded() {
    for (const id of ["do-discriminator", "do-generator", "slow", "speed", "record"]) $(id).disabled = true;
    for (const id of ["do-discriminator", "do-generator", "slow", "record", "get-log"]) $(id).hidden = true;
    tell(document.querySelector(".brand span"), "lab recording");
    $("speed").closest("label").hidden = true;
    $("intro").querySelector(".tries").hidden = true;
    tell(document.querySelector("footer p"), "A recording of zerosum's lab. It holds all that it shows and loads nothing.");
  }
  // --- things to try, and coming back to them
  tries() {
    for (const [id, settings] of Object.entries(TRIES)) {
      const full = { ...defaultsFor(settings, this.page.choices), ...settings };
      $(id).setAttribute("href", writeAddress(full, this.page.view, this.page.choices));
      $(id).addEventListener("click", async (event) => {
        event.preventDefault();
        await this.page.fresh(full);
        await this.page.act("speed", { speed: 1 });
        this.page.act("play");
      });
    }
  }
  back(state) {
    const settings = state?.settings ?? {
      ...this.page.choices.defaults,
      ...readAddress(location.search, this.page.choices).chosen,
    };
    this.page.fresh(settings, "replace");
  }
  // --- drawing
  drawTools() {
    const { page } = this,
      sketch = page.stage.sketch;
    $("undo").addEventListener("click", () => sketch.undo());
    $("clear").addEventListener("click", () => sketch.clear());
    $("learn").addEventListener("click", () => page.fresh(page.panel.chosen()));
    for (const radio of document.querySelectorAll("[name=dims]")) {
      radio.addEventListener("change", () => {
        sketch.dims = Number(radio.value);
        sketch.cursor = [0, 0];
        this.drawing();
      });
    }
  }
  /** Shows or hides what belongs to drawing. */
  drawing() {
    const { stage } = this.page,
      count = stage.sketch.points.length;
    $("draw-tools").hidden = !stage.drawing;
    $("layers").hidden = stage.drawing;
    $("canvas").classList.toggle("drawn", stage.drawing);
    tell($("num-points"), `${count} of ${MOST_POINTS} points`);
    $("learn").disabled = !count;
    for (const radio of document.querySelectorAll("[name=dims]")) radio.checked = Number(radio.value) === stage.sketch.dims;
    if (stage.drawing) {
      this.page.panel.draw(stage.sketch.text);
      tell($("title"), "Draw the data");
      $("title").dataset.rules = "what you paint is what G has to learn";
    } else if (this.page.frame) this.title(this.page.frame.settings);
    stage.settle();
  }
}

/** What this browser remembers between visits: the theme, the closed introduction. Storage may be forbidden. */
function remembered(name) {
  try {
    return localStorage.getItem(`zerosum-${name}`);
  } catch {
    return null;
  }
}
function remember(name, value) {
  try {
    localStorage.setItem(`zerosum-${name}`, value);
  } catch {
    // A page without storage forgets; nothing else depends on it.
  }
}
