// Links to the editor, which is beside the inbox only where a rehearsal serves both.
for (const link of document.querySelectorAll(".served")) link.hidden = !location.protocol.startsWith("http");


const box = document.getElementById("filter");
const found = document.getElementById("found");
const rows = [...document.querySelectorAll("#list > li")];
const texts = rows.map((row) => `${row.textContent} ${row.dataset.states ?? ""}`.toLowerCase());
box.parentElement.hidden = rows.length < 2;

box.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, i) => {
    row.hidden = !words.every((word) => texts[i].includes(word));
    count += row.hidden ? 0 : 1;
  });
  found.textContent = words.length ? `${count} of ${rows.length}` : "";
});

function choose(link) {
  document.querySelector("#list > [aria-current]")?.removeAttribute("aria-current");
  link.closest("li").setAttribute("aria-current", "true");
}

document.getElementById("list").addEventListener("click", (event) => {
  const link = event.target.closest("a.wide");
  if (!link) return;
  choose(link);
  history.replaceState(null, "", "#" + link.getAttribute("href").replace(/^people\/|\.html$/g, ""));
});

// An address with #0007 opens that registrant.
const asked = /^#(\d+|organizer)$/.exec(location.hash);
const link = asked && document.querySelector(`a.wide[href="people/${asked[1]}.html"]`);
if (link) {
  choose(link);
  document.getElementById("person").src = link.href;
  link.closest("li").scrollIntoView({ block: "center" });
}
