// Links to the editor, which is beside the inbox only where a rehearsal serves both.
for (const link of document.querySelectorAll(".served")) link.hidden = !location.protocol.startsWith("http");


// What is chosen for one mail (part, width) is chosen for all.
const choices = [...document.querySelectorAll("input[type=radio]")];

function recall() {
  for (const choice of choices) {
    if (!choice.disabled && sessionStorage.getItem("inbox-" + choice.name) === choice.id) choice.checked = true;
  }
}

try {
  recall();
  addEventListener("storage", recall);
  for (const choice of choices) {
    choice.addEventListener("change", () => sessionStorage.setItem("inbox-" + choice.name, choice.id));
  }
} catch {
  // A browser that keeps nothing for files: each mail then has its own choice.
}
