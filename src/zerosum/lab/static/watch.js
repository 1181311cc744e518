
// Appended to the report's own script: looks every two seconds whether the run has something new, and shows it.
const KEEP = "zerosum watch", LOADED = Date.now(), REST_MS = 10000;

function remember() {
  const last = times.length - 1, index = slider ? Number(slider.value) : last;
  const open = [...document.querySelectorAll("details")].map((part) => part.open);
  const place = { scroll: window.scrollY, step: index < last ? times[index].step : null, open };
  sessionStorage.setItem(KEEP, JSON.stringify(place));
}

// At the newest step the page follows the run; at an earlier one it stays there.
function comeBack() {
  const place = JSON.parse(sessionStorage.getItem(KEEP) ?? "null");
  if (!place) return;
  sessionStorage.removeItem(KEEP);
  document.querySelectorAll("details").forEach((part, index) => { part.open = place.open[index] ?? part.open; });
  if (place.step !== null && slider) {
    const at = times.findIndex((one) => one.step >= place.step);
    if (at >= 0) seek(at);
  }
  window.scrollTo(0, place.scroll);
}

function watchRun() {
  const note = document.createElement("p");
  note.className = "plan";
  note.setAttribute("role", "status");
  document.querySelector("header").append(note);
  const say = (words) => { if (note.textContent !== words) note.textContent = words; };
  const lab = document.createElement("a");
  lab.href = "/lab";
  lab.textContent = "Lab";
  document.querySelector("header nav").append(lab);
  let first = null;

  async function look() {
    let now;
    try {
      const answer = await fetch("/api/version", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      now = await answer.json();
    } catch {
      say("The lab does not answer any more; this page shows the last state.");
      return;
    }
    first ??= now;
    say("Watching this run: the page follows its folder.");
    const heard = [...document.querySelectorAll("audio, video")].some((one) => !one.paused && !one.ended);
    const playing = heard || (play && play.textContent === "Pause");
    const due = now.pictures !== first.pictures || (now.log !== first.log && Date.now() - LOADED > REST_MS);
    if (!due || playing || document.hidden) return;
    remember();
    window.location.reload();
  }
  look();
  setInterval(look, 2000);
}

if ("scrollRestoration" in history) history.scrollRestoration = "manual";
comeBack();
watchRun();
