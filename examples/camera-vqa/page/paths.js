// The paths as lines: they part where the reasoning begins, and end where the stop head dropped them.

import { counted, element } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const RIGHT = 125; // for what stands behind the lines
const LEFT = 8;
// As wide as there is room, so that words are as large as the page's.
let width = 640;

const figure = document.getElementById("paths");
const drawing = document.getElementById("paths-drawing");
const caption = document.getElementById("paths-caption");
const rows = document.getElementById("paths-rows");
const list = document.getElementById("paths-list");

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function sheet(height) {
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
  drawing.replaceChildren(svg);
  return svg;
}

/** Draws `run.paths` lines. What is not known yet is not drawn. */
export function draw(run) {
  figure.hidden = false;
  width = Math.max(drawing.clientWidth, 300);
  list.hidden = run.paths.length < 2;
  if (run.paths.length < 2) one(run);
  else several(run);
}

export function clear() {
  figure.hidden = true;
  drawing.replaceChildren();
  rows.replaceChildren();
}

/** Tokens that the drawing is as wide as. */
const scaled = (run, most) => {
  const all = Math.max(most, run.expected ?? 0, 8);
  return (tokens) => LEFT + (width - LEFT - RIGHT) * Math.min(1, tokens / all);
};

function several(run) {
  const n = run.paths.length;
  const gap = n > 8 ? 15 : 20;
  const height = n * gap + 16;
  const svg = sheet(height);
  const middle = height / 2;
  const longest = Math.max(...run.paths.map((path) => path.tokens), 0);
  const x = scaled(run, run.shared + longest);
  const part = Math.max(x(run.shared), LEFT + 18);
  const bend = Math.min(46, (width - RIGHT - part) / 4);
  svg.append(shape("path", { class: "trunk", d: `M${LEFT} ${middle}H${part}` }));
  for (const at of run.checks) {
    const across = Math.max(x(run.shared + at), part + bend);
    svg.append(shape("path", { class: "check", d: `M${across} 2V${height - 10}` }));
    svg.append(shape("text", { x: across, y: height, "text-anchor": "middle" }, `check at ${at}`));
  }
  // What won is drawn over the others.
  const order = [...run.paths].sort((a, b) => (a.won ? 1 : 0) - (b.won ? 1 : 0));
  for (const path of order) {
    const y = 10 + path.id * gap;
    const end = Math.max(x(run.shared + path.tokens), part + bend + 2);
    const kind = path.won ? "won" : path.dropped ? "dropped" : "kept";
    const d = `M${part} ${middle}C${part + bend * 0.6} ${middle} ${part + bend * 0.4} ${y} ${part + bend} ${y}H${end}`;
    svg.append(shape("path", { class: kind, d }));
    svg.append(shape("circle", { class: kind, cx: end, cy: y, r: path.won ? 4 : 3 }));
    const said = [path.score === undefined ? "" : path.score.toFixed(2), path.dropped ? "dropped" : path.answer ?? ""];
    svg.append(shape("text", { class: kind, x: end + 8, y: y + 4 }, said.filter(Boolean).join(" · ")));
  }
  const dropped = run.paths.filter((path) => path.dropped).length;
  const parts = [`${n} paths part after ${counted(run.shared, "token")} in common`];
  if (run.checks.length) parts.push(`${dropped} dropped at ${run.checks.length > 1 ? "checks" : "the check"}, scored by ${run.signal}`);
  if (run.agreed) parts.push(`${run.agreed} of ${n - dropped} say the same`);
  caption.textContent = `${parts.join("; ")}.`;
  rows.replaceChildren(...run.paths.map((path) => element("tr", {},
    element("th", { scope: "row" }, String(path.id)),
    element("td", {}, String(path.tokens)),
    element("td", {}, path.score === undefined ? "" : path.score.toFixed(3)),
    element("td", {}, path.won ? "speaks for the answer" : path.dropped ? "dropped" : path.fate ?? ""),
    element("td", {}, path.answer ?? ""))));
}

/** One path: its sections one after the other, and before them the answers that the cascade did not accept. */
function one(run) {
  const tries = [...run.escalations.map((it) => ({ ...it, gone: true })), null];
  const height = tries.length * 24 + 6;
  const svg = sheet(height);
  const own = run.sections.reduce((sum, section) => sum + section.tokens, 0);
  const x = scaled(run, Math.max(own, run.paths[0]?.tokens ?? 0));
  tries.forEach((gone, place) => {
    const y = 14 + place * 24;
    if (gone) {
      const end = x(gone.tokens + (gone.kept_tokens ?? 0));
      svg.append(shape("path", { class: "dropped", d: `M${LEFT} ${y}H${end}` }));
      svg.append(shape("circle", { cx: end, cy: y, r: 3 }));
      const why = gone.confidence === undefined ? "no answer" : `${gone.confidence.toFixed(2)} sure`;
      svg.append(shape("text", { x: end + 9, y: y + 4 }, `${gone.from}: ${gone.answer ?? "–"} · ${why}`));
      return;
    }
    let at = 0;
    for (const section of run.sections) {
      const kind = section.kind === "answer" ? "answer-part" : section.kind;
      const begin = x(at) + (at ? 5 : 0);
      at += section.tokens;
      svg.append(shape("path", { class: kind, d: `M${begin} ${y}H${Math.max(x(at) - 4, begin + 1)}` }));
    }
    const tokens = Math.max(at, run.paths[0]?.tokens ?? 0);
    if (!at) svg.append(shape("path", { class: "kept", d: `M${LEFT} ${y}H${x(tokens)}` }));
    svg.append(shape("circle", { class: "won", cx: x(tokens), cy: y, r: 4.5 }));
    svg.append(shape("text", { class: "won", x: x(tokens) + 10, y: y + 4 }, run.answer ?? counted(tokens, "token")));
  });
  const refused = run.escalations.length;
  const words = run.sections.map((section) => `${section.kind} ${section.tokens}`).join(", ");
  caption.textContent = words
    ? `One path, in tokens: ${words}${refused ? `; ${counted(refused, "cheaper answer")} not sure enough` : ""}.`
    : "One path.";
}
