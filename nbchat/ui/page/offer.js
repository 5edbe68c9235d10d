// What the text box offers while one types: members behind an @, commands behind a / at its beginning.

const OFFERED = 8;

// `take(from, text)` puts a text between `from` and the caret.
function makeOffer(store, box, take) {
  const list = element("ul", {
    class: "nbchat-offer", role: "listbox", "aria-label": "Suggestions", id: `nbchat-offer-${nextId()}`, hidden: "",
  });
  let found = { options: [], from: 0, chosen: 0 };

  const close = () => {
    found = { options: [], from: 0, chosen: 0 };
    show();
  };
  box.addEventListener("blur", close);
  // The caret has gone somewhere else: by a key, by the mouse, by whatever.
  const follow = () => document.activeElement !== box && box.getRootNode().activeElement !== box ? undefined : moved();
  document.addEventListener("selectionchange", follow);
  box.addEventListener("selectionchange", follow);
  return {
    list,
    close,
    update: () => look(),
    byKey,
    end: () => document.removeEventListener("selectionchange", follow),
  };

  function moved() {
    if (list.hidden) return;
    const { from, chosen, options } = found;
    const before = options.map((each) => each.text).join("\n");
    look();
    if (found.from !== from) close(); // another @ than the one that was typed
    else if (found.options.map((each) => each.text).join("\n") === before && found.chosen !== chosen) {
      found.chosen = chosen;
      show();
    }
  }

  function look() {
    const before = box.value.slice(0, box.selectionStart);
    found = { options: [], from: 0, chosen: 0 };
    if (box.selectionStart === box.selectionEnd) {
      const called = calledIn(before);
      const word = before.match(/^\/(\p{L}*)$/u);
      if (word && box.value.length === before.length) found = commandsFor(word[1]);
      else if (called !== null) found = membersFor(called, before.length - called.length);
    }
    show();
  }

  function membersFor(typed, from) {
    const me = store.state?.name;
    const names = [...store.members.map((each) => each.name).filter((name) => name !== me), "everyone"];
    const ranked = names.map((name) => [foundIn(name, typed), name]).filter(([rank]) => rank >= 0);
    const matching = [0, 1].flatMap((wanted) => ranked.filter(([rank]) => rank === wanted).map(([, name]) => name));
    // A whole name is typed: there may be others, but Enter means what stands there. (jose is not José yet.)
    const isWhole = names.some((name) => name.toLowerCase() === typed.toLowerCase());
    if (isWhole && matching.length === 1) matching.length = 0;
    const options = matching.slice(0, OFFERED).map((name) => ({ text: name, shown: [store.face(name), name] }));
    return { options, from, chosen: isWhole ? -1 : 0 };
  }

  function commandsFor(typed) {
    const isHost = store.state?.role === "host";
    const fitting = COMMANDS.filter((each) => (isHost || !each.forHosts) && each.word.startsWith(typed.toLowerCase()));
    const options = fitting.map(({ word, usage, help }) => ({
      text: `/${word}`,
      shown: [element("b", {}, usage), element("span", { class: "nbchat-mark" }, help)],
    }));
    const isWhole = fitting.some((each) => each.word === typed.toLowerCase());
    if (isWhole && options.length === 1) options.length = 0;
    return { options, from: 0, chosen: isWhole ? -1 : 0 };
  }

  function show() {
    list.hidden = !found.options.length;
    list.replaceChildren(
      ...found.options.map(({ text, shown }, index) => {
        const option = element(
          "li", { role: "option", id: `${list.id}-${index}`, "aria-selected": String(index === found.chosen) },
          ...shown,
        );
        option.addEventListener("pointerdown", (event) => {
          event.preventDefault(); // the box keeps the focus
          accept(text);
        });
        return option;
      }),
    );
    const isChosen = !list.hidden && found.chosen >= 0;
    if (list.hidden) box.removeAttribute("aria-controls");
    else box.setAttribute("aria-controls", list.id);
    if (!isChosen) return box.removeAttribute("aria-activedescendant");
    box.setAttribute("aria-activedescendant", `${list.id}-${found.chosen}`);
    list.children[found.chosen].scrollIntoView({ block: "nearest" });
  }

  // A key that means the list; false if it means the box.
  function byKey(key) {
    if (list.hidden) return false;
    const count = found.options.length;
    if (key === "ArrowDown" || key === "ArrowUp") {
      found.chosen = key === "ArrowDown" ? (found.chosen + 1) % count : (Math.max(found.chosen, 0) + count - 1) % count;
      show();
    } else if (key === "Tab" || (key === "Enter" && found.chosen >= 0)) {
      accept(found.options[Math.max(found.chosen, 0)].text);
    } else if (key === "Escape") close();
    else return false;
    return true;
  }

  function accept(text) {
    take(found.from, text);
    close();
  }
}

const nextId = () => (nextId.last = (nextId.last ?? 0) + 1);
