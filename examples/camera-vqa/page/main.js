// Puts the page together: pictures, questions, options, and asking once or on and on.

import { Run, renderCost } from "./answer.js";
import { Trouble, ask, model } from "./client.js";
import * as picture from "./picture.js";
import { element, percent, time } from "./words.js";

const at = (id) => document.getElementById(id);

const SHEETS = 6;
const OF_SHEETS = ["How many shapes are red?", "Which color is at the top right?", "What is the largest digit?", "Is there any blue circle?", "Where is the purple 7?", "What is the sum of all digits?", "Which color is the most common?"];
const OF_ANYTHING = ["What is in the picture?", "What does it say?", "How many people are there?", "What color is it?"];
const NOTES = {
  auto: "The model reads from the prompt whether a glance is enough, and chooses.",
  direct: "The answer at once.",
  perception: "What it sees first, then the answer.",
  full: "What it sees, what follows from it, then the answer.",
  cascade: "Direct first; where that is not sure enough for the target, perception, then full.",
};
const REMEMBERED = 20;
// Several paths are drawn at the temperature that the package was trained with.
const TEMPERATURE = 0.8;
const CHECK_AT = 16;

const question = at("question");
const state = { model: null, run: null, abort: null, continuous: false, done: [], asked: [] };

function trouble(words) {
  at("trouble").hidden = !words;
  at("trouble").textContent = words ?? "";
}

// Pictures.

function showState() {
  const live = picture.isLive();
  at("live").hidden = !live;
  at("camera").textContent = live ? "Stop camera" : "Start camera";
  at("turn").hidden = !live || !state.cameras || state.cameras < 2;
}

function pressed(sheet) {
  for (const button of at("sheets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === sheet));
  }
}

async function take(source, words, sheet = null) {
  try {
    await picture.show(source, words);
    trouble();
    at("finder-note").textContent = "";
  } catch (error) {
    trouble(error.message);
    return;
  }
  pressed(sheet);
  showState();
  wake();
}

async function camera(other) {
  try {
    await picture.start(other);
    trouble();
    pressed(null);
    at("finder-note").textContent = "";
    state.cameras = await picture.cameras();
  } catch (error) {
    trouble(error.message);
  }
  showState();
}

at("camera").addEventListener("click", () => {
  if (!picture.isLive()) {
    camera(false);
    return;
  }
  const last = picture.frame();
  picture.stop();
  if (last) take(last, "The last picture of the camera");
  showState();
});
at("turn").addEventListener("click", () => camera(true));
at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) take(file, `Your picture ${file.name}`);
  event.target.value = "";
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((it) => it.type.startsWith("image/"));
  if (file) take(file, "The picture that you pasted");
});
const dragged = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragover", (event) => {
  if (!dragged(event)) return;
  event.preventDefault();
  at("finder").dataset.drop = "true";
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete at("finder").dataset.drop;
});
addEventListener("drop", (event) => {
  delete at("finder").dataset.drop;
  if (!dragged(event)) return;
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) take(file, "The picture that you dropped");
});

// Options.

function options() {
  const format = at("format").value;
  const n = Number(at("n").value);
  const own = { format };
  if (format === "cascade" && at("accuracy").value) own.calibration = at("accuracy").value;
  if (at("deadline").value) own.deadline_ms = Number(at("deadline").value);
  const asked = { curt: own, seed: 0 };
  if (n > 1) {
    own.paths = n;
    asked.temperature = TEMPERATURE;
    const keep = Number(at("keep").value);
    if (keep) {
      own.keep = keep;
      const [head] = Object.keys(state.model.curt.heads);
      own.signal = head ? `head:${head}` : "confidence";
      if (!head) own.check_at = CHECK_AT;
    }
  }
  return asked;
}

function optionsChanged() {
  const cascade = at("format").value === "cascade";
  at("accuracy-label").hidden = !cascade;
  at("keep").disabled = at("n").value === "1";
  for (const option of at("keep").options) option.disabled = Number(option.value) > Number(at("n").value);
  if (at("keep").selectedOptions[0]?.disabled) at("keep").value = "";
  at("format-note").textContent = NOTES[at("format").value] ?? "";
  wake();
}
at("options").addEventListener("change", optionsChanged);

const fullTokens = () => Object.values(state.model?.curt.calibrations ?? {})[0]?.full_tokens;

// Asking. Whoever asks anew gives up what was asked before: the server stops working on it.

function giveUp() {
  state.abort?.abort();
  state.abort = null;
  state.run?.leave();
  state.run = null;
}

async function once(quiet) {
  giveUp();
  const words = question.value.trim();
  const frame = picture.frame();
  if (!words) return null;
  if (!frame) {
    trouble("There is no picture yet: start the camera, open a picture or take a sheet.");
    return null;
  }
  const abort = new AbortController();
  const run = new Run(words, frame, Number(at("n").value), fullTokens());
  state.abort = abort;
  state.run = run;
  run.show(quiet);
  try {
    const asked = options();
    const cost = await ask({ picture: frame, question: words, options: asked, signal: abort.signal, seen: (event) => {
      if (state.run === run) run.take(event);
    } });
    if (state.run !== run) return null;
    run.options = asked;
    run.end(cost);
    state.done.push(performance.now());
    trouble(cost.notes?.length ? `Note: ${cost.notes.join("; ")}` : "");
    at("measured").textContent = "";
    renderCost(run, fullTokens(), null, rate());
    remember(run);
    return run;
  } catch (error) {
    if (abort.signal.aborted) return null;
    run.leave();
    trouble(error instanceof Trouble ? error.message : "The server does not answer: is it still running?");
    setContinuous(false);
    return null;
  }
}

/** Answers a second, over the last seconds, in continuous mode. */
function rate() {
  if (!state.continuous) return null;
  const now = performance.now();
  state.done = state.done.filter((then) => now - then < 5000);
  const [first] = state.done;
  return state.done.length > 1 ? ((state.done.length - 1) * 1000) / (state.done.at(-1) - first) : null;
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!state.continuous) once(false);
  else wake();
});

function setContinuous(on) {
  if (state.continuous === on) return;
  state.continuous = on;
  state.done = [];
  at("continuous").setAttribute("aria-pressed", String(on));
  at("continuous").textContent = on ? "Stop asking" : "Keep asking";
  if (on) keepAsking();
}
at("continuous").addEventListener("click", () => {
  setContinuous(!state.continuous);
  if (!state.continuous) giveUp();
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  setContinuous(false);
  giveUp();
});

/** Always the newest frame: one question at a time, and the next is of what the camera sees then. */
async function keepAsking() {
  while (state.continuous) {
    await picture.nextFrame();
    if (document.hidden) await new Promise((done) => addEventListener("visibilitychange", done, { once: true }));
    if (!state.continuous) return;
    await once(true);
  }
}

/** What is asked has changed: in continuous mode the answer on its way is to something else. */
function wake() {
  if (state.continuous) giveUp();
}

at("measure").addEventListener("click", async () => {
  const { run } = state;
  if (!run?.cost) return;
  setContinuous(false);
  const said = at("measured");
  said.textContent = "measuring…";
  const { paths } = run.options.curt;
  const asked = { seed: 0, curt: { format: "full", ...(paths ? { paths } : {}) }, ...(paths ? { temperature: TEMPERATURE } : {}) };
  try {
    const cost = await ask({ picture: run.picture, question: run.question, options: asked, seen: () => {} });
    if (state.run !== run) return;
    const measured = { tokens: cost.tokens.generated, ms: cost.times.total_ms, answer: cost.answer ?? "nothing" };
    said.textContent = "";
    renderCost(run, fullTokens(), measured, null);
  } catch (error) {
    said.textContent = error.message;
  }
});

// Questions: presets, and what was asked before, which stays in this browser.

function remember(run) {
  const { question: words, answer, cost } = run;
  state.asked = [{ words, answer, tokens: cost.tokens.generated, ms: cost.times.total_ms }, ...state.asked.filter((it) => it.words !== words)].slice(0, REMEMBERED);
  if (at("history").open || !state.continuous) renderHistory();
  try {
    localStorage.setItem("asked", JSON.stringify(state.asked.map((it) => it.words)));
  } catch {
    // A browser that keeps nothing forgets them.
  }
}

function renderHistory() {
  at("history").hidden = !state.asked.length;
  at("asked").replaceChildren(...state.asked.map(({ words }) => element("option", { value: words })));
  at("history-list").replaceChildren(...state.asked.map(({ words, answer, tokens, ms }) => {
    const button = element("button", { type: "button" }, words, element("span", {}, answer === undefined ? "" : `${answer} · ${tokens} · ${time(ms)}`));
    button.addEventListener("click", () => choose(words));
    return element("li", {}, button);
  }));
}
at("history").addEventListener("toggle", renderHistory);

function choose(words) {
  question.value = words;
  if (state.continuous) wake();
  else once(false);
}

function presets(all) {
  question.value ||= all[0];
  at("presets").replaceChildren(...all.map((words) => {
    const button = element("button", { type: "button" }, words);
    button.addEventListener("click", () => choose(words));
    return element("li", {}, button);
  }));
}

function sheets() {
  at("sheets").append(...Array.from({ length: SHEETS }, (_, place) => {
    const address = `/sheets/sheet-${place + 1}.jpg`;
    const button = element("button", { type: "button", "aria-pressed": "false" }, element("img", { src: address, alt: `Sheet ${place + 1}`, width: 64, height: 64 }));
    button.addEventListener("click", () => take(address, `Sheet ${place + 1}: shapes with handwritten digits`, button));
    return element("li", {}, button);
  }));
}

async function begin() {
  sheets();
  await take("/sheets/sheet-5.jpg", "Sheet 5: shapes with handwritten digits", at("sheets").querySelectorAll("button")[4]);
  try {
    state.asked = JSON.parse(localStorage.getItem("asked") ?? "[]").filter((words) => typeof words === "string").map((words) => ({ words }));
  } catch {
    state.asked = [];
  }
  renderHistory();
  try {
    state.model = await model();
  } catch (error) {
    trouble(error instanceof Trouble ? error.message : "The server does not answer: is it still running?");
    return;
  }
  const { curt, id } = state.model;
  at("model").textContent = `${id}, on this machine`;
  presets(curt.formats.length && curt.question ? OF_SHEETS : OF_ANYTHING);
  const calibrations = Object.entries(curt.calibrations).sort((a, b) => b[1].accuracy - a[1].accuracy);
  const formats = ["auto", ...curt.formats, ...(calibrations.length ? ["cascade"] : [])];
  at("format").append(...formats.map((name) => element("option", { value: name }, name)));
  at("accuracy").append(...calibrations.map(([name, it]) => element("option", { value: name },
    `${percent(it.accuracy)} at ${Math.round(it.tokens)} tokens${it.accuracy >= it.full_accuracy ? " (as full)" : ""}`)));
  at("options").open = matchMedia("(min-width: 56rem)").matches;
  optionsChanged();
  if (!curt.vision) trouble("This package takes no pictures: start the example with one that does (--package).");
  document.documentElement.dataset.ready = "true";
}

begin();
