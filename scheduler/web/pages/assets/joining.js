// Counts down to the start, and says when the doors open. It follows the service's clock, whatever the computer's says.
"use strict";

for (const box of document.querySelectorAll("[data-opens]")) {
  const [opens, starts, now] = ["opens", "starts", "now"].map((name) => Date.parse(box.dataset[name]));
  const ahead = now - Date.now();
  const left = box.querySelector("[data-left]");
  const two = (number) => String(number).padStart(2, "0");
  const show = () => {
    const at = Date.now() + ahead;
    const seconds = Math.max(0, Math.ceil((starts - at) / 1000));
    if (seconds < 86400) {
      const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
      left.textContent = (minutes < 60 ? "" : `${Math.floor(minutes / 60)}:`) + `${two(minutes % 60)}:${two(rest)}`;
    }
    if (at < opens) return;
    box.querySelector("[data-before]").hidden = true;
    box.querySelector("[data-after]").hidden = false;
    if (!seconds) clearInterval(ticking);
  };
  const ticking = setInterval(show, 1000);
  show();
}
