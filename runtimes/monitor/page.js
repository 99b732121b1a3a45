"use strict"; // served inside page.html

// An update holds the states of all cameras and their new images. It is a short request, as browsers open at most six
// connections to a host: endless ones would leave nothing to the seventh camera, or to the sixth tab.
const UPDATE_MILLISECONDS = 100, HIDDEN_MILLISECONDS = 1000, RETRY_MILLISECONDS = 1000, TIMEOUT_MILLISECONDS = 20000;
const REASONS = { policy: "all views of the policy", early_exit: "early exit, confident enough", budget: "fewer, to keep the budget",
                  no_time_to_rank: "no time for the loss predictor", past_deadline: "less time left than one view takes",
                  undecided: "no time for this object" };
const HEALTH = { clear: "clear", degraded: "degraded", blind: "blind" };
const HEALTH_REASONS = { dark: "too dark", overexposed: "overexposed", blurred: "blurred", noisy: "noisy", covered: "covered or dirty" };
const CAUSES = { decode: "dropped: damaged", superseded: "dropped: superseded", late: "dropped: too old",
                 engine: "dropped: engine failed", detector: "dropped: detector failed", source: "times camera was lost" };
const HISTORY_MILLISECONDS = 2000, HISTORY_SECONDS = 300;
// of the most frequent labels: colors that color-blind people can tell apart (Okabe and Ito); the others share a gray
const LABEL_COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
const SVG = "http://www.w3.org/2000/svg";
const milliseconds = (seconds) => seconds == null ? "" : (1000 * seconds).toFixed(seconds < 0.01 ? 2 : 1) + " ms";

function addElement(parent, tag, className, text) {
  const child = document.createElement(tag);
  if (className) child.className = className;
  if (text != null) child.textContent = text;
  parent.append(child);
  return child;
}

function addShape(parent, tag, attributes, text) {
  const child = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) child.setAttribute(name, value);
  if (text != null) child.textContent = text;
  parent.append(child);
  return child;
}

function addCamera() {
  const root = addElement(document.getElementById("cameras"), "section", "camera");
  const left = addElement(root, "div");
  const image = addElement(left, "div", "image");
  const history = addElement(left, "div", "panel");
  addElement(history, "h2", "", "last five minutes");
  const panels = addElement(root, "div");
  const addPanel = (title) => {
    const panel = addElement(panels, "div", "panel");
    addElement(panel, "h2", "", title);
    return addElement(panel, "div");
  };
  return { root, image, history: addElement(history, "div"), decision: addPanel("decision"), time: addPanel("time"), frames: addPanel("frames"), histogram: addPanel("latency") };
}

function addBar(parent, segments) {
  const bar = addElement(parent, "div", "bar");
  for (const [share, color, title] of segments) {
    const segment = addElement(bar, "i");
    segment.style.width = 100 * Math.max(0, share) + "%";
    segment.style.background = color;
    segment.title = title || "";
  }
}

function addTable(parent) {
  const table = addElement(parent, "dl");
  return (name, value, className) => { addElement(table, "dt", "", name); addElement(table, "dd", className, value); };
}

function showDecision(panel, state) {
  panel.replaceChildren();
  const camera = state.camera, decisions = state.decisions, decision = decisions[0];
  if (camera.phase !== "live") addElement(panel, "p", "problem", camera.phase + (camera.error ? ": " + camera.error : ""));
  const health = state.health;
  if (health) {
    const reasons = health.reasons.map((reason) => HEALTH_REASONS[reason]).join(", ");
    addElement(panel, "p", "health " + health.state, "camera health: " + HEALTH[health.state] + (reasons ? ", " + reasons : ""));
  }
  if (state.version && !decision) addElement(panel, "p", "gray", "no objects in this frame");
  if (decisions.length > 1) {
    const addRow = addTable(panel);
    decisions.forEach((each, index) => addRow(
      each.name || "object " + (each.track == null ? index + 1 : each.track),
      each.label ? each.label + " " + Math.round(100 * each.confidence) + "%" : REASONS[each.reason],
    ));
  }
  if (decisions.length !== 1) return;
  const heading = addElement(panel, "div", "label");
  addElement(heading, "span", "", decision.label);
  addElement(heading, "span", "", Math.round(100 * decision.confidence) + "%");
  addBar(panel, [[decision.confidence, decision.confidence < 0.5 ? "var(--uncertain)" : "var(--confident)"]]);
  addElement(panel, "p", "gray", decision.views.length + " of " + decision.planned_views + " views: " + REASONS[decision.reason]);
  const chips = addElement(panel, "div", "chips");
  decision.views.forEach((view, index) => {
    const loss = decision.predicted_losses[index];
    const chip = addElement(chips, "span", "chip", view + (loss == null ? "" : "  " + loss.toFixed(2)));
    chip.title = loss == null ? "view" : "view and its predicted loss";
  });
}

function showTime(panel, state) {
  panel.replaceChildren();
  const decision = state.decisions[0], budget = state.budget_seconds;
  if (!decision) return;
  const stages = Object.keys(decision.times).map(
    (stage) => [stage, state.decisions.reduce((sum, each) => sum + each.times[stage], 0)]);
  const spent = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  const total = Math.max(budget || 0, decision.age, spent) || 1;
  const waiting = Math.max(0, decision.age - spent);
  addBar(panel, [[waiting / total, "var(--waiting)", "waiting " + milliseconds(waiting)],
    ...stages.map(([stage, seconds]) => [seconds / total, "var(--" + stage + ")", stage + " " + milliseconds(seconds)])]);
  const addRow = addTable(panel);
  addRow("frame age at the decision", milliseconds(decision.age), decision.late ? "problem" : "");
  addRow("budget", budget == null ? "none" : milliseconds(budget));
  for (const [stage, seconds] of stages) addRow(stage, milliseconds(seconds));
}

function showFrames(panel, state) {
  panel.replaceChildren();
  const addRow = addTable(panel);
  addRow("camera", state.camera.name);
  if (state.index != null) addRow("number of this frame", state.index);
  addRow("frames decided on", state.decided + " (" + state.decisions_per_second.toFixed(1) + " per second)");
  addRow("late decisions", state.late);
  for (const [cause, count] of Object.entries(state.drops)) addRow(CAUSES[cause], count);
  const quantiles = state.frame_age;
  if (quantiles) addRow("frame age p50 / p90 / p99",
    ["p50", "p90", "p99"].map((name) => (1000 * quantiles[name]).toFixed(1)).join(" / ") + " ms");
}

function showHistogram(panel, state) {
  const bounds = state.histogram_bounds, budget = state.budget_seconds;
  const perBin = (cumulative) => cumulative.map((count, index) => count - (index ? cumulative[index - 1] : 0));
  const times = perBin(state.decision_time_counts), ages = perBin(state.frame_age_counts);
  const highest = Math.max(1, ...times, ...ages), width = 300 / bounds.length;
  panel.replaceChildren();
  const chart = addShape(panel, "svg", { viewBox: "0 0 300 96" });
  const addBars = (counts, color, offset) => counts.forEach((count, index) => count && addShape(chart, "rect", {
    x: index * width + offset, y: 80 - 76 * count / highest, width: width / 2 - 0.5, height: 76 * count / highest, fill: color }));
  addBars(times, "var(--blue)", 0);
  addBars(ages, "var(--age)", width / 2);
  if (budget > 0) {
    const x = width * (1 + 2 * Math.log2(budget / bounds[0]));
    addShape(chart, "line", { x1: x, x2: x, y1: 0, y2: 82, stroke: "var(--late)", "stroke-dasharray": "3 3" });
  }
  bounds.forEach((bound, index) => index % 6 === 1 && addShape(chart, "text",
    { x: (index + 1) * width, y: 92, "text-anchor": "middle" }, (1000 * bound).toPrecision(2) * 1 + " ms"));
  addElement(panel, "span", "legend", "decision time");
  addElement(panel, "span", "legend", "frame age at the decision");
}

// A strip of the most frequent label of each second, the mean confidence below it, and late frames and trouble under that.
function showHistory(panel, seconds, name) {
  panel.replaceChildren();
  if (!seconds.length) return addElement(panel, "p", "gray", "nothing decided yet");
  const counts = new Map(), x = (age) => 300 * (1 - (age + 1) / HISTORY_SECONDS), width = 300 / HISTORY_SECONDS + 0.1;
  for (const each of seconds) if (each.label) counts.set(each.label, (counts.get(each.label) || 0) + each.frames);
  const labels = [...counts.keys()].sort((first, second) => counts.get(second) - counts.get(first));
  const color = (label) => LABEL_COLORS[labels.indexOf(label)] || "var(--age)";
  const late = seconds.reduce((sum, each) => sum + each.late, 0);
  const troubled = seconds.filter((each) => each.health === "degraded" || each.health === "blind").length;
  const summary = name + ", last five minutes: mostly " + (labels.slice(0, 3).join(", ") || "no label") + "; " + late
    + " late frames; " + troubled + " seconds in which the camera saw badly";
  const chart = addShape(panel, "svg", { viewBox: "0 0 300 70", class: "timeline", role: "img", "aria-label": summary });
  for (const each of seconds) {
    if (each.label) addShape(addShape(chart, "rect", { x: x(each.age), y: 0, width, height: 12, fill: color(each.label) }), "title", {},
      each.age + " s ago: " + each.label);
    if (each.late) addShape(chart, "rect", { x: x(each.age), y: 52, width: Math.max(width, 1), height: 4, fill: "var(--late)" });
    if (each.health === "degraded") addShape(chart, "rect", { x: x(each.age), y: 58, width, height: 4, fill: "var(--uncertain)" });
    if (each.health === "blind") addShape(chart, "rect", { x: x(each.age), y: 58, width, height: 6, fill: "var(--late)" });
  }
  addShape(chart, "line", { x1: 0, x2: 300, y1: 32, y2: 32, stroke: "var(--border)" }); // half of the confidence
  const point = (each) => x(each.age).toFixed(2) + "," + (48 - 32 * each.confidence).toFixed(2);
  const sure = seconds.filter((each) => each.confidence != null);
  let run = []; // a gap of a second breaks the line
  sure.forEach((each, index) => {
    run.push(point(each));
    if (index + 1 === sure.length || sure[index + 1].age < each.age - 1) {
      addShape(chart, "polyline", { points: run.join(" "), fill: "none", stroke: "var(--text)", "stroke-width": 1, "stroke-linecap": "round" });
      run = [];
    }
  });
  [240, 180, 120, 60].forEach((age) => addShape(chart, "text", { x: x(age), y: 69, "text-anchor": "middle" }, "-" + age / 60 + " min"));
  const legend = addElement(panel, "div", "chips");
  labels.slice(0, LABEL_COLORS.length).forEach((label) => {
    const chip = addElement(legend, "span", "chip", label);
    chip.style.borderLeft = "10px solid " + color(label);
  });
  if (labels.length > LABEL_COLORS.length) addElement(legend, "span", "gray", (labels.length - LABEL_COLORS.length) + " more in gray");
  addElement(panel, "p", "gray", "strip: label; line: confidence" + (late ? "; red: " + late + " late" : "")
    + (troubled ? "; lowest row: " + troubled + " s degraded or blind" : ""));
}

function loadImage(blob) {
  return new Promise((resolve) => {
    const image = new Image();
    image.decoding = "sync"; // it appears together with the panel of its frame
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    image.src = URL.createObjectURL(blob);
  });
}

function showImage(holder, image, state) {
  image.alt = "frame " + state.index + " of " + state.camera.name;
  for (const old of holder.children) URL.revokeObjectURL(old.src);
  holder.replaceChildren(image);
}

function showStatus(text, stale) {
  document.getElementById("status").textContent = text;
  document.title = "allweather: " + text;
  document.body.classList.toggle("stale", stale);
}

const cameras = [];
const folder = location.pathname.replace(/\/?$/, "/"); // behind a proxy, the page may be at /cams/, or at /cams
let seen = [];

async function update() {
  const address = folder + "update" + (location.search || "?") + "&seen=" + seen.join(".");
  const response = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS) });
  if (!response.ok) throw new Error(await response.text());
  const parts = await response.formData();
  const states = JSON.parse(parts.get("states"));
  const images = await Promise.all(states.map((_, index) => parts.has("frame-" + index) ? loadImage(parts.get("frame-" + index)) : null));
  while (cameras.length < states.length) cameras.push(addCamera());
  while (cameras.length > states.length) cameras.pop().root.remove();
  states.forEach((state, index) => {
    if (images[index]) showImage(cameras[index].image, images[index], state);
    cameras[index].name = state.camera.name;
    cameras[index].root.setAttribute("aria-label", "camera " + state.camera.name);
    showDecision(cameras[index].decision, state);
    showTime(cameras[index].time, state);
    showFrames(cameras[index].frames, state);
    showHistogram(cameras[index].histogram, state);
  });
  seen = states.map((state) => state.version);
  showStatus(states.length === 1 ? "1 camera" : states.length + " cameras", false);
}

let lastHistory = 0; // milliseconds

async function updateHistory() {
  if (Date.now() - lastHistory < HISTORY_MILLISECONDS) return;
  lastHistory = Date.now();
  const response = await fetch(folder + "history" + location.search, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS) });
  if (!response.ok) throw new Error(await response.text());
  (await response.json()).forEach((seconds, index) => {
    if (cameras[index]) showHistory(cameras[index].history, seconds, cameras[index].name);
  });
}

async function run() {
  let pause = document.hidden ? HIDDEN_MILLISECONDS : UPDATE_MILLISECONDS;
  try {
    await update();
    await updateHistory();
  } catch (error) {
    pause = RETRY_MILLISECONDS;
    seen = []; // a server that was started again counts from the beginning
    const isRefusal = error.constructor === Error; // and no failure of the connection
    showStatus(isRefusal ? error.message.trim() : "not connected; trying again", true);
  }
  setTimeout(run, pause);
}

run();
