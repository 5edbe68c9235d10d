// The text box: what is typed, and everything that helps to type it.

const COMPLETED = 6; // members offered for an @
const TYPING_EVERY = 3000; // ms between two words to the others that somebody types

function makeBox(store, leave) {
  const box = element("textarea", {
    class: "nbchat-box", "aria-label": "Message", rows: "1", placeholder: "Write a message…",
    "aria-autocomplete": "list",
  });
  const button = element("button", { class: "nbchat-send", type: "button" }, "Send");
  const problem = element("div", { class: "nbchat-problem", role: "alert" });
  const offer = element("ul", {
    class: "nbchat-offer", role: "listbox", "aria-label": "Members to mention", id: `nbchat-offer-${nextId()}`,
    hidden: "",
  });
  const area = element("div", { class: "nbchat-write" }, offer, box, button);
  let draftKey = null; // of what is typed, in the browser's storage: it survives a reload
  let typedAt = -Infinity;
  let isRecalling = false;
  let found = { names: [], from: 0, chosen: 0 };

  box.addEventListener("input", () => {
    grow();
    keepDraft();
    checkLength();
    complete();
    if (box.value.trim() && Date.now() - typedAt > TYPING_EVERY) {
      typedAt = Date.now();
      store.send({ type: "typing" });
    }
  });
  box.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.isComposing || event.keyCode === 229) return; // Enter that ends a word in an input method
    if (!offer.hidden && chooseByKey(event.key)) return event.preventDefault();
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && !box.value) {
      event.preventDefault();
      isRecalling = true;
      store.send({ type: "recall" });
    } else if (event.key === "Escape") {
      box.blur();
      leave();
    }
  });
  box.addEventListener("blur", () => (offer.hidden = true));
  button.addEventListener("click", () => {
    send();
    box.focus();
  });

  return {
    area,
    problem,
    // A message came back. True if there was room for it.
    refuse(text, why) {
      const isRoom = !box.value;
      if (isRoom) setValue(text);
      problem.textContent = why;
      return isRoom;
    },
    recall(text) {
      if (isRecalling && !box.value) setValue(text);
      isRecalling = false;
    },
    showState() {
      const { state } = store;
      if (!state || draftKey) return;
      draftKey = `nbchat draft ${state.log} ${state.room} ${state.name}`;
      if (!box.value) setValue(stored((storage) => storage.getItem(draftKey)) ?? "");
    },
  };

  function send() {
    if (!box.value.trim() || !checkLength()) return;
    store.say(box.value);
    setValue("");
    problem.textContent = "";
  }

  function setValue(text) {
    box.value = text;
    grow();
    keepDraft();
    checkLength();
    offer.hidden = true;
  }

  function grow() {
    box.style.height = ""; // one line, by panel.css
    if (box.scrollHeight > box.clientHeight) box.style.height = `${box.scrollHeight + 2}px`;
  }

  function keepDraft() {
    if (!draftKey) return;
    stored((storage) =>
      box.value ? storage.setItem(draftKey, box.value) : storage.removeItem(draftKey),
    );
  }

  // Said while typing: a message that is too long is not sent only to come back.
  function checkLength() {
    const limit = store.state?.limit ?? Infinity;
    const length = 3 * box.value.length > limit ? new TextEncoder().encode(box.value).length : 0;
    const isFine = length <= limit;
    if (!isFine) {
      problem.textContent =
        `Too long: ${length.toLocaleString()} of ${limit.toLocaleString()} bytes. ` +
        "Send it in parts, or as a file.";
      problem.dataset.isLength = "";
    } else if ("isLength" in problem.dataset) {
      problem.textContent = "";
      delete problem.dataset.isLength;
    }
    box.setAttribute("aria-invalid", String(!isFine));
    return isFine;
  }

  // ── @ offers members ──

  function complete() {
    const before = box.value.slice(0, box.selectionStart);
    const match = box.selectionStart === box.selectionEnd && before.match(/(?:^|[\s(])@([^@\n]{0,32})$/u);
    const names = match ? candidates(match[1]) : [];
    found = { names, from: match ? before.length - match[1].length : 0, chosen: 0 };
    showOffer();
  }

  function candidates(begin) {
    const wanted = begin.toLowerCase();
    const me = store.state?.name;
    return [...store.members.map((each) => each.name).filter((name) => name !== me), "everyone"]
      .filter((name) => name.toLowerCase().startsWith(wanted) && name.toLowerCase() !== wanted)
      .slice(0, COMPLETED);
  }

  function showOffer() {
    offer.hidden = !found.names.length;
    offer.replaceChildren(
      ...found.names.map((name, index) => {
        const option = element(
          "li", { role: "option", id: `${offer.id}-${index}`, "aria-selected": String(index === found.chosen) },
          face(name), name,
        );
        option.addEventListener("pointerdown", (event) => {
          event.preventDefault(); // the box keeps the focus
          accept(name);
        });
        return option;
      }),
    );
    if (offer.hidden) {
      box.removeAttribute("aria-activedescendant");
      box.removeAttribute("aria-controls");
    } else {
      box.setAttribute("aria-controls", offer.id);
      box.setAttribute("aria-activedescendant", `${offer.id}-${found.chosen}`);
    }
  }

  function chooseByKey(key) {
    const count = found.names.length;
    if (key === "ArrowDown" || key === "ArrowUp") {
      found.chosen = (found.chosen + (key === "ArrowDown" ? 1 : count - 1)) % count;
      showOffer();
    } else if (key === "Enter" || key === "Tab") accept(found.names[found.chosen]);
    else if (key === "Escape") offer.hidden = true;
    else return false;
    return true;
  }

  function accept(name) {
    const rest = box.value.slice(box.selectionStart);
    const start = `${box.value.slice(0, found.from)}${name} `;
    setValue(start + rest.replace(/^ /, ""));
    box.setSelectionRange(start.length, start.length);
  }
}

// Storage that may be forbidden (a sandboxed frame) or full: a draft is then not kept.
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

const nextId = () => (nextId.last = (nextId.last ?? 0) + 1);
