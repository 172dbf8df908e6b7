// Dropping files, showing what was chosen, and where the focus goes. All else is htmx.
"use strict";

function dropOf(event) {
  const target = event.target instanceof Element ? event.target : null;
  const inside = target && target.closest("form.photo, label.drop");
  return inside && { area: inside.querySelector("label.drop") || inside, input: inside.querySelector("input[type=file]") };
}

document.addEventListener("dragover", (event) => {
  event.preventDefault(); // or the browser would show the file instead of this page
  const drop = dropOf(event);
  event.dataTransfer.dropEffect = drop ? "copy" : "none";
  for (const area of document.querySelectorAll(".over")) {
    if (!drop || area !== drop.area) area.classList.remove("over");
  }
  if (drop) drop.area.classList.add("over");
});

document.addEventListener("drop", (event) => {
  event.preventDefault();
  for (const area of document.querySelectorAll(".over")) area.classList.remove("over");
  const drop = dropOf(event);
  if (!drop || !event.dataTransfer.files.length) return;
  const files = new DataTransfer();
  const given = drop.input.multiple ? [...event.dataTransfer.files] : [event.dataTransfer.files[0]];
  for (const file of given) files.items.add(file);
  drop.input.files = files.files;
  drop.input.dispatchEvent(new Event("change", { bubbles: true }));
});

document.addEventListener("change", (event) => {
  const shown = event.target.closest("label.drop")?.querySelector(".chosen");
  if (!shown) return;
  const names = [...event.target.files].map((file) => file.name);
  shown.textContent = names.length > 3 ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more` : names.join(", ");
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-dismiss]")) document.getElementById("alert").replaceChildren();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "get") document.getElementById("alert").replaceChildren();
});

// A swap takes the focused button away: the focus goes to what came in its place.
document.addEventListener("htmx:afterSettle", (event) => {
  if (document.activeElement !== document.body || event.detail.elt.id !== "work") return;
  document.querySelector("#work [data-focus]")?.focus({ preventScroll: true });
});

document.addEventListener("htmx:sendError", () => {
  const alert = document.getElementById("alert");
  const box = document.createElement("div");
  box.className = "alert";
  box.textContent = "The studio does not answer: was it closed in the terminal?";
  alert.replaceChildren(box);
});
