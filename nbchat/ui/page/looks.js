// What all parts of the page need: making elements, faces of people, the colours of the page.

const FOLDED = 15; // lines of a long text, or of code, that are shown at first; in panel.css, too
const LINE = 100; // characters that a line has, roughly

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text nodes
  return made;
}

function setText(made, text) {
  if (made.textContent !== text) made.textContent = text; // no announcement where nothing changed
}

// HTML that the kernel's render.py made; the only place where anything else than text comes in. `opened` is
// the set of its long parts that somebody has unfolded.
function rendered(html, opened) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const [at, code] of template.content.querySelectorAll("pre").entries()) {
    const box = element("div", { class: "nbchat-code" });
    code.replaceWith(box);
    code.tabIndex = 0; // it scrolls, so the keyboard must reach it
    box.append(code, copyButton(code));
    const lines = code.textContent.replace(/\n$/, "").split("\n").length;
    if (lines > FOLDED) box.append(foldButton(box, opened, at, linesInWords(lines)));
  }
  for (const table of template.content.querySelectorAll("table")) {
    const box = element("div", { class: "nbchat-table", tabindex: "0" });
    table.replaceWith(box);
    box.append(table);
  }
  return template.content;
}

// A button under a text of too many lines; nothing where there are few.
function foldOf(text, html, opened) {
  const breaks = html.match(/\n|<(?:p|li|tr|hr|pre)\b/g)?.length ?? 0;
  if (breaks < FOLDED && html.length < FOLDED * LINE) return [];
  let lines = 0; // that were written
  let height = 0; // lines that it takes
  const walk = document.createTreeWalker(text, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) {
      const written = node.data.split("\n");
      lines += written.length - 1;
      if (!node.parentElement.closest("pre")) {
        height += written.length - 1 + written.reduce((sum, each) => sum + Math.floor(each.length / LINE), 0);
      }
    } else if (node.matches("p:not(li > :first-child), li, tr, hr, pre")) {
      lines += 1;
      height += 1;
    }
  }
  if (!text.firstChild.matches?.("p, ul, ol, blockquote, hr, div")) [lines, height] = [lines + 1, height + 1];
  if (height <= FOLDED) return [];
  return [foldButton(text, opened, "text", lines > FOLDED ? linesInWords(lines) : "Show the whole text")];
}

const linesInWords = (lines) => `Show all ${lines.toLocaleString()} lines`;

function foldButton(box, opened, key, words) {
  const button = element("button", { class: "nbchat-more", type: "button" });
  const show = () => {
    const isOpen = opened.has(key);
    box.classList.toggle("nbchat-folded", !isOpen);
    button.setAttribute("aria-expanded", String(isOpen));
    button.textContent = isOpen ? "Show less" : words;
  };
  button.addEventListener("click", () => {
    if (!opened.delete(key)) opened.add(key);
    show();
    if (!opened.has(key)) button.scrollIntoView({ block: "nearest" });
    button.dispatchEvent(new Event("nbchat-fold", { bubbles: true })); // the log has another height
  });
  show();
  return button;
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
