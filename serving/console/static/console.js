// What the console does beyond plain pages: local times, single keys, word of changes.
// Every page reads and works without it.
"use strict";

const root = document.documentElement;

// --- times: UTC as served, shown on the reader's clock -----------------------------

const clock = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
});
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.valueOf())) continue;
  if (!("keep" in time.dataset)) time.textContent = clock.format(at);
  time.title = `${exact.format(at)} (${time.dateTime})`;
}

// --- single keys, which can be switched off -----------------------------------------

const KEYS = "escalon.keys";
const keysSwitch = document.getElementById("keys-switch");

function keysAreOn() {
  return localStorage.getItem(KEYS) !== "off";
}

function showKeys() {
  root.classList.toggle("keys-on", keysAreOn());
  keysSwitch.setAttribute("aria-pressed", String(keysAreOn()));
  const word = keysAreOn() ? keysSwitch.dataset.on : keysSwitch.dataset.off;
  keysSwitch.querySelector("span").textContent = word;
}

function places() {
  const rows = [...document.querySelectorAll("[data-row] .request a")];
  return rows.length ? rows : [...document.querySelectorAll("[data-step]")];
}

function move(by) {
  const all = places();
  if (!all.length) return;
  const now = all.findIndex((place) => place.contains(document.activeElement)
    || place.closest("[data-row]")?.contains(document.activeElement));
  const next = now < 0 ? (by > 0 ? 0 : all.length - 1) : now + by;
  const place = all[Math.max(0, Math.min(all.length - 1, next))];
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "nearest" });
}

function press(key) {
  const row = document.activeElement.closest("[data-row]");
  const within = row ?? (document.querySelector("[data-row]") ? null : document);
  within?.querySelector(`[data-key="${key}"]`)?.click();
}

function isTyping(target) {
  return target.closest("textarea, select, input:not([type=radio]):not([type=checkbox])");
}

function onKey(event) {
  if (!keysAreOn() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (["c", "r", "f"].includes(event.key)) press(event.key);
  else return;
  event.preventDefault();
}

if (keysSwitch) {
  keysSwitch.hidden = false;
  keysSwitch.addEventListener("click", () => {
    localStorage.setItem(KEYS, keysAreOn() ? "off" : "on");
    showKeys();
  });
  showKeys();
  document.addEventListener("keydown", onKey);
}

// --- word of changes: asked for now and then, shown when the reader wants it ---------

const EVERY = 10_000;
const { pulse, stamp, changed, refresh } = document.body.dataset;

function tell() {
  const news = document.getElementById("news");
  if (!news.hidden) return;
  const link = document.createElement("a");
  link.href = window.location.href;
  link.textContent = refresh;
  link.addEventListener("click", (event) => { event.preventDefault(); window.location.reload(); });
  news.append(`${changed} `, link);
  news.hidden = false;
}

async function listen() {
  if (document.hidden) return;
  try {
    const answer = await fetch(pulse, { headers: { accept: "application/json" } });
    if (answer.ok && (await answer.json()).stamp !== stamp) tell();
  } catch {
    // The service is away for a moment; the next round asks again.
  }
}

if (pulse) setInterval(listen, EVERY);
