// What stands around the talk: the chat's name, who types, how the connection is.

const NARROW = 480; // pixels under which the list of members folds away

// "cs101 · lobby", over everything.
function makeHeader(store) {
  const area = element("div", { class: "nbchat-header", dir: "auto" });
  return {
    area,
    showState() {
      setText(area, store.state ? titleOf(store.state) : "");
      area.title = area.textContent;
    },
  };
}

// "ada is typing…", under the messages.
function makeTyping(store) {
  const area = element("div", { class: "nbchat-typing" });
  return {
    area,
    showState() {
      const now = Date.now();
      for (const [name, end] of store.typing) if (end <= now) store.typing.delete(name);
      const isThere = store.isAlive() && store.state?.status === "connected"; // else nobody knows
      const names = isThere ? [...store.typing.keys()] : [];
      const many = names.length > 3 ? "Several people" : listInWords(names);
      setText(area, names.length ? `${many} ${names.length > 1 ? "are" : "is"} typing…` : "");
    },
  };
}

function makeStatus(store, root) {
  const words = element("span", {});
  const seconds = element("span", { "aria-hidden": "true" }); // it changes each second: not to be read out
  const again = element("button", { class: "nbchat-again", type: "button", hidden: "" }, "Join again");
  const said = element("div", { class: "nbchat-status", role: "status", "aria-label": "Connection" }, words, seconds);
  const area = element("div", { class: "nbchat-connection" }, said, again);
  again.addEventListener("click", () => {
    again.hidden = true;
    store.joinAgain();
  });
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
      again.hidden = !canJoinAgain(state, isAlive);
    },
  };
}
