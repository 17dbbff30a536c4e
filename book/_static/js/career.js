/* Career pages: drawing questions, ticking papers, saving one's own words, lines from one's own runs. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const { store } = window.llm90;
  const all = (what) => [...document.querySelectorAll(what)];
  const say = (place, text) => { document.getElementById(place).textContent = text; };

  function save(name, text, type = "text/plain") {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  /* Interview: five at random, without their neighbours to give them away. */
  const draw = document.getElementById("draw"), every = document.getElementById("all");
  if (draw) {
    const questions = all("details.q");
    const show = (chosen) => {
      questions.forEach((one) => { one.hidden = !chosen.includes(one); one.open = false; });
      all("article section section").forEach((part) => {
        const own = [...part.querySelectorAll("details.q")];
        if (own.length) part.hidden = own.every((one) => one.hidden);
      });
      every.hidden = chosen.length === questions.length;
    };
    draw.hidden = false;
    draw.addEventListener("click", () => {
      const left = [...questions], chosen = [];
      while (chosen.length < 5 && left.length) chosen.push(...left.splice(Math.floor(Math.random() * left.length), 1));
      show(chosen);
    });
    every.addEventListener("click", () => show(questions));
  }

  /* Papers: ticks are kept in this browser. */
  const boxes = all("[data-tick]");
  if (boxes.length) {
    const ticked = store.get("ticked", {});
    const count = () => say("ticked", `${boxes.filter((box) => box.checked).length} of ${boxes.length} papers read`);
    for (const box of boxes) {
      box.checked = box.dataset.tick in ticked;
      box.addEventListener("change", () => {
        if (box.checked) ticked[box.dataset.tick] = new Date().toLocaleDateString("sv");
        else delete ticked[box.dataset.tick];
        store.set("ticked", ticked);
        count();
      });
    }
    count();
  }

  /* Feynman log: all fields of the page as one text. */
  const words = document.getElementById("save-words");
  if (words) {
    words.hidden = false;
    words.addEventListener("click", () => {
      const fields = all("textarea[data-keep]").filter((field) => field.value.trim());
      const title = (field) => field.closest("section").querySelector("h2").firstChild.textContent.trim();
      const text = fields.map((field) => `## ${title(field)}\n\n${field.value.trim()}\n`).join("\n");
      if (text) save("feynman-log.md", `# Feynman log\n\n${text}`, "text/markdown");
      else say("words-said", "Nothing is written yet.");
    });
  }

  /* Portfolio: the claims that held in notebooks the reader executed. Read here, sent nowhere. */
  const runs = document.getElementById("runs");
  if (!runs) return;
  const MIME = "application/vnd.llm90.claim+json", TRIED = "application/vnd.llm90.exercise+json";
  const text = (source) => (Array.isArray(source) ? source.join("") : source ?? "");
  function read(notebook, name) {
    const outputs = notebook.cells.flatMap((cell) => cell.outputs ?? []);
    const printed = outputs.map((out) => text(out.text)).join("\n").match(/^day \d+ · (.+?) · profile (\w+)/m);
    const made = notebook.metadata?.provenance ?? {};
    const title = text(notebook.cells.find((cell) => cell.cell_type === "markdown")?.source).match(/^# Day (\d+) · (.+)$/m);
    const claims = outputs.map((out) => out.data?.[MIME]).filter(Boolean);
    const first = new Map();                     // the first answer to an exercise is the reader's own stub
    outputs.map((out) => out.data?.[TRIED]).filter(Boolean).forEach((one) => first.has(one.name) || first.set(one.name, one.status));
    return {
      name, day: title?.[1], title: title?.[2] ?? name, claims, solved: [...first.values()].filter((s) => s === "passed").length,
      where: [made.device ?? printed?.[1], made.finished?.slice(0, 10)].filter(Boolean).join(", "),
    };
  }
  runs.addEventListener("change", async () => {
    const found = [], wrong = [];
    for (const file of runs.files) {
      try {
        found.push(read(JSON.parse(await file.text()), file.name));
      } catch {
        wrong.push(file.name);
      }
    }
    const list = document.getElementById("lines");
    list.replaceChildren();
    let lines = 0;
    for (const one of found) {
      for (const claim of one.claims.filter((c) => c.status === "holds")) {
        const item = document.createElement("li"), value = document.createElement("b");
        value.textContent = claim.measured;
        item.append(`${one.title}: ${claim.text.replace(/\.$/, "")}: `, value, one.where ? ` (${one.where})` : "");
        list.append(item);
        lines += 1;
      }
    }
    const claims = found.flatMap((one) => one.claims);
    const parts = [`${lines} of ${claims.length} claims give a line`];
    const solved = found.reduce((sum, one) => sum + one.solved, 0);
    if (solved) parts.push(`${solved} exercises solved before their solution ran`);
    if (wrong.length) parts.push(`no notebook: ${wrong.join(", ")}`);
    if (found.length && !claims.length) parts.push("run the notebooks and save them first");
    say("lines-said", `${parts.join(" · ")}.`);
    const copy = document.getElementById("copy-lines");
    copy.hidden = !lines || !navigator.clipboard;
    copy.onclick = () => navigator.clipboard.writeText([...list.children].map((item) => `- ${item.textContent}`).join("\n"))
      .then(() => say("lines-said", "Copied."));
  });
});
