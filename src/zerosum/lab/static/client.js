"use strict";
// Where frames come from: the lab on this machine, or a recording inside the page. Both have the same methods.

/** An error sentence from the lab. */
class Refused extends Error {}

class Live {
  constructor() {
    this.live = true;
  }
  async ask(path, body) {
    const post =
      body === undefined
        ? {}
        : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let answer;
    try {
      answer = await fetch(path, post);
    } catch {
      throw new Refused("The lab does not answer. Is `zerosum lab` still running in its terminal?");
    }
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(said.error ?? `The lab answered with status ${answer.status}.`);
    return said;
  }
  choices() {
    return this.ask("/api/choices");
  }
  history() {
    return this.ask("/api/history");
  }
  fresh(settings) {
    return this.ask("/api/new", settings);
  }
  act(action, more = {}) {
    return this.ask("/api/do", { action, ...more });
  }
  change(settings) {
    return this.ask("/api/change", settings);
  }
  record(on) {
    return this.ask("/api/record", { on });
  }
  /** onFrame(frame) for every new frame; onState(connected). */
  listen(onFrame, onState) {
    const events = new EventSource("/api/events");
    events.addEventListener("frame", (event) => onFrame(JSON.parse(event.data)));
    events.addEventListener("open", () => onState(true));
    events.addEventListener("error", () => onState(false));
  }
}

const FRAMES_PER_SECOND = 24;

/** Plays stored frames. Time is counted in frames here, since a recording may go back and forth over steps. */
class Playback {
  constructor(recording) {
    Object.assign(this, { live: false, recording, at: 0, playing: false });
  }
  async choices() {
    return this.recording.choices;
  }
  async history() {
    return { points: this.recording.points };
  }
  async act(action, more = {}) {
    const last = this.recording.frames.length - 1;
    if (action === "play") this.play();
    if (action === "pause") this.playing = false;
    if (action === "step") this.at = Math.min(last, this.at + 1);
    if (action === "rewind") this.at = clamp(more.to, 0, last);
    this.send();
    return { ok: true };
  }
  play() {
    const last = this.recording.frames.length - 1;
    if (this.at >= last) this.at = 0;
    if (this.playing) return;
    this.playing = true;
    const began = performance.now() - (this.at * 1000) / FRAMES_PER_SECOND;
    const turn = (now) => {
      if (!this.playing) return;
      const at = Math.min(last, Math.max(this.at, Math.floor(((now - began) * FRAMES_PER_SECOND) / 1000)));
      if (at === last) this.playing = false;
      if (at !== this.at || at === last) {
        this.at = at;
        this.send();
      }
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }
  send() {
    const frames = this.recording.frames;
    this.onFrame({
      ...frames[this.at],
      playing: this.playing,
      recording: false,
      place: { at: this.at, last: frames.length - 1 },
    });
  }
  listen(onFrame, onState) {
    this.onFrame = onFrame;
    onState(true);
    this.send();
  }
}

/** The recording inside this page, or the lab that served it. */
function connect() {
  const stored = $("recording");
  return stored ? new Playback(JSON.parse(stored.textContent)) : new Live();
}
