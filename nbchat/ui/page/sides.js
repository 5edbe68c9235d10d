// Who is there, and how the connection is.

const NARROW = 480; // pixels under which the list of members folds away

function makeMembers(store) {
  const heading = element("summary", { class: "nbchat-heading" }, "Members");
  const list = element("ul", { class: "nbchat-members", role: "list", "aria-label": "Members" });
  const area = element("details", { class: "nbchat-side", open: "" }, heading, list);
  let shown = "";
  return {
    area,
    showState() {
      const { members, typing, state } = store;
      const now = Date.now();
      const entries = members.map((each) => ({ ...each, isTyping: typing.get(each.name) > now }));
      const key = JSON.stringify([state?.name, entries]);
      if (key === shown) return;
      shown = key;
      setText(heading, `Members (${members.length})`);
      list.setAttribute("aria-label", `Members (${members.length})`);
      list.replaceChildren(...entries.map((each) => member(each, state?.name)));
    },
  };
}

function member({ name, role, plain, away, isTyping }, me) {
  const marks = [
    name === me && WORDS.you, role === "host" && WORDS.host, plain && WORDS.plain, away && WORDS.away,
  ].filter(Boolean);
  const mark = marks.length ? ` (${marks.join(", ")})` : "";
  return element(
    "li", { role: "listitem", class: away ? "nbchat-away" : "nbchat-here" },
    element("span", { class: "nbchat-name" }, name),
    ...(mark ? [element("span", { class: "nbchat-mark" }, mark)] : []),
    ...(isTyping ? [element("span", { class: "nbchat-mark nbchat-types" }, " typing…")] : []),
  );
}

// "ada is typing…", under the messages.
function makeTyping(store) {
  const area = element("div", { class: "nbchat-typing" });
  return {
    area,
    showState() {
      const now = Date.now();
      for (const [name, end] of store.typing) if (end <= now) store.typing.delete(name);
      const names = [...store.typing.keys()];
      const many = names.length > 3 ? "Several people" : listInWords(names);
      setText(area, names.length ? `${many} ${names.length > 1 ? "are" : "is"} typing…` : "");
    },
  };
}

function makeStatus(store, root) {
  const words = element("span", {});
  const seconds = element("span", { "aria-hidden": "true" }); // it changes each second: not to be read out
  const area = element("div", { class: "nbchat-status", role: "status", "aria-label": "Connection" }, words, seconds);
  return {
    area,
    showState() {
      const { state } = store;
      const isAlive = store.isAlive();
      root.dataset.status = isAlive ? (state?.status ?? "connecting") : "gone";
      setText(words, statusInWords(state, isAlive));
      const isWaiting = isAlive && state?.status === "reconnecting";
      const left = isWaiting ? Math.ceil(state.retry_in - (Date.now() - state.at) / 1000) : 0;
      setText(seconds, left > 0 ? ` Next try in ${left} s.` : "");
    },
  };
}

function statusInWords(state, isAlive) {
  if (!isAlive && !state) return "This is a saved copy. Run the cell to join the chat.";
  if (!isAlive) return "The kernel does not answer: it was restarted or has ended. Run the cell again.";
  if (!state) return "Connecting…";
  if (state.status === "connected") return `Connected as ${state.name} in ${state.room}`;
  if (state.status === "closed") return `Closed: ${state.reason}`;
  return `Reconnecting: ${state.reason}`;
}
