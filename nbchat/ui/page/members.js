// Who is there: hosts first, then by name; a filter where they are many, and a menu at each of the others.

const MANY = 20; // members from which on there is a filter
const MUTED = 10; // minutes

// `call(name)` mentions somebody in the box.
function makeMembers(store, call) {
  const heading = element("summary", { class: "nbchat-heading" }, "Members");
  const filter = element("input", {
    class: "nbchat-filter", type: "search", placeholder: "Filter", "aria-label": "Filter members", hidden: "",
  });
  const list = element("ul", { class: "nbchat-members", role: "list", "aria-label": "Members" });
  const none = element("div", { class: "nbchat-mark", hidden: "" }, "Nobody of that name.");
  const area = element("details", { class: "nbchat-side", open: "" }, heading, filter, list, none);
  const menu = makeMenu(store, area, call);
  let shown = "";
  let current = null; // the name that the Tab key reaches; the arrows go on from there

  filter.addEventListener("input", showState);
  filter.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook's shortcuts are not meant
    if (event.key === "Escape" && filter.value) {
      event.preventDefault();
      filter.value = "";
      showState();
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      list.querySelector("button")?.focus();
    }
  });
  list.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll("button")];
    const at = buttons.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    buttons[Math.min(Math.max(to, 0), buttons.length - 1)].focus();
  });
  list.addEventListener("focusin", (event) => {
    current = event.target.dataset.name;
    for (const each of list.querySelectorAll("button")) each.tabIndex = each === event.target ? 0 : -1;
  });
  return { area, menu: menu.area, showState };

  function showState() {
    const { members, typing, state } = store;
    const now = store.isAlive() && state?.status === "connected" ? Date.now() : Infinity; // else nobody knows
    filter.hidden = members.length <= MANY && !filter.value;
    const found = inOrder(members).filter(({ name }) => !filter.value || isFound(name, filter.value));
    const entries = found.map((each) => ({ ...each, isTyping: typing.get(each.name) > now }));
    const key = JSON.stringify([members.length, state?.name, entries]);
    if (key === shown) return;
    shown = key;
    setText(heading, `Members (${members.length})`);
    list.setAttribute("aria-label", `Members (${members.length})`);
    none.hidden = entries.length > 0 || !filter.value;
    const hadFocus = list.contains(list.getRootNode().activeElement);
    list.replaceChildren(...entries.map((each) => member(each, state?.name)));
    const buttons = [...list.querySelectorAll("button")];
    const again = buttons.find((each) => each.dataset.name === current) ?? buttons[0];
    for (const each of buttons) each.tabIndex = each === again ? 0 : -1;
    if (hadFocus) again?.focus();
  }

  function isFound(name, typed) {
    return foundIn(name, typed.trim()) >= 0 || plainly(name).includes(plainly(typed.trim()));
  }

  function member({ name, role, plain, away, isTyping }, me) {
    const marks = [
      name === me && WORDS.you, role === "host" && WORDS.host, plain && WORDS.plain, away && WORDS.away,
    ].filter(Boolean);
    const words = [
      element("span", { class: "nbchat-name" }, name),
      ...(marks.length ? [element("span", { class: "nbchat-mark" }, ` (${marks.join(", ")})`)] : []),
      ...(isTyping ? [element("span", { class: "nbchat-mark nbchat-types" }, " typing…")] : []),
    ];
    const entry = element("li", { role: "listitem", class: away ? "nbchat-away" : "nbchat-here" });
    if (name === me) {
      entry.append(element("span", { class: "nbchat-member" }, ...words));
      return entry;
    }
    const button = element("button", {
      class: "nbchat-member", type: "button", "aria-haspopup": "menu", "aria-expanded": "false",
    }, ...words);
    button.dataset.name = name;
    button.addEventListener("click", () => menu.open(button, { name, role }));
    entry.append(button);
    return entry;
  }
}

// What can be done about a member. One menu for all of them.
function makeMenu(store, side, call) {
  const area = element("ul", { class: "nbchat-menu", role: "menu", hidden: "" });
  let opener = null;
  let about = null;

  area.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const items = [...area.children];
    const at = items.indexOf(event.target);
    if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
    else if (event.key === "ArrowUp") items[(at + items.length - 1) % items.length].focus();
    else if (event.key === "Home") items[0].focus();
    else if (event.key === "End") items.at(-1).focus();
    else if (event.key === "Enter" || event.key === " ") event.target.click();
    else if (event.key === "Escape") close(true);
    else return event.key === "Tab" ? close(true) : undefined;
    event.preventDefault();
  });
  area.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !area.contains(event.relatedTarget)) close(false);
  });
  const outside = (event) => {
    if (!area.hidden && !event.composedPath().includes(area)) close(false);
  };
  side.addEventListener("scroll", () => close(false), { passive: true });
  return { area, open };

  function open(button, member) {
    const isOpen = !area.hidden && about === member.name;
    close(false);
    if (isOpen) return;
    [opener, about] = [button, member.name];
    const isHost = store.state?.role === "host" && member.role !== "host";
    area.setAttribute("aria-label", member.name);
    area.replaceChildren(
      item("Mention", () => {
        close(false);
        call(member.name);
      }),
      ...(isHost ? [order(`Mute for ${MUTED} minutes`, `/mute "${member.name}" ${MUTED}`)] : []),
      ...(isHost ? [order("Unmute", `/unmute "${member.name}"`)] : []),
      ...(isHost ? [order("Kick…", `/kick "${member.name}"`, `Kick ${member.name} now`)] : []),
    );
    area.hidden = false;
    button.setAttribute("aria-expanded", "true");
    const frame = area.offsetParent.getBoundingClientRect();
    const place = button.getBoundingClientRect();
    area.style.top = `${Math.max(4, Math.min(place.bottom - frame.top, frame.height - area.offsetHeight - 4))}px`;
    area.firstElementChild.focus();
    document.addEventListener("pointerdown", outside, true);
  }

  function item(words, act) {
    const made = element("li", { role: "menuitem", tabindex: "-1" }, words);
    made.addEventListener("click", () => act(made));
    return made;
  }

  // A command; where `sure` is given, only when it was chosen twice.
  function order(words, command, sure = "") {
    return item(words, (made) => {
      if (sure && made.textContent !== sure) {
        made.textContent = sure;
        made.classList.add("nbchat-sure");
        return;
      }
      close(true);
      store.say(command);
    });
  }

  function close(isBack) {
    if (area.hidden) return;
    area.hidden = true;
    document.removeEventListener("pointerdown", outside, true);
    opener.setAttribute("aria-expanded", "false");
    if (!isBack) return;
    const again = [...side.querySelectorAll("button")].find((each) => each.dataset.name === about);
    (again ?? opener).focus();
  }
}
