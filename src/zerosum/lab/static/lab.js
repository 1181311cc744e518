"use strict";
// The page: connects the lab (or a recording) with the picture, the controls, the settings and the address.

class Page {
  constructor(client) {
    Object.assign(this, { client, frame: null, up: true });
  }
  async begin() {
    palette.read();
    this.choices = await this.client.choices();
    const { chosen, view } = readAddress(location.search, this.choices);
    this.view = view;
    this.stage = new Stage(view, () => this.follow(false));
    this.charts = new Charts($("charts"), !this.client.live);
    this.readings = new Readings();
    this.panel = new Panel(
      this.choices,
      {
        fresh: (settings) => this.fresh(settings),
        change: (values) => this.change(values),
        draw: () => this.draw(),
        stopDrawing: () => this.stopDrawing(),
      },
      this.client.live,
    );
    this.slow = new SlowMotion(this.choices.stages, {
      turn: () => this.act("turn"),
      apply: (frame) => this.apply(frame),
      shown: () => this.frame,
      highlight: (layers) => this.stage.highlight(layers),
      room: (low) => this.stage.lower(low),
      say: (text) => tell($("live"), text),
    });
    new Controls(this);
    this.charts.fill((await this.client.history()).points);
    this.first = chosen;
    this.client.listen(
      (frame) => this.receive(frame),
      (up) => this.connection(up),
    );
  }
  // --- frames
  receive(frame) {
    if (this.first) {
      const chosen = this.first;
      this.first = null;
      const settings = { ...defaultsFor(chosen, this.choices), ...chosen };
      if (this.client.live && Object.keys(chosen).length && !sameGame(settings, frame.settings)) {
        this.apply(frame);
        this.fresh(settings, "replace");
        return;
      }
    }
    if (!this.slow.offer(frame)) this.apply(frame);
  }
  apply(frame) {
    this.frame = frame;
    this.stage.show(frame);
    this.readings.show(frame);
    this.charts.add(frame);
    this.panel.show(frame.settings);
    this.controls.show(frame);
    this.follow(false);
  }
  connection(up) {
    if (!up)
      this.complain(
        "The lab does not answer. Is `zerosum lab` still running in its terminal? This page reconnects by itself.",
      );
    else if (!this.up) this.complain(null);
    this.up = up;
  }
  // --- orders
  /** Does it and shows what the lab has to say against it; true when it was done. */
  async attempt(order, complain = (sentence) => this.complain(sentence)) {
    try {
      const answer = await order();
      complain(null);
      return answer ?? true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      complain(error.message);
      return null;
    }
  }
  complain(sentence) {
    $("notice").hidden = !sentence;
    tell($("notice"), sentence ?? "");
  }
  act(action, more) {
    if (this.slow.on && action !== "turn" && action !== "speed") this.slow.leave();
    if (action === "turn") this.slow.from = this.frame?.step;
    return this.attempt(() => this.client.act(action, more));
  }
  async change(values) {
    await this.attempt(
      () => this.client.change(values),
      (sentence) => this.panel.complain(sentence),
    );
  }
  /** A new game. history: "push" a place to come back to, or "replace" the present one. */
  async fresh(settings, history = "push") {
    if (!this.client.live) return;
    this.slow.leave();
    const sent = Object.fromEntries(Object.entries(settings).filter(([name]) => meaningful(name, settings)));
    this.controls.busy(true);
    this.starting = true; // the first frame of the new game may arrive before the answer
    const answer = await this.attempt(
      async () => ({ ...(await this.client.fresh(sent)), ...(await this.client.history()) }),
      (sentence) => this.panel.complain(sentence),
    );
    this.starting = false;
    this.controls.busy(false);
    if (!answer) return;
    this.stopDrawing();
    this.charts.fill(answer.points);
    this.expected = answer.settings;
    this.address(answer.settings, history === "push");
    this.follow(false);
    this.panel.playing = null;
    this.panel.show(answer.settings);
  }
  /** The address follows the settings of the game; frames of the game before a new one leave it as it is. */
  follow(push) {
    if (!this.frame || this.starting) return;
    if (this.expected && !sameGame(this.frame.settings, this.expected)) return;
    this.expected = null;
    this.address(this.frame.settings, push);
  }
  address(settings, push) {
    if (!this.client.live) return;
    const query = writeAddress(settings, this.view, this.choices);
    if (query === location.search) return;
    history[push ? "pushState" : "replaceState"]({ settings }, "", query || location.pathname);
  }
  // --- drawing
  draw() {
    const sketch = this.stage.sketch,
      playing = this.frame?.settings;
    if (!sketch.points.length && playing?.source === "drawn") sketch.text = playing.points;
    this.stage.drawing = true;
    if (this.frame?.playing) this.act("pause");
    sketch.changed = () => this.controls.drawing();
    this.controls.drawing();
  }
  stopDrawing() {
    this.stage.drawing = false;
    this.controls.drawing();
  }
}

const page = new Page(connect());
if (page.client.live) document.head.append(make("link", { rel: "icon", href: "/static/icon.svg" }));
page.begin().catch((error) => {
  if (!(error instanceof Refused)) throw error;
  page.complain(error.message);
});
