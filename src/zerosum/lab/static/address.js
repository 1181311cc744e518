"use strict";
// Settings and view in the page's address: what is left at its default is left out.

const DIRAC_FIELDS = ["mode", "loss", "penalty", "weight", "simultaneous", "k", "lr_g", "theta", "psi", "seed"];
const DIRAC_ONLY = ["theta", "psi"];

/** The settings that mean something for these settings' mode and source. */
function meaningful(name, settings) {
  if (settings.mode === "dirac") return DIRAC_FIELDS.includes(name);
  return !DIRAC_ONLY.includes(name) && (name !== "points" || settings.source === "drawn");
}

/** 1 or 2: the dimensions of the data of these settings. */
function dimensions(settings, choices) {
  if (settings.source === "drawn")
    return String(settings.points ?? "")
      .split(";")[0]
      .includes(",")
      ? 2
      : 1;
  return choices.sources.find((source) => source.name === settings.source)?.num_dims || 2;
}

/** What holds where `chosen` says nothing. */
function defaultsFor(chosen, choices) {
  const game = { ...choices.defaults };
  const base = chosen.mode === "dirac" ? { ...game, ...choices.dirac_defaults, mode: "dirac" } : game;
  return { ...base, latent: dimensions({ ...base, ...chosen }, choices) };
}

/** The type that the default has. Anything unreadable is passed on: the lab explains what is wrong with it. */
function typed(name, value, defaults) {
  const like = typeof defaults[name];
  if (like === "boolean") return value === true || value === "true" || value === "1";
  if (like === "number" && value !== "" && Number.isFinite(Number(value))) return Number(value);
  return value;
}

/** { chosen: settings named in the address, view: { hide, best, probability } }. */
function readAddress(search, choices) {
  const query = new URLSearchParams(search),
    chosen = {};
  for (const [name, value] of query) if (name in choices.defaults) chosen[name] = typed(name, value, choices.defaults);
  const hide = (query.get("hide") ?? "").split(",").filter(Boolean);
  return {
    chosen,
    view: { hide: new Set(hide), best: query.get("heat") === "best", probability: query.get("arrows") === "probability" },
  };
}

/** "?source=grid&k=2", or "" where all is at its default. */
function writeAddress(settings, view, choices) {
  const defaults = defaultsFor(settings, choices),
    query = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    const needed = name === "mode" ? value === "dirac" : meaningful(name, settings) && value !== defaults[name];
    if (needed && value !== null && value !== undefined) query.set(name, value);
  }
  if (view.hide.size) query.set("hide", [...view.hide].join(","));
  if (view.best) query.set("heat", "best");
  if (view.probability) query.set("arrows", "probability");
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3B", ";");
  return text ? `?${text}` : "";
}

/** Whether two games would be played by the same rules. */
function sameGame(one, other) {
  return Object.keys(one).every((name) => !meaningful(name, one) || one[name] === other[name]);
}
