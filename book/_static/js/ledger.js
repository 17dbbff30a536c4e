/* Results: filters. Status: heads that sort. The tables are complete without this script. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const rows = [...document.querySelectorAll("table.led tbody tr")];
  const wanted = { status: "", phase: "", device: "" };
  const field = document.getElementById("claims-text");
  const told = document.querySelector(".filters .found");

  function filter() {
    const words = (field?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = Object.entries(wanted).every(([key, value]) => !value || row.dataset[key] === value)
        && words.every((word) => text.includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    const none = document.querySelector(".none");
    if (none) none.hidden = shown > 0;
    if (told) told.textContent = shown < rows.length ? `${shown} of ${rows.length}` : "";
  }
  function press(button) {
    wanted[button.dataset.filter] = button.dataset.value;
    for (const other of button.parentNode.children) other.setAttribute("aria-pressed", other === button);
    filter();
  }
  for (const button of document.querySelectorAll("[data-filter]")) button.addEventListener("click", () => press(button));
  field?.addEventListener("input", filter);
  const asked = document.querySelector(`[data-filter=status][data-value="${location.hash.slice(1)}"]`);
  if (location.hash && asked) press(asked);

  const value = (row, i) => {
    const cell = row.cells[i];
    return cell ? cell.dataset.v ?? cell.textContent.trim() : "";
  };
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), i = Number(button.dataset.sort);
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const th of head.parentNode.cells) th.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const numeric = new Intl.Collator("en", { numeric: true });
      const full = rows.filter((row) => value(row, i) !== ""), empty = rows.filter((row) => value(row, i) === "");
      full.sort((a, b) => (up ? 1 : -1) * numeric.compare(value(a, i), value(b, i)));
      rows[0].parentNode.append(...full, ...empty);
    });
  }
});
