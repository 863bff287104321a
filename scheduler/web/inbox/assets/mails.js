// Links to the editor, which is beside the inbox only where a rehearsal serves both.
for (const link of document.querySelectorAll(".served")) link.hidden = !location.protocol.startsWith("http");

const filters = document.getElementById("filters");
if (filters) {
  const fields = [...filters.querySelectorAll("[data-filter]")];
  const rows = [...document.querySelectorAll("#rows > tr[data-state]")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  filters.hidden = rows.length < 2;

  const show = () => {
    const wanted = Object.fromEntries(fields.map((field) => [field.dataset.filter, field.value]));
    const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, i) => {
      const fits = ["message", "language", "state"].every((key) => !wanted[key] || row.dataset[key] === wanted[key]);
      row.hidden = !fits || !words.every((word) => texts[i].includes(word));
      count += row.hidden ? 0 : 1;
    });
    document.getElementById("found").textContent = count < rows.length ? `${count} of ${rows.length}` : "";
  };
  filters.addEventListener("input", show);
  filters.addEventListener("submit", (event) => event.preventDefault());
  show(); // a browser may keep what was chosen before
}
