/* The grid of ninety days: done days from this browser, today, arrows, export and import. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const { store, done, refresh } = window.llm90;
  const days = [...document.querySelectorAll("#grid a.day")];
  if (!days.length) return;
  const number = (a) => Number(a.dataset.day);
  const name = new Map(days.map((a) => [a, a.getAttribute("aria-label").replace(/, unread$/, "")]));

  function streak() {
    const dates = new Set(Object.values(done));
    const day = new Date();
    const iso = () => day.toLocaleDateString("sv");
    if (!dates.has(iso())) day.setDate(day.getDate() - 1);   // today still has time
    let length = 0;
    for (; dates.has(iso()); day.setDate(day.getDate() - 1)) length += 1;
    return length;
  }

  function show() {
    const today = days.find((a) => !(number(a) in done));
    for (const a of days) {
      const state = number(a) in done ? "done" : a === today ? "today" : "unread";
      a.classList.toggle("done", state === "done");
      a.classList.toggle("today", state === "today");
      a.setAttribute("aria-label", `${name.get(a)}, ${state}`);
      a.tabIndex = a === (today ?? days[0]) ? 0 : -1;
    }
    const total = Object.keys(done).length, run = streak();
    document.querySelector("#count b").textContent = `${total} of 90`;
    document.getElementById("count").lastChild.textContent =
      " done, kept in this browser" + (run > 1 ? ` · ${run} days in a row` : "");
    for (const n of document.querySelectorAll("[data-of]")) {
      const last = 30 * n.dataset.of;
      n.textContent = `${Object.keys(done).filter((d) => d > last - 30 && d <= last).length} of 30`;
    }
    const go = document.getElementById("continue");
    if (go && today && total) {
      go.href = today.href;
      go.textContent = `Continue with day ${number(today)}`;
      document.getElementById("restart").hidden = false;
    }
  }

  /* Tab enters the grid at today; arrows move in it, rows of thirty up and down. */
  document.getElementById("grid").addEventListener("keydown", (event) => {
    const at = days.indexOf(event.target.closest("a.day"));
    if (at < 0) return;
    const near = (wish) => days.reduce((a, b) => (Math.abs(number(b) - wish) < Math.abs(number(a) - wish) ? b : a));
    const next = {
      ArrowRight: days[at + 1], ArrowLeft: days[at - 1], Home: days[0], End: days.at(-1),
      ArrowDown: near(number(days[at]) + 30), ArrowUp: near(number(days[at]) - 30),
    }[event.key];
    if (!next) return;
    event.preventDefault();
    days.forEach((a) => { a.tabIndex = -1; });
    next.tabIndex = 0;
    next.focus();
  });

  /* What the reader wrote on the lessons' pages travels with the days. */
  const WORDS = /^(say-\d+|log)$/;
  function written() {
    const words = {};
    try {
      for (const key of Object.keys(localStorage)) {
        const name = key.replace(/^llm90\./, "");
        if (name !== key && WORDS.test(name) && store.get(name, "")) words[name] = store.get(name, "");
      }
    } catch { /* a browser that forbids storage has none */ }
    return words;
  }
  function take(words) {
    for (const [name, text] of Object.entries(words ?? {})) {
      if (!WORDS.test(name) || typeof text !== "string") continue;
      const mine = store.get(name, "");
      if (!mine.includes(text)) store.set(name, !mine || text.includes(mine) ? text : `${mine}\n\n${text}`);
    }
  }

  document.getElementById("export").addEventListener("click", () => {
    const kept = { book: "llm90", done, words: written(), ticked: store.get("ticked", {}) };
    const file = new Blob([JSON.stringify(kept, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = "llm90-days.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  const picker = document.getElementById("file");
  document.getElementById("import").addEventListener("click", () => picker.click());
  picker.addEventListener("change", async () => {
    const said = document.getElementById("count").lastChild;
    try {
      const read = JSON.parse(await picker.files[0].text());
      if (read.book !== "llm90" || typeof read.done !== "object") throw new Error();
      for (const [day, date] of Object.entries(read.done)) {
        if (day >= 1 && day <= 90 && /^\d{4}-\d\d-\d\d$/.test(date)) done[Number(day)] = date;
      }
      store.set("done", done);
      take(read.words);
      if (read.ticked && typeof read.ticked === "object") store.set("ticked", { ...read.ticked, ...store.get("ticked", {}) });
      refresh();
    } catch {
      said.textContent = " done · that file is no export of this page";
    }
    picker.value = "";
  });

  document.addEventListener("donechange", show);
  show();
});
