/* Search as you type: terms, claims, then every part of every page. The index is loaded with the first key. */
"use strict";
(() => {
  const root = document.documentElement.dataset.content_root ?? "./";
  const GREEK = Object.fromEntries("alpha α,beta β,gamma γ,delta δ,epsilon ε,eta η,theta θ,kappa κ,lambda λ,mu μ,pi π,rho ρ,sigma σ,tau τ,phi φ,psi ψ,omega ω,nabla ∇,sqrt √"
    .split(",").map((pair) => pair.split(" ")));
  const records = [];
  let asked = null;
  const fold = (text) => text.toLowerCase().normalize("NFKC").replaceAll("ϵ", "ε").replaceAll("ϕ", "φ");

  /* A formula as the index writes it: \kappa(A) asks for κ(A). */
  const asTyped = (query) => fold(query.replace(/\\([A-Za-z]+)/g, (_, name) => GREEK[name.toLowerCase()] ?? name).replace(/[${}\\]/g, " ").trim());

  window.llm90.found = (number, rows) => {
    for (const [kind, url, title, part, text, code] of rows) {
      records.push({ kind, url, title, part, text, low: fold(text), head: fold(part), top: fold(title), code: fold(code) });
    }
    document.dispatchEvent(new Event("indexchange"));
  };

  function load() {
    if (asked) return;
    asked = [0, 1, 2, 3].map((number) => {
      const script = document.createElement("script");
      script.src = `${root}search-${number}.js`;
      document.head.append(script);
      return new Promise((done) => { script.onload = script.onerror = done; });
    });
    Promise.all(asked).then(() => { asked.all = true; document.dispatchEvent(new Event("indexchange")); });
  }

  /* A word, its Greek letter, and the singular of a plural. */
  const formsOf = (word) => [word, ...(GREEK[word] ? [GREEK[word]] : []), ...(/[a-z]{4}s$/.test(word) ? [word.slice(0, -1)] : [])];

  /* How well one word fits one field: at the start of a word, a whole word, or within one. */
  const letter = /[\p{L}\p{N}_]/u;
  function fits(field, word) {
    let at = field.indexOf(word), best = 0, times = 0;
    for (; at >= 0 && times < 12; at = field.indexOf(word, at + word.length)) {
      const starts = at === 0 || !letter.test(field[at - 1]) || !letter.test(word[0]);
      const ends = !letter.test(field[at + word.length] ?? " ");
      best = Math.max(best, starts && ends ? 1 : starts ? 0.7 : 0.15);
      times += 1;
    }
    return best * (1 + Math.log2(1 + times) / 6);
  }

  function search(query, most) {
    const phrase = asTyped(query);
    const words = phrase.split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const hits = [];
    for (const one of records) {
      let score = 0;
      for (const word of words) {
        const best = Math.max(...formsOf(word).map((form) => Math.max(
          9 * fits(one.top, form), 7 * fits(one.head, form), (one.kind === "part" ? 3 : 5) * fits(one.low, form), 2 * fits(one.code, form))));
        if (best < 0.6) { score = 0; break; }
        score += best;
      }
      if (!score) continue;
      if (words.length > 1 && (one.low.includes(phrase) || one.head.includes(phrase) || one.top.includes(phrase))) score += 6;
      if (one.kind === "term" && formsOf(phrase).includes(one.top)) score += 16;
      else if (one.kind === "term" && formsOf(phrase).some((form) => one.head.split(" ").includes(form))) score += 8;
      else if (one.kind === "term") score += 1;
      if (one.kind === "claim") score += 1.5;
      if (!one.part && one.top.includes(phrase)) score += 4;
      hits.push([score, one]);
    }
    hits.sort((a, b) => b[0] - a[0]);
    return most ? hits.slice(0, most).map((hit) => hit[1]) : hits.map((hit) => hit[1]);
  }

  /* The sentence around the first word that is found, with what was found marked. */
  function excerpt(one, query) {
    const phrase = asTyped(query);
    const words = phrase.split(/\s+/).filter(Boolean).flatMap(formsOf);
    const whole = one.low.indexOf(phrase);
    const places = whole >= 0 ? [whole] : words.map((word) => one.low.indexOf(word)).filter((at) => at >= 0);
    const p = document.createElement("p");
    if (!places.length && one.code && !words.some((word) => one.head.includes(word))) {
      const names = one.code.split(" ").filter((name) => words.some((word) => name.includes(word))).slice(0, 6);
      const box = document.createElement("code");
      box.textContent = names.join(", ");
      p.append("In the code: ", box);
      return p;
    }
    const first = places.length ? Math.min(...places) : 0;
    let from = one.kind === "part" ? Math.max(0, first - 70) : 0;
    if (from) from = one.text.indexOf(" ", from) + 1;
    const text = one.text.slice(from, from + 190), low = fold(text);
    let at = 0;
    if (from) p.append("… ");
    while (at < text.length) {
      const next = words.map((word) => [low.indexOf(word, at), word.length]).filter(([i]) => i >= 0).sort((a, b) => a[0] - b[0])[0];
      if (!next || low.length !== text.length) break;
      const mark = document.createElement("mark");
      mark.textContent = text.slice(next[0], next[0] + next[1]);
      p.append(text.slice(at, next[0]), mark);
      at = next[0] + next[1];
    }
    p.append(text.slice(at), from + 190 < one.text.length ? " …" : "");
    return p;
  }

  function show(list, said, query, most) {
    const found = search(query), shown = found.slice(0, most);
    list.replaceChildren(...shown.map((one) => {
      const item = document.createElement("li"), link = document.createElement("a"), kind = document.createElement("span");
      link.href = root + one.url;
      kind.className = "kind";
      kind.textContent = one.kind === "term" ? "Glossary" : one.kind === "claim" ? one.part : "";
      const title = one.kind === "term" ? `${one.title} ${one.part}` : one.kind === "claim" ? one.title : one.part ? `${one.title} › ${one.part}` : one.title;
      link.append(title);
      item.append(link, kind, excerpt(one, query));
      return item;
    }));
    const loading = asked && !asked.all;
    said.textContent = !query.trim() ? "" : found.length ? `${found.length} found${found.length > most ? `, the best ${most} here` : ""}`
      : loading ? "Searching …" : "Nothing found.";
  }

  function attach(input, list, said, most) {
    const again = () => show(list, said, input.value, most);
    input.addEventListener("focus", load);
    input.addEventListener("input", () => { load(); again(); });
    document.addEventListener("indexchange", again);
    return again;
  }

  const find = document.getElementById("find");
  attach(find.querySelector("input"), document.getElementById("hits"), document.getElementById("hits-said"), 8);
  find.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.preventDefault(); find.close(); return; }   // a search field would only clear itself
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const stops = [find.querySelector("input"), ...find.querySelectorAll("#hits a")];
    const at = stops.indexOf(document.activeElement);
    const next = stops[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) { event.preventDefault(); next.focus(); }
  });
  /* A result on this very page closes the dialog. */
  find.addEventListener("click", (event) => { if (event.target.closest("a")) find.close(); });

  const page = document.getElementById("search-results");
  if (page) {
    const input = document.querySelector(".searchpage input");
    input.value = new URLSearchParams(location.search).get("q") ?? "";
    const again = attach(input, page, document.getElementById("search-progress"), 100);
    input.addEventListener("input", () => history.replaceState(null, "", `?q=${encodeURIComponent(input.value)}`));
    document.querySelector(".searchpage").addEventListener("submit", (event) => event.preventDefault());
    load();
    again();
  }
})();
