// What all parts of the page need: making elements, faces of people, the colours of the page.

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text nodes
  return made;
}

function setText(made, text) {
  if (made.textContent !== text) made.textContent = text; // no announcement where nothing changed
}

// HTML that the kernel's render.py made; the only place where anything else than text comes in.
function rendered(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const code of template.content.querySelectorAll("pre")) {
    const box = element("div", { class: "nbchat-code" });
    code.replaceWith(box);
    code.tabIndex = 0; // it scrolls, so the keyboard must reach it
    box.append(code, copyButton(code));
  }
  for (const table of template.content.querySelectorAll("table")) {
    const box = element("div", { class: "nbchat-table", tabindex: "0" });
    table.replaceWith(box);
    box.append(table);
  }
  return template.content;
}

function copyButton(code) {
  const button = element("button", { class: "nbchat-copy", type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    const text = code.textContent.replace(/\n$/, "");
    let isDone = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      isDone = copyBySelection(code); // a page that came by plain http has no clipboard
    }
    button.textContent = isDone ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}

function copyBySelection(code) {
  const selection = getSelection();
  selection.selectAllChildren(code);
  return document.execCommand("copy");
}

function face(name, colour) {
  const initials = name
    .split(/[\s_.-]+/u)
    .filter(Boolean)
    .slice(0, 2)
    .map((word) => [...word][0].toUpperCase())
    .join("");
  return element(
    "span", { class: `nbchat-face nbchat-colour-${colour}`, "aria-hidden": "true" }, initials,
  );
}

// A colour as the screen shows it, in whatever notation it is written (rgb, oklch, lab …).
function pixel(colour) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}

// Is the ground on which the panel stands dark? Asked of the page itself, whatever front end it is.
function isDark(node) {
  for (let each = node; each; each = each.parentElement ?? each.getRootNode().host) {
    const [red, green, blue, alpha] = pixel(getComputedStyle(each).backgroundColor);
    if (alpha > 0) return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches && !document.body.dataset.jpThemeLight;
}
