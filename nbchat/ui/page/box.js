// The text box: what is typed, and whether it can be sent.

const TYPING_EVERY = 3000; // ms between two words to the others that somebody types

// `leave()` gives the keyboard back to the notebook; `rest` is where it waits while the box is shut. (Not the
// notebook: whoever is typing just then would press its shortcuts.)
function makeBox(store, leave, rest) {
  const box = element("textarea", {
    class: "nbchat-box", "aria-label": "Message", rows: "1", placeholder: "Write a message…",
    "aria-autocomplete": "list", dir: "auto",
  });
  const button = element("button", { class: "nbchat-send", type: "button" }, "Send");
  const problem = element("div", { class: "nbchat-problem", role: "alert" });
  const offer = makeOffer(store, box, (from, text) => {
    const rest = box.value.slice(box.selectionStart);
    const start = `${box.value.slice(0, from)}${text} `;
    setValue(start + rest.replace(/^ /, ""));
    box.setSelectionRange(start.length, start.length);
  });
  const area = element("div", { class: "nbchat-write" }, offer.list, box, button);
  let draftKey = null; // of what is typed, in the browser's storage: it survives a reload
  let typedAt = -Infinity;
  let isRecalling = false;
  let isComposing = false; // in an input method: Enter ends a word there
  let hadFocus = false; // when the box was shut
  const self = {};

  box.addEventListener("input", (event) => {
    isComposing = event.isComposing === true; // an end that nobody told, for one
    grow();
    keepDraft();
    checkLength();
    offer.update();
    if (box.value.trim() && !isCommand(box.value) && Date.now() - typedAt > TYPING_EVERY) {
      typedAt = Date.now();
      store.send({ type: "typing" });
    }
  });
  box.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (isComposing || event.isComposing || event.keyCode === 229) return;
    const isPlain = !(event.shiftKey || event.ctrlKey || event.altKey || event.metaKey);
    if (isPlain && offer.byKey(event.key)) return event.preventDefault();
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
  box.addEventListener("compositionstart", () => (isComposing = true));
  box.addEventListener("compositionend", () => (isComposing = false));
  button.addEventListener("click", () => {
    send();
    box.focus();
  });

  return Object.assign(self, {
    area,
    problem,
    end: offer.end,
    // Call a member: the name behind what is there.
    call(name) {
      const gap = /(^|\s)$/u.test(box.value) ? "" : " ";
      setValue(`${box.value}${gap}@${name} `);
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
    },
    // A message came back. True if there was room for it.
    refuse(text, why) {
      const isRoom = !box.value && box.isConnected;
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
      showWhatHolds();
      if (!state || draftKey) return;
      draftKey = `nbchat draft ${state.log} ${state.room} ${state.name}`;
      if (!box.value) setValue(stored((storage) => storage.getItem(draftKey)) ?? "");
    },
  });

  function whatHolds() {
    const now = Date.now();
    return boxInWords(store.state, store.isAlive(), now - (store.state?.at ?? now), now - store.saidAt);
  }

  function showWhatHolds() {
    const { words, isShut, wait } = whatHolds();
    if (box.placeholder !== words) box.placeholder = words;
    if (box.disabled !== isShut) {
      if (isShut) hadFocus = box.matches(":focus");
      box.disabled = isShut;
      if (isShut && hadFocus) rest.focus();
      else if (hadFocus && rest.matches(":focus")) box.focus();
    }
    button.disabled = isShut || wait > 0;
    // What the placeholder cannot say beside something that was typed.
    const why = box.value && (isShut || wait) ? `${words}.` : "";
    if (why ? problem.textContent === "" || "isState" in problem.dataset : "isState" in problem.dataset) {
      setText(problem, why);
      problem.toggleAttribute("data-is-state", why !== "");
    }
  }

  function send() {
    if (!box.value.trim() || !checkLength()) return;
    const { isShut, wait } = whatHolds();
    if (isShut || (wait && !isCommand(box.value))) return showWhatHolds();
    store.say(box.value, self);
    setValue("");
    problem.textContent = "";
  }

  function setValue(text) {
    box.value = text;
    grow();
    keepDraft();
    checkLength();
    offer.close();
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
}

// Storage that may be forbidden (a sandboxed frame) or full: a draft is then not kept.
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}
