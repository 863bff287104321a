
// A click on a message shows its mail; the list of messages stays where it is.
const column = document.querySelector(".column");
let kept = 0;
column.addEventListener("click", () => { kept = column.scrollTop; });
addEventListener("hashchange", () => {
  column.scrollTop = kept;
  document.querySelector(".timeline :target")?.scrollIntoView({ block: "nearest" });
});
