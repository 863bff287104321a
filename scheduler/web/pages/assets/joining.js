// Counts down to the start, and says when the doors open. It follows the service's clock, whatever the computer's says.
"use strict";

for (const box of document.querySelectorAll("[data-opens]")) {
  const [opens, starts, now] = ["opens", "starts", "now"].map((name) => Date.parse(box.dataset[name]));
  const ahead = now - Date.now();
  const countdown = box.querySelector("[data-countdown]");
  const two = (number) => String(number).padStart(2, "0");
  const show = () => {
    const at = Date.now() + ahead;
    const left = Math.max(0, Math.ceil((starts - at) / 1000));
    const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    countdown.hidden = !left || hours >= 24;
    countdown.lastElementChild.textContent = (hours ? `${hours}:` : "") + `${two(minutes)}:${two(seconds)}`;
    for (const words of document.querySelectorAll("[data-words]")) words.hidden = hours < 24;
    if (at >= opens && !box.querySelector("[data-before]").hidden) {
      box.querySelector("[data-before]").hidden = true;
      box.querySelector("[data-after]").textContent = box.querySelector("template").content.textContent;
    }
    if (!left) clearInterval(ticking);
  };
  const ticking = setInterval(show, 1000);
  show();
}
