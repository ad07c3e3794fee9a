"use strict";
(() => {
  const PAGE = innerWidth < 900 ? 8 : 20; // one above the other, the list must not hide the dialogue
  const { el } = retool;
  const chunks = new Map();
  const state = { page: 0, chosen: null, raw: false, shade: true, pair: 0, pairKind: "" };
  let index = null;

  const dialogue = async (number) => {
    const chunk = Math.floor(number / index.chunk);
    if (!chunks.has(chunk)) chunks.set(chunk, retool.unpack(`chunk-${chunk}`));
    return (await chunks.get(chunk))[number % index.chunk];
  };

  // The last turn of the user, without the marks that are left of the chat template.
  const problemOf = (row) => {
    const text = index.problems[row.problem].replace(/\n?assistant\n?(<think>\n?)?$/, "");
    const place = text.lastIndexOf("\nuser\n");
    return (place >= 0 ? text.slice(place + 6) : text.replace(/^user\n/, "")).trim();
  };
  const verdict = (row) => (row.right === null ? "not scored" : row.right ? "right" : "wrong");
  const badge = (row) => el("span", { class: `badge ${verdict(row).split(" ")[0]}` }, verdict(row));
  const short = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4))));
  const many = (count, one) => `${short(count)} ${one}${count === 1 ? "" : "s"}`;
  const stepOf = (row) => (row.step === null ? row.set : `${row.set}, step ${row.step}`);

  // Prism's tokens as elements: its own way to show them would put HTML together.
  const coloured = (tokens) => [tokens].flat().map((token) =>
    typeof token === "string" ? token : el("span", { class: `token ${token.type}` }, ...coloured(token.content)));

  // What the tool said, without the marks of the turn; all of it under "raw text".
  const bare = (text) => {
    const found = [...text.matchAll(/<(tool_response|interpreter)>\n?([\s\S]*?)\n?(?:<\/\1>|$)/g)];
    return found.length ? found.map((match) => match[2]).join("\n") : text;
  };

  // ---- one dialogue -------------------------------------------------------------------------------------
  const box = (part) => {
    const names = { text: "model", code: part.a ? `call of ${part.a}` : "code", tool: "tool output" };
    const trained = part.m ? "trained on" : "not trained on";
    const tokens = part.n === undefined ? "" : `, ${many(part.n, "token")}`;
    const body = el("pre", {});
    if (part.c !== undefined && !state.raw) body.append(...coloured(Prism.tokenize(part.c, Prism.languages.python)));
    else body.append(part.k === "tool" && !state.raw ? bare(part.t) : part.t);
    return el("div", { class: `part ${part.k} ${part.m ? "trained" : "masked"}` },
      el("span", { class: "who" }, names[part.k], el("small", {}, `${trained}${tokens}`)), body);
  };

  const table = (title, values) => {
    const rows = Object.entries(values);
    if (!rows.length) return "";
    return el("details", { class: "numbers", open: title === "Reward" }, el("summary", {}, title),
      el("dl", {}, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, short(value))))));
  };

  const article = (row, found) => el("article", { class: `dialogue${state.shade ? " shaded" : ""}` },
    el("header", {}, badge(row), row.cut ? el("span", { class: "badge" }, "truncated") : "",
      row.failed ? el("span", { class: "badge" }, "failed code") : "",
      el("span", { class: "quiet" }, `${retool.runs.length > 1 ? `${retool.runs[row.run]}, ` : ""}${stepOf(row)}`)),
    el("dl", { class: "answer" },
      el("div", {}, el("dt", {}, "prediction"), el("dd", {}, found.pred || "-")),
      el("div", {}, el("dt", {}, "gold"), el("dd", {}, found.gold || "-")),
      el("div", {}, el("dt", {}, "score"), el("dd", {}, row.score === null ? "-" : short(row.score)))),
    el("details", { class: "prompt" }, el("summary", {}, "Prompt"), el("pre", {}, index.problems[row.problem])),
    ...found.parts.map(box),
    found.masked ? el("p", { class: "quiet" }, "Left out of training as a whole (retool.masks): no token of it is trained on.") : "",
    found.inferred
      ? el("p", { class: "quiet" }, "Shading inferred from the text: this dump has no record of the mask.")
      : el("p", { class: "quiet" }, "Shading as recorded: the mask of each token."),
    table("Reward", found.reward), table("Counters", found.counters),
    found.seconds.length ? el("p", { class: "quiet" }, `seconds of calls: ${found.seconds.map(short).join(", ")}`) : "");

  // ---- list, filters, paging ------------------------------------------------------------------------------
  const select = (name, label, options) => el("label", {}, label,
    el("select", { name, onchange: changed }, ...options.map(([value, text]) => el("option", { value }, text))));

  const filters = () => {
    const listed = index.rows.filter((row) => row.listed);
    const sets = [...new Set(listed.map((row) => row.set))];
    const steps = [...new Set(listed.map((row) => row.step))].filter((step) => step !== null).sort((a, b) => a - b);
    return el("form", { class: "filters", onsubmit: (event) => event.preventDefault(), onreset: () => setTimeout(changed) },
      retool.runs.length > 1 ? select("run", "run", [["", "all"], ...retool.runs.map((name, place) => [place, name])]) : "",
      sets.length > 1 ? select("set", "from", [["", "all"], ...sets.map((name) => [name, name])]) : "",
      steps.length ? select("step", "step", [["", "all"], ...steps.map((step) => [step, step])]) : "",
      select("right", "answer", [["", "all"], ["true", "right"], ["false", "wrong"], ["null", "not scored"]]),
      select("tools", "tools", [["", "all"], ["used", "used a tool"], ["none", "no tool"], ["failed", "failed code"]]),
      select("cut", "length", [["", "all"], ["true", "truncated"], ["false", "whole"]]),
      el("label", { class: "search" }, "problem", el("input", { name: "text", type: "search", placeholder: "text of the problem", oninput: changed })),
      el("button", { type: "reset" }, "Clear"));
  };

  const tests = {
    run: (row, value) => row.run === Number(value),
    set: (row, value) => row.set === value,
    step: (row, value) => row.step === Number(value),
    right: (row, value) => String(row.right) === value,
    tools: (row, value) => (value === "failed" ? row.failed : (row.calls > 0) === (value === "used")),
    cut: (row, value) => String(row.cut) === value,
    text: (row, value) => index.problems[row.problem].toLowerCase().includes(value.toLowerCase()),
  };

  const matching = () => {
    const wanted = [...new FormData(document.querySelector("form.filters"))].filter(([, value]) => value !== "");
    return index.rows.flatMap((row, number) =>
      row.listed && wanted.every(([name, value]) => tests[name](row, value)) ? [number] : []);
  };

  const item = (number) => {
    const row = index.rows[number];
    const words = [stepOf(row), row.calls === null ? "" : many(row.calls, "call"), row.tokens === null ? "" : many(row.tokens, "token"),
      row.failed ? "failed code" : "", row.cut ? "truncated" : ""];
    return el("li", {}, el("button", { type: "button", "aria-pressed": String(number === state.chosen), onclick: () => show(number, true) },
      el("span", { class: "one" }, badge(row), el("b", {}, problemOf(row).slice(0, 160))),
      el("small", {}, words.filter(Boolean).join(" · "))));
  };

  const turner = (page, last, turn) => el("div", { class: "pager" },
    el("button", { type: "button", disabled: page <= 0, onclick: () => turn(page - 1) }, "‹ previous"),
    el("span", {}, last < 0 ? "nothing matches" : `${page + 1} of ${last + 1}`),
    el("button", { type: "button", disabled: page >= last, onclick: () => turn(page + 1) }, "next ›"));

  const list = () => {
    const found = matching();
    const last = Math.ceil(found.length / PAGE) - 1;
    state.page = Math.max(0, Math.min(state.page, last));
    const shown = found.slice(state.page * PAGE, (state.page + 1) * PAGE);
    document.getElementById("count").textContent =
      `${found.length} of ${index.rows.filter((row) => row.listed).length} match`;
    document.getElementById("list").replaceChildren(
      el("ol", { start: state.page * PAGE + 1 }, ...shown.map(item)),
      turner(state.page, last, (page) => { state.page = page; list(); }));
    return found;
  };

  async function changed() {
    state.page = 0;
    const found = list();
    if (found.length && !found.includes(state.chosen)) await show(found[0], false);
  }

  async function show(number, jump) {
    state.chosen = number;
    const found = await dialogue(number);
    if (state.chosen !== number) return; // another one was clicked meanwhile
    const detail = document.getElementById("detail");
    detail.replaceChildren(article(index.rows[number], found));
    list();
    if (jump && detail.getBoundingClientRect().top > innerHeight * 0.8) detail.scrollIntoView({ block: "start" });
  }

  const toggle = (name, text) => el("label", { class: "toggle" },
    el("input", { type: "checkbox", checked: state[name], onchange: (event) => {
      state[name] = event.target.checked;
      show(state.chosen, false).then(pair);
    } }), text);

  const sampled = (run, place) => {
    const kinds = Object.keys(run.read).map((kind) => `${kind} ${run.shown[kind] || 0} of ${run.read[kind]}`);
    const name = retool.runs.length > 1 ? `${retool.runs[place]}: ` : "";
    const all = Object.keys(run.read).every((kind) => run.read[kind] === run.shown[kind]);
    return el("p", { class: "quiet" }, all ? `${name}all trajectories are shown (${kinds.join(", ")}).`
      : `${name || "This is "}a random sample, spread evenly over ranges of steps and over classes, so its shares are not those of the run: ${kinds.join(", ")}.`);
  };

  // ---- before and after -------------------------------------------------------------------------------------
  const PAIRS = { "": "all", "false>true": "wrong, then right", "true>false": "right, then wrong",
                  "false>false": "wrong both times", "true>true": "right both times" };
  const kindOf = (one) => `${index.rows[one.before].right}>${index.rows[one.after].right}`;

  async function pair() {
    const body = document.getElementById("pair");
    if (!body) return;
    const found = index.pairs.filter((one) => !state.pairKind || kindOf(one) === state.pairKind);
    state.pair = Math.max(0, Math.min(state.pair, found.length - 1));
    const turning = turner(state.pair, found.length - 1, (page) => { state.pair = page; pair(); });
    if (!found.length) return body.replaceChildren(turning);
    const one = found[state.pair];
    const [before, after] = await Promise.all([dialogue(one.before), dialogue(one.after)]);
    const rows = [index.rows[one.before], index.rows[one.after]];
    body.replaceChildren(turning, el("p", { class: "problem" }, problemOf(rows[0])),
      el("div", { class: "two" }, article(rows[0], before), article(rows[1], after)));
  }

  const changes = (run, place) => {
    const name = retool.runs.length > 1 ? `${retool.runs[place]}: ` : "";
    const of = run.change;
    if (!of) return el("p", { class: "quiet" }, `${name || "This run has "}${name ? "there are " : ""}no two validations to compare.`);
    const lost = of.unmatched ? `; ${of.unmatched} problems are in one of the two validations only` : "";
    const several = of.answers > 1 ? " Better and worse go by the share of right answers; one answer of each problem is shown." : "";
    return el("p", { class: "quiet" },
      `${name}${of.better} problems better, ${of.worse} worse, ${of.same_right} as right and ${of.same_wrong} as wrong as before${lost}. ` +
      `${many(run.pairs, "problem")} of them, chosen at random, ${run.pairs === 1 ? "is" : "are"} here.${several}`);
  };

  const pairSection = () => {
    const body = document.getElementById("pairs-body");
    body.replaceChildren(...index.runs.map(changes));
    if (!index.pairs.length) return;
    if (index.pairs.some((one) => kindOf(one) === "false>true")) state.pairKind = "false>true"; // what was learned
    const kinds = Object.entries(PAIRS).filter(([kind]) => !kind || index.pairs.some((one) => kindOf(one) === kind));
    body.append(el("div", { class: "filters" }, el("label", {}, "answers",
      el("select", { name: "pair-kind", onchange: (event) => { state.pairKind = event.target.value; state.pair = 0; pair(); } },
        ...kinds.map(([kind, text]) => el("option", { value: kind, selected: kind === state.pairKind }, text))))), el("div", { id: "pair" }));
  };

  const start = async () => {
    await retool.started; // the charts come first
    index = await retool.unpack("index");
    const viewer = document.getElementById("viewer");
    pairSection();
    if (!index.rows.some((row) => row.listed)) {
      viewer.replaceChildren(el("p", { class: "quiet" }, "No trajectory was read: the runs have no dumps of them, or none was asked for."));
    } else {
      viewer.replaceChildren(...index.runs.map(sampled), filters(),
        el("p", { class: "legend" }, el("span", { id: "count" }), toggle("shade", "shading"), toggle("raw", "raw text"),
          el("span", { class: "chip trained" }, "trained on"), el("span", { class: "chip masked" }, "not trained on")),
        el("div", { class: "browser" }, el("div", { id: "list" }), el("div", { id: "detail" })));
      await changed();
    }
    await pair();
    document.documentElement.dataset.viewer = "ready";
  };
  start().catch(retool.trouble);
})();
