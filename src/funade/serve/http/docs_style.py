"""How the docs page looks, and the few lines that let it try an api; nothing comes from elsewhere."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dce1e8; --paper: #ffffff;
  --tint: #f4f6f9; --sea: #0b62a4; --bad: #b3261e; --good: #1b6e3a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b6; --line: #2e3744; --paper: #12171e;
  --tint: #1a212b; --sea: #7cc0f5; --bad: #ff8a80; --good: #7fd6a0; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: .2rem 0; }
h2 { font-size: 1.35rem; margin: 0; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
a { color: var(--sea); } p { margin: .4rem 0; }
.soft { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .4rem .6rem; margin: 1rem 0 0; }
nav a { padding: .15rem .7rem; border: 1px solid var(--line); border-radius: 1rem; text-decoration: none; }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1.5rem; }
code, pre, textarea { font: .86rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre, textarea { background: var(--tint); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
  margin: .3rem 0; overflow-x: auto; }
pre { white-space: pre; }
.path { color: var(--soft); margin: .1rem 0 .4rem; }
.verb { color: var(--sea); font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: .82rem; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child code { font-weight: 600; }
@media (min-width: 40.01rem) {
  .fields td:nth-child(1) { width: 28%; }
  .fields td:nth-child(2):not(:last-child) { width: 27%; }
}
textarea { width: 100%; min-height: 8rem; color: inherit; resize: vertical; display: block; }
button { font: inherit; padding: .3rem 1.1rem; border-radius: .4rem; border: 1px solid var(--sea); color: var(--paper);
  background: var(--sea); cursor: pointer; }
button:focus-visible, a:focus-visible { outline: 2px solid var(--sea); outline-offset: 2px; }
input { font: inherit; color: inherit; background: var(--tint); border: 1px solid var(--line); border-radius: .4rem;
  padding: .25rem .6rem; max-width: 100%; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .4rem 0; }
.bad { color: var(--bad); } .good { color: var(--good); }
details > summary { cursor: pointer; color: var(--sea); margin: .8rem 0 .3rem; }
@media (max-width: 40rem) {
  main { padding: 1rem .9rem 3rem; }
  .fields tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .fields td { display: block; border: 0; padding: .05rem 0; }
  .fields td:empty { display: none; }
}
"""

SCRIPT = """
for (const place of document.querySelectorAll(".origin")) place.textContent = location.origin;
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = form.querySelector("output"), token = form.querySelector("input").value.trim();
    const headers = {"content-type": "application/json"};
    if (token) headers.authorization = "Bearer " + token;
    told.replaceChildren();
    const add = (kind, text, name) => {
      const made = document.createElement(kind);
      made.textContent = text;
      if (name) made.className = name;
      told.append(made);
    };
    try {
      const began = performance.now();
      const answer = await fetch(form.action, {method: "POST", headers, body: form.querySelector("textarea").value});
      const text = await answer.text(), took = Math.round(performance.now() - began);
      add("p", answer.status + " in " + took + " ms", answer.ok ? "good" : "bad");
      const said = [...answer.headers].filter(([name]) => name.startsWith("funade-") || name === "retry-after");
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { }
      add("pre", said.map((pair) => pair.join(": ")).join("\\n") + "\\n\\n" + shown);
    } catch (error) { add("p", "No answer: " + error.message, "bad"); }
  });
}
"""
