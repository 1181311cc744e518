"use strict";
// The settings panel: what is chosen here begins with the next game; rates, k and the weight act at once.

class Panel {
  /** chosen(settings) begins a game, change({name: value}) acts on the one being played, draw() opens the drawing area. */
  constructor(choices, actions, live) {
    Object.assign(this, { choices, actions, live, rows: new Map(), settings: null, playing: null });
    $("fields").append(...FIELDS.map((group) => this.group(group)));
    $("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.actions.fresh(this.chosen());
    });
    $("form").addEventListener("change", (event) => this.changed(event.target.name));
    $("form").addEventListener("keydown", (event) => this.enter(event));
    $("start").disabled = !live;
  }
  group({ group, open, fields }) {
    return make("details", { open: Boolean(open) }, make("summary", {}, group), ...fields.map((field) => this.row(field)));
  }
  row(field) {
    const id = `set-${field.name}`,
      help = make("p", { class: "help", id: `${id}-help` }, field.help),
      error = make("p", { class: "error", id: `${id}-error`, hidden: true });
    const control = this.control(field, {
      id,
      name: field.name,
      disabled: !this.live,
      "aria-describedby": `${id}-help ${id}-error`,
    });
    const tag = field.now
      ? [make("span", { class: "now", title: "Can be changed while the game is played" }, "acts at once")]
      : [];
    const label = make("label", { for: id }, field.label, " ", ...tag);
    const extra = field.rate ? [this.slider(control)] : field.name === "source" ? [this.drawButton()] : [];
    const root = make(
      "div",
      { class: field.tick ? "field tick" : "field", "data-field": field.name },
      label,
      control,
      ...extra,
      help,
      error,
    );
    this.rows.set(field.name, { field, root, control, help, error });
    return root;
  }
  control(field, attributes) {
    if (field.tick) return make("input", { type: "checkbox", ...attributes });
    if (field.options || field.list) {
      const options =
        field.options ??
        this.choices[field.list].map(({ name, num_dims: dims }) => [
          name,
          dims ? `${named(name)} (${dims}-D)` : named(name),
        ]);
      return make("select", attributes, ...options.map(([value, text]) => make("option", { value }, text)));
    }
    const [low, high] = this.choices.limits[field.name] ?? ["", ""];
    return make("input", {
      type: "number",
      inputmode: "decimal",
      min: low,
      max: high,
      step: field.rate ? "any" : field.number,
      ...attributes,
    });
  }
  /** A slider over the powers of ten, for rates. */
  slider(control) {
    const slide = make("input", {
      type: "range",
      min: -5,
      max: -0.5,
      step: 0.05,
      disabled: !this.live,
      "aria-label": `${control.name}, as a slider`,
      tabindex: -1,
    });
    slide.addEventListener("input", () => (control.value = Number((10 ** slide.value).toPrecision(2))));
    slide.addEventListener("change", () => this.changed(control.name));
    control.slide = slide;
    return slide;
  }
  drawButton() {
    const button = make("button", { type: "button", id: "draw", class: "quiet", hidden: true }, "Draw");
    button.addEventListener("click", () => this.actions.draw());
    return button;
  }
  value(name) {
    const { field, control } = this.rows.get(name);
    if (field.tick) return control.checked;
    const number = field.number !== undefined || field.rate;
    return number && control.value !== "" ? Number(control.value) : control.value;
  }
  /** All that the panel says; what it does not show keeps the value of the game. */
  chosen() {
    const shown = [...this.rows.keys()].map((name) => [name, this.value(name)]);
    return { ...this.settings, ...Object.fromEntries(shown) };
  }
  put(name, value) {
    const row = this.rows.get(name);
    if (!row) return;
    if (row.field.tick) row.control.checked = value;
    else if (document.activeElement !== row.control || row.control.value === "") row.control.value = value;
    if (row.control.slide) row.control.slide.value = Math.log10(value);
  }
  /** The settings of the game that is played. Fields are filled when a game begins and when it was changed. */
  show(settings) {
    const same = this.playing && Object.keys(settings).every((name) => settings[name] === this.playing[name]);
    if (same) return;
    const anew =
      !this.playing ||
      Object.keys(settings).some((name) => settings[name] !== this.playing[name] && !this.rows.get(name)?.field.now);
    const before = this.playing;
    this.settings = { ...settings };
    this.playing = { ...settings };
    for (const name of this.rows.keys()) if (anew || settings[name] !== before[name]) this.put(name, settings[name]);
    this.last = this.chosen();
    this.refresh();
  }
  /** Enter in a field that acts at once changes the game; in others it begins a new one. */
  enter(event) {
    if (event.key !== "Enter" || !this.rows.get(event.target.name)?.field.now) return;
    event.preventDefault();
    this.changed(event.target.name);
  }
  changed(name) {
    const row = this.rows.get(name);
    if (!row) return;
    this.complain(null);
    if (name === "mode" || name === "source") this.adopt();
    if (row.control.slide) row.control.slide.value = Math.log10(this.value(name));
    const value = this.value(name);
    if (row.field.now && value !== "" && value !== this.playing[name] && this.value("mode") === this.playing.mode)
      this.actions.change({ [name]: value });
    if (name === "source" && this.value("source") === "drawn") this.actions.draw();
    else if (name === "source" || name === "mode") this.actions.stopDrawing();
    this.refresh();
  }
  /** The points of the drawing area. */
  draw(points) {
    this.settings.points = points;
    this.adopt();
    this.refresh();
  }
  /** Another mode, source or drawing brings its own defaults, where the old ones still stood. */
  adopt() {
    const now = this.chosen(),
      before = defaultsFor(this.last, this.choices),
      after = defaultsFor(now, this.choices);
    const touched = (field) => now[field] !== before[field] || field === "mode" || field === "source";
    for (const field of Object.keys(after)) if (this.rows.has(field) && !touched(field)) this.put(field, after[field]);
    this.last = this.chosen();
  }
  refresh() {
    const chosen = this.chosen();
    const off = {
      momentum: ["adam", "adamw"].includes(chosen.optimizer),
      beta1: !chosen.optimizer.startsWith("adam"),
      beta2: !chosen.optimizer.startsWith("adam"),
      weight: chosen.penalty === "none",
      k: chosen.simultaneous && chosen.k === 1,
    };
    for (const [name, { field, root, control, help }] of this.rows) {
      root.hidden = !meaningful(name, chosen) || Boolean(off[name]);
      control.classList.toggle("pending", chosen[name] !== this.playing?.[name]);
      const known = field.list && this.choices[field.list].find((one) => one.name === chosen[name]);
      tell(help, known?.summary ? `${field.help} Chosen: ${known.summary.replace(/\.$/, "")}.` : field.help);
    }
    for (const group of $("fields").children)
      group.hidden = ![...group.querySelectorAll(".field")].some((field) => !field.hidden);
    $("draw").hidden = chosen.source !== "drawn";
    const names = [...this.rows]
      .filter(([name, { root, field }]) => !root.hidden && !field.now && chosen[name] !== this.playing?.[name])
      .map(([, { field }]) => field.label);
    tell(
      $("pending"),
      !this.live
        ? "This page is a recording: its settings cannot be changed."
        : names.length
          ? `Changed, not yet played: ${names.join(", ")}.`
          : "",
    );
    $("start").classList.toggle("eager", names.length > 0);
  }
  /** An error of the lab, beside the field that it names; true when there was such a field. */
  complain(sentence) {
    for (const { error, control } of this.rows.values()) {
      error.hidden = true;
      control.removeAttribute("aria-invalid");
    }
    $("form-error").hidden = true;
    if (!sentence) return;
    const row = this.rows.get(sentence.match(/^(\w+)\s*[=:]/)?.[1]);
    const place = row && !row.root.hidden ? row.error : $("form-error");
    tell(place, sentence);
    place.hidden = false;
    if (place !== row?.error) return;
    row.control.setAttribute("aria-invalid", "true");
    row.root.closest("details").open = true;
    row.control.focus();
  }
}
