// One answer on its way and at its end: what is said, section by section, and what it cost.

import { clear, draw } from "./paths.js";
import { bytes, counted, element, percent, time } from "./words.js";

const at = (id) => document.getElementById(id);
const card = at("card");
const big = at("answer");
const badge = at("badge");
const sections = at("sections");
const askedLine = at("asked-line");

/** Announced when it has changed, so that a screen reader is not flooded in continuous mode. */
function say(text) {
  if (big.textContent !== text) big.textContent = text;
}

/** An answer that is on its way. */
export class Run {
  constructor(question, picture, paths, full) {
    this.question = question;
    this.picture = picture;
    this.began = performance.now();
    this.paths = Array.from({ length: paths }, (_, id) => ({ id, tokens: 0 }));
    this.expected = full;
    this.shared = 0;
    this.checks = [];
    this.signal = "";
    this.escalations = [];
    this.sections = [];
    this.answer = null;
    this.drawn = false;
  }

  /** Shows that it is on its way; what stood there stays until there is something to say. `quiet`: continuous mode. */
  show(quiet) {
    card.dataset.state = "working";
    card.setAttribute("aria-busy", "true");
    askedLine.textContent = this.question;
    const seen = at("seen");
    seen.src = this.picture;
    seen.hidden = false;
    this.quiet = quiet;
    if (quiet) return;
    card.scrollIntoView({ block: "nearest" });
    say("");
    badge.replaceChildren();
    sections.replaceChildren();
    clear();
  }

  /** Takes an event of the stream. */
  take(event) {
    switch (event.event) {
      case "section_began":
        if (event.path === 0) this.sections.push({ kind: event.section, text: "", tokens: 0 });
        break;
      case "section_text": {
        const section = this.sections.findLast((it) => it.kind === event.section);
        if (event.path === 0 && section) section.text += event.text;
        break;
      }
      case "section_ended": {
        const section = this.sections.findLast((it) => it.kind === event.section);
        if (event.path === 0 && section) Object.assign(section, { tokens: event.tokens, ms: event.ms });
        break;
      }
      case "progress":
        event.tokens.forEach((tokens, path) => { this.paths[path].tokens = tokens; });
        break;
      case "checked":
        this.checks.push(event.at_tokens);
        this.signal = event.signal;
        for (const { path, score, kept, tokens } of event.scores) {
          Object.assign(this.paths[path], { score, tokens, dropped: !kept });
        }
        break;
      case "escalated":
        this.escalations.push(event);
        // The perception stays, where it is gone on from.
        this.sections = this.sections.filter((it) => event.kept_tokens && it.kind === "perception");
        break;
      case "text":
        if (event.path === 0) {
          if (!this.sections.length) this.sections.push({ kind: "text", text: "", tokens: 0 });
          this.sections[0].text += event.text;
        }
        break;
    }
    // On and on, what stands there stays until the next answer is whole.
    if (!this.drawn && !this.quiet) {
      this.drawn = true;
      requestAnimationFrame(() => {
        this.drawn = false;
        if (!this.over) this.render();
      });
    }
  }

  render() {
    renderSections(this.sections, this.escalations);
    draw(this);
  }

  /** Takes what it cost, at its end. */
  end(cost) {
    this.over = true;
    this.cost = cost;
    this.ms = performance.now() - this.began;
    const winner = cost.votes?.[0]?.paths[0] ?? Math.max(0, cost.paths.findIndex((path) => !["dropped", "decided", "interrupted"].includes(path.finish)));
    const speaker = cost.paths[winner];
    this.shared = cost.tokens.shared ?? 0;
    this.agreed = cost.votes?.[0]?.paths.length;
    this.escalations = cost.format?.escalations ?? [];
    const own = [...(cost.format?.shared ?? []), ...(speaker.sections ?? [])];
    this.sections = own.length
      ? own.map(({ kind, text, tokens, ms, finish }) => ({ kind, text, tokens, ms, finish }))
      : [{ kind: "text", text: speaker.text, tokens: speaker.tokens }];
    const said = this.sections.find((section) => section.kind === "answer")?.text;
    this.answer = cost.answer ?? said ?? speaker.text;
    this.checks = (cost.checks ?? []).map((check) => check.at_tokens);
    this.signal = cost.checks?.at(-1)?.signal ?? "";
    this.paths = cost.paths.map((path) => ({
      id: path.id,
      tokens: path.tokens,
      score: path.scores?.at(-1)?.score,
      dropped: path.finish === "dropped",
      fate: path.finish,
      answer: path.answer,
      won: path.id === winner,
    }));
    card.dataset.state = "done";
    card.removeAttribute("aria-busy");
    askedLine.textContent = this.question;
    say(this.answer || "no answer");
    renderBadge(cost);
    this.render();
  }

  /** It was broken off. */
  leave() {
    this.over = true;
    card.removeAttribute("aria-busy");
    if (card.dataset.state === "working") card.dataset.state = big.textContent ? "done" : "empty";
  }
}

function renderSections(all, escalations) {
  const made = all.filter((section) => section.kind !== "answer" && section.kind !== "text").map((section) => {
    const small = element("small", {}, section.tokens ? `${counted(section.tokens, "token")}${section.ms === undefined ? "" : `, ${time(section.ms)}`}` : "…");
    const text = element("div", {}, ...spoken(section));
    const cut = { cap: "closed at its cap", loop: "closed: it repeated itself", deadline: "closed for the deadline", max_tokens: "closed for lack of tokens" }[section.finish];
    if (cut) text.append(element("p", { class: "thin" }, cut));
    return element("section", { class: "section", "data-kind": section.kind }, element("h4", {}, section.kind, small), text);
  });
  const gone = escalations.map((it) => element("section", { class: "section gone", "data-kind": "answer" },
    element("h4", {}, `${it.from} first`, element("small", {}, `${counted(it.tokens, "token")}, ${time(it.ms)}`)),
    element("div", {}, element("p", {}, it.answer ?? "no answer"), document.createTextNode(
      it.confidence === undefined ? "" : `${percent(it.confidence)} sure, below the ${percent(it.threshold)} that it needs`))));
  sections.replaceChildren(...gone, ...made);
}

/** A perception of nine cells is shown as nine cells. */
function spoken({ kind, text }) {
  const rows = kind === "perception" && /^top (.*); middle (.*); bottom (.*)$/.exec(text.trim());
  const cells = rows && rows.slice(1).map((row) => row.split(" "));
  if (!cells || cells.some((row) => row.length !== 3)) return [element("p", {}, text)];
  const scan = element("div", { class: "scan", role: "img", "aria-label": text });
  for (const cell of cells.flat()) scan.append(element("span", cell === "none" ? { class: "none" } : {}, cell));
  return [scan];
}

function renderBadge(cost) {
  const format = cost.format;
  const made = [];
  if (format?.used) made.push(element("span", { class: format.used }, format.used));
  const first = format?.read_outs?.find((read) => !read.after);
  if (first) made.push(element("span", { title: "What the model would choose, read from the prompt before a token is drawn" }, `P(direct) ${percent(first.p_answer)}`));
  if (format?.confidence !== undefined && format?.confidence !== null) made.push(element("span", {}, `${percent(format.confidence)} sure`));
  made.push(element("span", {}, counted(cost.tokens.generated, "token")), element("span", {}, time(cost.times.total_ms)));
  badge.replaceChildren(...made);
}

/**
 * What `run` cost beside always-full. `full`: tokens that always-full takes for a question, on average; `measured`: what it
 * took for this one, where that was asked for.
 */
export function renderCost(run, full, measured, rate) {
  const { cost } = run;
  at("cost").hidden = false;
  const spent = cost.tokens.generated;
  const n = run.paths.length;
  const shared = cost.tokens.shared ?? 0;
  const guess = full && (n > 1 ? shared + Math.max(0, full - shared) * n : full);
  const other = measured?.tokens ?? guess;
  const bars = at("bars");
  const bar = (kind, tokens) => {
    const made = element("div", { class: `bar ${kind}` });
    made.style.width = `${(100 * tokens) / Math.max(spent, other ?? 0)}%`;
    return made;
  };
  bars.replaceChildren(element("span", {}, "this answer"), bar("", spent), element("span", {}, counted(spent, "token")));
  if (other) {
    const label = measured ? "always-full, measured" : "always-full, estimate";
    bars.append(element("span", {}, label), bar(measured ? "other" : "guess", other), element("span", {}, `${measured ? "" : "about "}${counted(other, "token")}`));
    const saves = 1 - spent / other;
    bars.append(element("span", { class: "saves thin" }, saves >= 0
      ? `${percent(saves)} fewer${measured ? `; always-full took ${time(measured.ms)} and says ${measured.answer}` : " than full answers have in the mean on the package's workload"}.`
      : `${percent(-saves)} more${measured ? `; always-full says ${measured.answer}` : ""}.`));
  }
  const times = cost.times;
  const image = cost.images?.[0];
  const seeing = image && (image.encode_ms ?? 0) + (image.process_ms ?? 0) + (image.decode_ms ?? 0);
  const drawn = Math.max(0, spent - n);
  const facts = [
    ["first token", time(times.first_token_ms)],
    ["answer", time(times.total_ms)],
    ["with the way here", time(run.ms)],
    [image?.cached ? "seeing (seen before)" : "seeing", time(seeing)],
    ["prompt", time(times.prefill_ms)],
    ["check", times.check_ms === undefined ? "none" : time(times.check_ms)],
    ["decode", times.decode_ms ? `${Math.round((drawn / times.decode_ms) * 1e3).toLocaleString("en")}/s` : "–"],
    ["keys and values", bytes(cost.kv?.bytes)],
    ["memory, peak", bytes(cost.peak_resident_bytes)],
  ];
  if (rate) facts.push(["answers", `${rate.toFixed(1)}/s`]);
  at("facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}
