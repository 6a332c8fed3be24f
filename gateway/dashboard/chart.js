// One channel over time: windows as bands with their mean, the newest readings as a line, anomalous windows shaded.
// Knows nothing of the network: it is given points and windows and draws them.

const MINUTE = 60_000, HOUR = 60 * MINUTE;
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map(m => m * MINUTE);
const LEFT = 48, RIGHT = 8, TOP = 9, BOTTOM = 19;
// How far beyond the healthy range, in heights of it, an anomaly may stretch the axis; further values get an arrow.
const STRETCH = 0.9;
// Up to this span single readings can be told apart.
const READINGS_SPAN_MAX = 3 * HOUR;

export function clock(ms, seconds = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds && { second: "2-digit" }) };
  return new Date(ms).toLocaleTimeString("en-GB", options);
}

export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}

/// Colours come from the style sheet, so that light and dark are decided in one place.
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "quiet", "accent", "band", "faint", "alarm", "alarm-back", "learn", "grid", "card"];
  return Object.fromEntries(names.map(name => [name, style.getPropertyValue("--" + name).trim()]));
}

export class Chart {
  constructor(device, channel) {
    this.device = device;
    this.channel = channel;
    this.points = [];
    this.windows = [];
    this.cursor = null;
    this.span = { from: 0, to: 1 };
    this.build();
  }

  build() {
    this.figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    this.title = document.createElement("b");
    this.title.textContent = this.channel;
    this.reading = document.createElement("span");
    caption.append(this.title, this.reading);
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-roledescription", "chart");
    this.figure.append(caption, this.canvas);
    this.canvas.addEventListener("pointermove", e => this.point(this.time(e.offsetX)));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.canvas.addEventListener("blur", () => this.point(null));
    this.canvas.addEventListener("keydown", e => this.key(e));
  }

  show(points, windows, span, colours) {
    this.points = points;
    this.windows = windows.filter(w => w.end_at_ms > span.from && w.start_at_ms < span.to);
    this.span = span;
    this.colours = colours;
    this.draw();
    this.describe();
  }

  // --- Words: what the chart says to those who do not see it, and at the cursor.

  describe() {
    const anomalous = this.windows.filter(w => w.status === "anomalous").length;
    const newest = this.points.at(-1);
    const text = `${this.device} ${this.channel} from ${clock(this.span.from)} to ${clock(this.span.to)}: ` +
      `newest value ${number(newest?.[1])}, ${this.windows.length} windows, ${anomalous} of them anomalous. ` +
      "Left and right arrow keys read out windows.";
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
    const at = this.cursor === null ? undefined : this.windows.find(w => w.start_at_ms <= this.cursor && this.cursor < w.end_at_ms);
    this.reading.textContent = at ? this.words(at) : newest ? `${number(newest[1])} at ${clock(newest[0], true)}` : "";
  }

  words(w) {
    const when = `${clock(w.start_at_ms)}–${clock(w.end_at_ms)}`;
    if (!w.levels) return `${when} no readings · ${w.status}`;
    const score = w.score === undefined ? "" : ` (${w.score > 0 ? "+" : ""}${number(w.score)})`;
    return `${when} mean ${number(w.levels[2])}, ${number(w.levels[0])} … ${number(w.levels[4])} · ${w.status}${score}`;
  }

  point(time) {
    this.cursor = time;
    this.draw();
    this.describe();
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || this.windows.length === 0) return;
    event.preventDefault();
    const last = this.windows.length - 1;
    const at = this.cursor === null ? -1 : this.windows.findIndex(w => this.cursor < w.end_at_ms);
    const next = this.windows[at < 0 ? last : Math.min(last, Math.max(0, at + step))];
    this.point((next.start_at_ms + next.end_at_ms) / 2);
    this.reading.setAttribute("aria-live", "polite");
  }

  // --- Scales.

  time(x) {
    const width = this.canvas.clientWidth - LEFT - RIGHT;
    const time = this.span.from + (x - LEFT) / width * (this.span.to - this.span.from);
    return time >= this.span.from && time <= this.span.to ? time : null;
  }

  levels() {
    const healthy = [], strange = [];
    for (const w of this.windows) {
      if (w.levels) (w.status === "anomalous" ? strange : healthy).push(w.levels[0], w.levels[4]);
    }
    const closed = this.windows.at(-1)?.end_at_ms ?? -Infinity;
    for (const [t, v] of this.points) if (t >= this.span.from && (t >= closed || healthy.length === 0)) strange.push(v);
    const base = healthy.length > 0 ? healthy : strange;
    let [low, high] = extent(base);
    if (!(low <= high)) return null;
    if (high - low < 1e-9 + Math.abs(high) * 1e-6) { const pad = Math.abs(high) * 0.02 || 0.5; low -= pad; high += pad; }
    const room = STRETCH * (high - low);
    const [lowest, highest] = extent(strange);
    if (lowest < low) low = Math.max(lowest, low - room);
    if (highest > high) high = Math.min(highest, high + room);
    const pad = 0.07 * (high - low);
    return { low: low - pad, high: high + pad };
  }

  // --- Drawing, back to front.

  draw() {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (width === 0 || !this.colours) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const g = this.canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = "11px system-ui, sans-serif";
    const area = { left: LEFT, top: TOP, right: width - RIGHT, bottom: height - BOTTOM };
    const scale = this.levels();
    const x = t => area.left + (t - this.span.from) / (this.span.to - this.span.from) * (area.right - area.left);
    const y = v => area.bottom - (v - scale.low) / (scale.high - scale.low) * (area.bottom - area.top);
    this.drawTimes(g, area, x);
    if (!scale) return;
    this.drawLevels(g, area, y, scale);
    g.save();
    g.beginPath();
    g.rect(area.left, area.top, area.right - area.left, area.bottom - area.top);
    g.clip();
    this.drawVerdicts(g, area, x);
    this.drawBands(g, x, y);
    this.drawReadings(g, x, y);
    this.drawMeans(g, x, y);
    this.drawBeyond(g, area, x, scale);
    this.drawCursor(g, area, x);
    g.restore();
  }

  drawTimes(g, area, x) {
    const span = this.span.to - this.span.from, labels = Math.max(2, Math.floor((area.right - area.left) / 64));
    const step = TIME_STEPS.find(s => span / s <= labels) ?? 24 * HOUR;
    const zone = new Date(this.span.to).getTimezoneOffset() * MINUTE;
    g.textAlign = "center";
    g.textBaseline = "alphabetic";
    for (let t = Math.ceil((this.span.from - zone) / step) * step + zone; t <= this.span.to; t += step) {
      const at = Math.round(x(t)) + 0.5;
      this.line(g, at, area.top, at, area.bottom, this.colours.grid);
      if (at < area.left + 12 || at > area.right - 14) continue;
      g.fillStyle = this.colours.quiet;
      g.fillText(clock(t), at, area.bottom + 14);
    }
  }

  drawLevels(g, area, y, scale) {
    const step = niceStep((scale.high - scale.low) / 5);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (let v = Math.ceil(scale.low / step) * step; v <= scale.high; v += step) {
      const at = Math.round(y(v)) + 0.5;
      this.line(g, area.left, at, area.right, at, this.colours.grid);
      g.fillStyle = this.colours.quiet;
      const label = (Math.abs(v) < step / 1e6 ? 0 : v).toFixed(Math.min(6, digits)).replace("-", "−");
      g.fillText(label, area.left - 6, at);
    }
  }

  drawVerdicts(g, area, x) {
    for (const w of this.windows) {
      if (w.status === "normal") continue;
      const left = x(w.start_at_ms), wide = Math.max(2, x(w.end_at_ms) - left);
      g.fillStyle = w.status === "anomalous" ? this.colours["alarm-back"] : this.colours.learn;
      g.fillRect(left, area.top, wide, area.bottom - area.top);
      if (w.status !== "anomalous") continue;
      g.fillStyle = this.colours.alarm;
      g.fillRect(left, area.top, wide, 3);
    }
  }

  drawBands(g, x, y) {
    for (const [low, high, colour] of [[0, 4, this.colours.faint], [1, 3, this.colours.band]]) {
      g.fillStyle = colour;
      for (const w of this.windows) {
        if (!w.levels) continue;
        const left = x(w.start_at_ms), top = y(w.levels[high]);
        g.fillRect(left, top, Math.max(1, x(w.end_at_ms) - left), Math.max(1, y(w.levels[low]) - top));
      }
    }
  }

  drawMeans(g, x, y) {
    const middles = this.windows.filter(w => w.levels).map(w => [(w.start_at_ms + w.end_at_ms) / 2, w.levels[2]]);
    this.path(g, middles, x, y, this.colours.accent, 1.7);
    if (this.windows.length > 60) return;
    for (const w of this.windows.filter(w => w.levels && w.status === "anomalous")) {
      g.fillStyle = this.colours.alarm;
      g.beginPath();
      g.arc(x((w.start_at_ms + w.end_at_ms) / 2), y(w.levels[2]), 2.6, 0, 7);
      g.fill();
    }
  }

  drawReadings(g, x, y) {
    const { from, to } = this.span;
    const summed = this.windows.at(-1)?.end_at_ms ?? -Infinity;
    const shown = this.points.filter(([t]) => t >= from && t <= to);
    if (to - from > READINGS_SPAN_MAX && summed > from) {
      // Over hours, bands say more than a scribble of readings: what no window has summed up yet is one more of them.
      const open = shown.filter(([t]) => t >= summed);
      if (open.length === 0) return;
      const [low, high] = extent(open.map(([, v]) => v));
      g.fillStyle = this.colours.band;
      g.fillRect(x(summed), y(high), Math.max(1, x(open.at(-1)[0]) - x(summed)), Math.max(1, y(low) - y(high)));
      return;
    }
    g.globalAlpha = 0.5;
    this.path(g, shown, x, y, this.colours.accent, 0.9);
    g.globalAlpha = 1;
  }

  // Values that the axis does not reach: an arrow at the edge says that they are there.
  drawBeyond(g, area, x, scale) {
    g.fillStyle = this.colours.alarm;
    for (const w of this.windows) {
      if (!w.levels) continue;
      const middle = x((w.start_at_ms + w.end_at_ms) / 2);
      if (w.levels[4] > scale.high) this.arrow(g, middle, area.top + 5, 5);
      if (w.levels[0] < scale.low) this.arrow(g, middle, area.bottom - 3, -5);
    }
  }

  drawCursor(g, area, x) {
    if (this.cursor === null) return;
    const at = Math.round(x(this.cursor)) + 0.5;
    this.line(g, at, area.top, at, area.bottom, this.colours.quiet);
  }

  // --- Strokes.

  // A line through [time, value] pairs, broken where there is a hole of several usual distances.
  path(g, pairs, x, y, colour, width) {
    if (pairs.length === 0) return;
    const hole = 3.5 * usualStep(pairs);
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.lineJoin = "round";
    g.beginPath();
    pairs.forEach(([t, v], i) => {
      const joined = i > 0 && t - pairs[i - 1][0] <= hole;
      if (joined) g.lineTo(x(t), y(v)); else g.moveTo(x(t), y(v));
    });
    g.stroke();
  }

  line(g, x1, y1, x2, y2, colour) {
    g.strokeStyle = colour;
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(x1, y1);
    g.lineTo(x2, y2);
    g.stroke();
  }

  arrow(g, x, y, size) {
    g.beginPath();
    g.moveTo(x, y);
    g.lineTo(x - Math.abs(size), y + size);
    g.lineTo(x + Math.abs(size), y + size);
    g.fill();
  }
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  return [low, high];
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find(s => s * power >= rough) ?? 10);
}

function usualStep(pairs) {
  const steps = [];
  for (let i = Math.max(1, pairs.length - 60); i < pairs.length; i++) steps.push(pairs[i][0] - pairs[i - 1][0]);
  steps.sort((a, b) => a - b);
  return steps[steps.length >> 1] ?? 0;
}
