"use strict";
// The numbers, the findings, and the spoken line for screen readers.

const EVERY_MS = 160,
  SPOKEN_MS = 5000,
  FINDINGS_MS = 1000;
const LEVELS_WORDS = { ok: "OK", info: "note", warning: "warning", alarm: "alarm" };

class Readings {
  constructor() {
    Object.assign(this, { rows: new Map(), at: 0, findingsAt: 0, spokenAt: 0, state: "", said: "" });
  }
  /** At most six times a second while the game is played, so that figures can be read. */
  show(frame) {
    const now = performance.now();
    if (frame.playing && now - this.at < EVERY_MS) return;
    this.at = now;
    tell($("ideal"), frame.mode === "dirac" ? "theory" : "ideal");
    this.numbers(frame.numbers);
    if (!frame.playing || now - this.findingsAt > FINDINGS_MS) this.findings(frame, now);
    this.speak(frame, now);
  }
  numbers(numbers) {
    const keys = numbers.map((one) => one.key).join();
    if (keys !== this.keys) {
      this.keys = keys;
      this.rows = new Map(numbers.map((one) => [one.key, this.row(one)]));
      const rows = [...this.rows.values()];
      $("numbers").tBodies[0].replaceChildren(...rows.map((row) => row.root));
      $("notes").replaceChildren(...rows.flatMap((row) => [row.term, row.note]));
    }
    const late = numbers.map((one) => one.note?.match(/at step ([\d,]+)/)?.[1]).find(Boolean);
    tell($("measured"), late ? `measured at step ${late}` : "");
    for (const one of numbers) {
      const row = this.rows.get(one.key);
      tell(row.value, show(one.value));
      tell(row.reference, one.reference === null ? "" : show(one.reference));
      tell(row.note, one.note ?? "");
    }
  }
  row({ key, label }) {
    const value = make("td", { class: "value", "data-number": key }),
      reference = make("td", { class: "reference" });
    return {
      root: make("tr", {}, make("th", { scope: "row" }, label), value, reference),
      value,
      reference,
      term: make("dt", {}, label),
      note: make("dd"),
    };
  }
  findings(frame, now) {
    this.findingsAt = now;
    const rows = frame.error
      ? [{ level: "alarm", sentence: frame.error, evidence: "", advice: "" }, ...frame.findings]
      : frame.findings;
    const said = JSON.stringify(rows);
    if (said === this.said) return;
    this.said = said;
    const items = rows.map(({ level, sentence, evidence, advice }) =>
      make(
        "li",
        { class: `level-${level}` },
        make("p", {}, make("b", { class: "badge" }, LEVELS_WORDS[level] ?? level), ` ${sentence}`),
        ...(evidence ? [make("p", { class: "small" }, evidence)] : []),
        ...(advice ? [make("p", { class: "small advice" }, make("b", {}, "Try: "), advice)] : []),
      ),
    );
    $("sentences").replaceChildren(
      ...(items.length
        ? items
        : [make("li", { class: "small" }, frame.step ? "No findings yet." : "Press play, or make one move.")]),
    );
  }
  /** A sentence with state and numbers: at once when the state changes, otherwise every few seconds. */
  speak(frame, now) {
    const state = `${frame.playing}|${frame.error}|${frame.settings.source}|${frame.mode}|${frame.playing ? "" : frame.step}`;
    if (state === this.state && (!frame.playing || now - this.spokenAt < SPOKEN_MS)) return;
    this.state = state;
    this.spokenAt = now;
    const numbers = frame.numbers
      .filter((one) => one.value !== null)
      .slice(0, 3)
      .map((one) => `${one.label} ${show(one.value)}`);
    const trouble = frame.error ?? frame.findings.find((one) => one.level === "alarm")?.sentence ?? "";
    tell($("live"), `${frame.playing ? "Playing" : "Paused"}, step ${frame.step}. ${numbers.join(", ")}. ${trouble}`);
  }
}
