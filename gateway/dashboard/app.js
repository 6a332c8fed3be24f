// Asks the gateway once a second and shows what it says. Pauses while nobody looks.

import { Chart, clock, number, palette } from "/chart.js";

const POLL_MS = 1000;
const TIMEOUT_MS = 4000;
// Series are fetched whole this often, for windows that were revised; in between only what is new.
const WHOLE_EVERY = 30;
// Readings kept for each channel: the gateway itself shows its newest 600.
const POINTS_MAX = 1200;
const DAY_MS = 86_400_000;
const RANGES = [["30 min", 1_800_000], ["2 h", 7_200_000], ["8 h", 28_800_000], ["24 h", DAY_MS]];

const $ = id => document.getElementById(id);
const cards = new Map();
let range = RANGES[2][1], only = null, colours = palette();
let before = null, newest = 0, lastAnswer = null, round = 0, timer = null, busy = false;

// --- Asking.

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden || busy) return;
  busy = true;
  try {
    const state = await ask("/api/v1/state");
    if (before && state.uptime_s < before.uptime_s) restart();
    lastAnswer = Date.now();
    present(state);
    await Promise.all([...cards.values()].filter(card => card.seen && !card.box.hidden).map(refresh));
    round += 1;
    gone(false);
  } catch (error) {
    gone(true, error);
  }
  busy = false;
  timer = setTimeout(poll, POLL_MS);
}

async function refresh(card) {
  const query = new URLSearchParams({ device: card.device });
  if (card.asked && (round - card.asked) % WHOLE_EVERY !== 0) {
    query.set("points_after_ms", card.pointsAfter());
    query.set("windows_after_ms", card.windowsAfter());
  } else {
    card.asked = round || 1;
  }
  const { channels } = await ask("/api/v1/series?" + query);
  card.take(channels, !query.has("points_after_ms"));
  card.draw();
}

function restart() {
  for (const card of cards.values()) card.box.remove();
  cards.clear();
  before = null;
  $("devices").replaceChildren();
}

// --- Device cards.

class Card {
  constructor(device) {
    this.device = device;
    this.charts = new Map();
    this.points = new Map();
    this.windows = new Map();
    this.seen = false;
    this.asked = 0;
    this.tag = make("span", { className: "tag", hidden: true }, "anomalous now");
    this.panels = make("div", { className: "panels" });
    this.box = make("article", { className: "card device" }, make("h2", {}, device, this.tag), this.panels);
    this.box.dataset.device = device;
  }

  take(channels, whole) {
    for (const { channel, points, windows } of channels) {
      if (!this.charts.has(channel)) {
        const chart = new Chart(this.device, channel);
        this.charts.set(channel, chart);
        this.panels.append(chart.figure);
      }
      const known = whole ? [] : this.points.get(channel) ?? [];
      const last = known.at(-1)?.[0] ?? -Infinity;
      this.points.set(channel, known.concat(points.filter(([t]) => t > last)).slice(-POINTS_MAX));
      const byStart = new Map(whole ? [] : this.windows.get(channel) ?? []);
      for (const w of windows) byStart.set(w.start_at_ms, w);
      this.windows.set(channel, byStart);
    }
  }

  // The oldest of the channels' newest readings, so that none of them loses any.
  pointsAfter() {
    const latest = [...this.points.values()].map(p => p.at(-1)?.[0] ?? 0);
    const top = Math.max(...latest);
    return Math.min(...latest.filter(t => t > top - 600_000));
  }

  windowsAfter() {
    let start = 0, length = 0;
    for (const byStart of this.windows.values()) {
      for (const w of byStart.values()) if (w.start_at_ms > start) { start = w.start_at_ms; length = w.end_at_ms - start; }
    }
    return start - 2 * length;
  }

  draw() {
    const span = { from: newest - range, to: newest };
    let anomalous = false;
    for (const [channel, chart] of this.charts) {
      const byStart = this.windows.get(channel);
      for (const start of byStart.keys()) if (start < newest - 1.2 * DAY_MS) byStart.delete(start);
      const windows = [...byStart.values()].sort((a, b) => a.start_at_ms - b.start_at_ms);
      anomalous ||= windows.at(-1)?.status === "anomalous";
      chart.show(this.points.get(channel), windows, span, colours);
    }
    this.tag.hidden = !anomalous;
  }
}

const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const card = cards.get(entry.target.dataset.device);
    if (!card) continue;
    card.seen = entry.isIntersecting;
    // A card that comes into view for the first time does not wait for the next round.
    if (card.seen && !card.asked) refresh(card).catch(error => gone(true, error));
  }
}, { rootMargin: "300px" });

function redraw() {
  colours = palette();
  for (const card of cards.values()) if (card.seen) card.draw();
}

// --- Showing the state.

function present(state) {
  const elapsed = before ? state.uptime_s - before.uptime_s : 0;
  const rate = name => elapsed > 0 ? count(Math.round((state.totals[name] - before.totals[name]) / elapsed)) : "–";
  document.title = `${state.gateway} · gateway`;
  $("gateway").textContent = state.gateway;
  const status = $("status");
  status.textContent = state.readiness === "ready" ? "running" : state.readiness;
  status.className = "pill " + (state.readiness === "ready" ? "good" : "bad");
  newest = Math.max(0, ...state.devices.flatMap(d => d.channels.map(c => c.at_ms)));
  $("about").textContent = `gateway ${state.version} · up ${duration(state.uptime_s)} · ${state.totals.connections} ` +
    `connections` + (newest ? ` · newest reading ${new Date(newest).toLocaleDateString("en-GB")} ${clock(newest, true)}` : "");

  const t = state.totals;
  $("messages-rate").textContent = rate("messages");
  $("messages").title = `${count(t.acks)} acknowledged`;
  $("messages").textContent = `${count(t.messages)} in all`;
  $("readings-rate").textContent = rate("readings");
  $("readings").textContent = `${count(t.readings)} in all`;
  $("queued").textContent = count(Math.max(0, ...state.ledger.map(r => r.queued)));
  $("disk").textContent = `${(t.disk_bytes / 1e6).toFixed(1)} MB on disk`;
  $("room").textContent = `room for ${roughly(t.survivable_outage_s)} without sinks`;
  $("room").title = `${count(Math.round(t.room_bytes / 1e6))} MB left`;
  $("held-up").hidden = !state.held_up;
  $("held-up").textContent = state.held_up ?? "";
  $("clock").hidden = !state.clock.note;
  $("clock").textContent = state.clock.note ?? "";
  $("windows").textContent = count(t.windows);
  $("channels").textContent = `${count(t.channels)} channels, ${count(t.models_fitted)} models learned`;
  $("incidents").textContent = count(t.open_incidents);
  $("incidents").closest(".tile").classList.toggle("some", t.open_incidents > 0);
  const last = state.incidents[0];
  $("latest").textContent = last ? `${count(t.incidents)} in all, ${last.device} ${last.evidence.channel}` : "none so far";
  $("latest").title = last?.title ?? "";

  presentDevices(state.devices, state.series_left_out);
  presentIncidents(state.incidents);
  presentAnomalies(state.anomalies);
  presentLedger(state.ledger);
  presentWindows(state.windows);
  before = state;
}

function presentDevices(devices, leftOut) {
  $("empty").hidden = devices.length > 0;
  for (const { device } of devices) {
    if (cards.has(device)) continue;
    const card = new Card(device);
    cards.set(device, card);
    const after = [...cards.keys()].sort().find(name => name > device && cards.get(name).box.isConnected);
    $("charts").insertBefore(card.box, after ? cards.get(after).box : null);
    watcher.observe(card.box);
    listDevices();
  }
  if (leftOut > 0) $("zone").title = `${leftOut} points of channels beyond the page's limit are not charted`;
}

function listDevices() {
  const buttons = ["All devices", ...[...cards.keys()].sort()].map((name, i) => {
    const device = i === 0 ? null : name;
    const button = make("button", { type: "button" }, name);
    button.setAttribute("aria-pressed", device === only);
    button.addEventListener("click", () => choose(device));
    return button;
  });
  $("devices").replaceChildren(...buttons);
}

function choose(device) {
  only = device;
  for (const card of cards.values()) card.box.hidden = only !== null && card.device !== only;
  listDevices();
  poll();
}

function presentIncidents(incidents) {
  $("no-incidents").hidden = incidents.length > 0;
  refill($("incident-list"), incidents, i => i.id + i.revision, i => {
    const e = i.evidence;
    const times = i.state === "open" ? `since ${clock(i.start_at_ms)}` : `${clock(i.start_at_ms)}–${clock(i.end_at_ms)}`;
    const others = i.channels.map(c => c.channel).filter(c => c !== e.channel);
    return entry(i.state, [i.device, e.channel].filter(Boolean).join(" / "), make("time", { dateTime: new Date(i.start_at_ms).toISOString() }, times), [
      [badge(i.severity, i.severity), ...(i.state === "open" ? [] : [badge(i.state, i.state)]), briefly(e)],
      [explanation(e)],
      [others.length ? `also ${others.join(", ")}; ` : "", `${i.windows} ${i.windows === 1 ? "window" : "windows"}, ${i.kinds.join(", ")}`],
    ], i.title, () => reveal(i.device, e.channel, e.peak_from_ms ?? i.peak_at_ms));
  });
}

function presentAnomalies(anomalies) {
  $("no-anomalies").hidden = anomalies.length > 0;
  refill($("anomaly-list"), episodes(anomalies), e => e.top.id + e.top.detector + e.top.state + e.windows, e => {
    const { top } = e;
    const when = make("time", { dateTime: new Date(e.from).toISOString() }, `${clock(e.from)}–${clock(e.to)}`);
    const score = e.windows > 1 ? `${e.windows} windows, score up to ${number(top.score)}` : `1 window, score ${number(top.score)}`;
    return entry(top.state, [top.device, top.channel || top.channels?.[0]?.channel].filter(Boolean).join(" / "), when, [
      [badge(top.kind, ""), ...(top.state === "confirmed" ? [] : [badge(top.state, top.state)]), briefly(top)],
      [`${score}, by ${top.detector}`],
    ], "Show its chart", () => reveal(top.device, top.channel || top.channels?.[0]?.channel, (top.start_at_ms + top.end_at_ms) / 2));
  });
}

// A list is made anew only when it says something else, so that focus and scrolling stay.
function refill(list, items, name, element) {
  const key = items.map(name).join();
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...items.map(element));
}

function entry(state, where, when, lines, title, open) {
  const button = make("button", { type: "button", title },
    make("span", { className: "where" }, make("span", {}, where), when),
    ...lines.map(line => make("span", { className: "what" }, ...line)));
  button.addEventListener("click", open);
  return make("li", { className: state }, button);
}

function badge(text, kind) {
  return make("span", { className: `badge ${kind}` }, text);
}

// What was looked at, what it was, what it should have been, and where in the window.
function explanation({ feature, value, expected_low, expected_high, share, peak_from_ms, peak_to_ms, detector }) {
  // A notice that something was adopted has no figure.
  if (!feature) return `by ${detector}`;
  const parts = [`${feature} ${number(value)}, expected ${number(expected_low)} to ${number(expected_high)}`];
  if (share !== undefined && share < 1) parts.push(`${Math.round(100 * share)} % of the score`);
  if (peak_from_ms !== undefined) parts.push(`most at ${clock(peak_from_ms, true)}–${clock(peak_to_ms, true)}`);
  return `${parts.join(", ")} (${detector})`;
}

// The summary without what stands above it: channel and time.
function briefly({ channel, summary }) {
  const what = summary.startsWith(channel + ": ") ? summary.slice(channel.length + 2) : summary;
  return what.replace(/ in the [\d.]+ \w+ from [\d:]+ UTC/, "");
}

// Anomalous windows of one channel in a row are one episode, told by its highest score. Newest first. What was taken back
// stands alone.
function episodes(anomalies) {
  const found = [];
  for (const a of [...anomalies].sort((a, b) => a.start_at_ms - b.start_at_ms)) {
    const last = found.findLast(e => e.top.device === a.device && e.top.channel === a.channel && e.top.detector === a.detector);
    const goesOn = last && a.start_at_ms <= last.to && a.state !== "withdrawn" && last.top.state !== "withdrawn";
    if (!goesOn) {
      found.push({ from: a.start_at_ms, to: a.end_at_ms, windows: 1, top: a });
      continue;
    }
    if (a.end_at_ms > last.to) last.windows += 1;
    last.to = Math.max(last.to, a.end_at_ms);
    if (a.score > last.top.score) last.top = a;
  }
  return found.sort((a, b) => b.to - a.to);
}

function reveal(device, channel, at) {
  if (only !== null && only !== device) choose(device);
  const card = cards.get(device);
  if (!card) return;
  card.box.scrollIntoView({ block: "center" });
  card.box.classList.remove("flash");
  void card.box.offsetWidth;
  card.box.classList.add("flash");
  const chart = card.charts.get(channel);
  if (!chart) return;
  chart.canvas.focus({ preventScroll: true });
  chart.point(at);
}

function presentLedger(rows) {
  $("ledger").replaceChildren(...rows.map(r => {
    const settled = r.accepted === 0 ? 1 : (r.accepted - r.queued) / r.accepted;
    const bar = make("progress", { value: settled, max: 1 });
    bar.setAttribute("aria-label", `${Math.floor(settled * 100)} percent settled`);
    const name = r.up === false ? `${r.consumer} (away)` : r.consumer;
    const cells = [r.accepted, r.delivered, r.filtered, r.queued, r.expired, r.dropped, r.quarantined, r.duplicate, r.lost];
    return make("tr", {},
      make("td", { className: r.up === false ? "bad" : "" }, name), make("td", {}, r.log),
      ...cells.map(n => make("td", {}, count(n))), make("td", {}, bar),
      make("td", { className: r.balances ? "good" : "bad" }, r.balances ? "balance" : "do not balance"));
  }));
}

function presentWindows(windows) {
  $("window-list").replaceChildren(...windows.map(w => {
    const s = w.stats;
    const verdict = { learning: "learn", normal: "good", anomalous: "bad" }[w.status];
    return make("tr", { className: w.status },
      ...[w.device, w.channel, clock(w.start_at_ms), count(w.count), number(s?.mean),
        s ? `${number(s.p05)} … ${number(s.p95)}` : "–", `${Math.round(w.gap_s)} s`, number(w.score)].map(text => make("td", {}, text)),
      make("td", { className: verdict }, w.status));
  }));
}

function gone(away, error) {
  document.body.classList.toggle("gone", away);
  const banner = $("gone");
  if (!away) { banner.hidden = true; return; }
  banner.hidden = false;
  banner.textContent = lastAnswer
    ? `The gateway has not answered since ${clock(lastAnswer, true)}. What you see is from then; it is asked again every second.`
    : `The gateway does not answer (${error.message}). It is asked again every second.`;
  const status = $("status");
  status.textContent = "no answer";
  status.className = "pill bad";
}

// --- Small things.

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function count(n) {
  return n.toLocaleString("en").replaceAll(",", "\u202f");
}

function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3600) % 24} h`;
}

// An estimate, in its largest unit alone.
function roughly(seconds) {
  const units = [["years", 365 * 86_400], ["days", 86_400], ["h", 3600], ["min", 60]];
  const [name, unit] = units.find(([, unit]) => seconds >= 2 * unit) ?? ["s", 1];
  return `${count(Math.floor(seconds / unit))} ${name}`;
}

function listRanges() {
  $("ranges").replaceChildren(...RANGES.map(([name, ms]) => {
    const button = make("button", { type: "button" }, name);
    button.setAttribute("aria-pressed", ms === range);
    button.addEventListener("click", () => { range = ms; listRanges(); redraw(); });
    return button;
  }));
}

document.addEventListener("visibilitychange", poll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new ResizeObserver(redraw).observe($("charts"));
$("zone").textContent = `local time (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;
listRanges();
poll();
