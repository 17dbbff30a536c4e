/* What a page does: theme, menu, search, done days, copying, contents in view. No library. */
"use strict";
(() => {
  const root = document.documentElement;
  const all = (what, from = document) => [...from.querySelectorAll(what)];

  /* The reader's own data stays in this browser. A browser that forbids storage still reads. */
  const store = {
    get(key, other) {
      try { return JSON.parse(localStorage.getItem("llm90." + key)) ?? other; } catch { return other; }
    },
    set(key, value) {
      try { localStorage.setItem("llm90." + key, JSON.stringify(value)); } catch { /* kept for this page only */ }
    },
  };
  const done = store.get("done", {});            // {"54": "2026-11-23"}
  window.llm90 = { store, done, refresh };

  /* Light or dark: the machine's wish, until the reader says otherwise. */
  function theme(next) {
    root.dataset.theme = next;
    try { localStorage.setItem("llm90.theme", next); } catch { /* this page only */ }
  }

  function menu(open) {
    document.body.classList.toggle("menu", open);
    all("[data-do=menu]").forEach((b) => b.setAttribute("aria-expanded", open));
  }

  const find = document.getElementById("find");
  function search() {
    if (!find?.showModal) return false;
    find.showModal();
    find.querySelector("input").select();
    return true;
  }

  function mark(button) {
    const day = button.closest("[data-day]").dataset.day;
    if (done[day]) delete done[day];
    else done[day] = new Date().toLocaleDateString("sv");   // ISO, in the reader's own day
    store.set("done", done);
    refresh();
  }

  /* Show done days wherever a day stands. */
  function refresh() {
    all("a.l[data-day]").forEach((a) => a.classList.toggle("done", a.dataset.day in done));
    all(".n[data-phase]").forEach((n) => {
      const last = 30 * n.dataset.phase;
      n.textContent = Object.keys(done).filter((d) => d > last - 30 && d <= last).length + "/30";
    });
    all("[data-do=done]").forEach((b) => {
      const is = b.closest("[data-day]").dataset.day in done;
      b.setAttribute("aria-pressed", is);
      b.lastChild.textContent = is ? "Done" : "Mark done";
    });
    document.dispatchEvent(new Event("donechange"));
  }

  document.addEventListener("click", (event) => {
    const what = event.target.closest("[data-do]");
    if (!what) return;
    const does = what.dataset.do;
    if (does === "theme") theme(root.dataset.theme === "dark" ? "light" : "dark");
    else if (does === "menu") menu(!document.body.classList.contains("menu"));
    else if (does === "search" && search()) event.preventDefault();
    else if (does === "done") mark(what);
    else if (does === "copy") copy(what);
  });

  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest?.("input, textarea");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" || event.key === "/" && !writing) {
      if (search()) event.preventDefault();
    } else if (event.key === "Escape") menu(false);
  });
  find?.addEventListener("click", (event) => { if (event.target === find) find.close(); });

  /* Copy buttons; code that is wider than its box can be scrolled by keyboard. */
  const icon = '<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><rect x="5.5" y="5.5" width="8" height="8"/><path d="M10.5 5.5v-3h-8v8h3"/></svg>';
  function copy(button) {
    navigator.clipboard?.writeText(button.parentNode.querySelector("pre").textContent).then(() => {
      button.setAttribute("aria-label", "Copied");
      setTimeout(() => button.setAttribute("aria-label", "Copy"), 2000);
    });
  }
  all("article :is(pre, .figs, div.math, .pst-scrollable-table-container)").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  });
  all("article pre").forEach((pre) => {
    const box = pre.closest(".cell_input") ?? pre.closest("div[class*=highlight-]");
    if (!box || pre.closest(".cell_output") || !navigator.clipboard) return;
    box.insertAdjacentHTML("beforeend", `<button class="copy" type="button" data-do="copy" aria-label="Copy">${icon}</button>`);
  });

  /* A formula in a line that is wider than the page scrolls in a line of its own. */
  function fit() {
    const inline = all("article mjx-container:not([display])");
    inline.forEach((one) => one.classList.remove("wide"));
    const wide = inline.filter((one) => one.offsetWidth > one.closest("p, li, dd, td, summary, div, section").clientWidth);
    wide.forEach((one) => { one.classList.add("wide"); one.tabIndex = 0; });
  }
  window.MathJax?.startup?.promise?.then(() => document.fonts.ready).then(() => {
    fit();
    all("article details").forEach((part) => part.addEventListener("toggle", fit));
    let soon = 0;
    addEventListener("resize", () => { clearTimeout(soon); soon = setTimeout(fit, 200); });
  });

  /* What the reader writes is kept as it is typed. */
  all("[data-keep]").forEach((field) => {
    field.value = store.get(field.dataset.keep, "");
    field.addEventListener("input", () => store.set(field.dataset.keep, field.value));
  });

  /* The part in view, in the contents of the page. */
  const links = all(".toc a");
  if (links.length && "IntersectionObserver" in window) {
    const parts = links.map((a) => document.getElementById(decodeURIComponent(a.hash.slice(1))));
    const show = () => {
      const at = parts.findLastIndex((part) => part && part.getBoundingClientRect().top < 120);
      links.forEach((a, i) => a.classList.toggle("cur", i === Math.max(at, 0)));
    };
    const eye = new IntersectionObserver(show, { rootMargin: "-100px 0px -60% 0px", threshold: [0, 1] });
    parts.forEach((part) => part && eye.observe(part));
    show();
  }

  /* The sidebar opens at today's page. */
  const here = document.querySelector(".side [aria-current]");
  if (here) {
    const side = here.closest(".side");
    side.scrollTop = here.offsetTop - side.clientHeight / 2;
  }

  /* Paper shows everything that is folded, except how the figures were drawn. */
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("article details:not([open])").filter((part) => !part.closest(".tag_figure"));
    closed.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
  /* A link into a folded part opens it. */
  const unfold = () => {
    for (let at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1))); at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
  };
  addEventListener("hashchange", unfold);
  unfold();

  /* Diagrams, on the pages that have some: drawn once in light ink, inverted like every plot. */
  window.mermaid?.initialize({
    startOnLoad: true, theme: "base", fontFamily: "IBM Plex Sans", themeVariables: {
      primaryColor: "#F3F4F1", primaryBorderColor: "#434A50", primaryTextColor: "#1A1D21", lineColor: "#434A50",
      secondaryColor: "#FCFCFA", tertiaryColor: "#FCFCFA", edgeLabelBackground: "#FCFCFA", fontSize: "15px",
    },
  });

  refresh();
})();
