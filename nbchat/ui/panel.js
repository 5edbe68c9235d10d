// The page's side of the panel. The kernel keeps the transcript and numbers its rows; this shows each
// number once, in order, and asks for what it misses. Everything that people wrote goes in as textContent.

const DEAD = 16000; // ms without a heartbeat (one every 5 s) before the kernel counts as gone
const KEPT = 2000; // rows in the page at the most

export default () => {
  const store = { rows: [], last: 0, state: null, refused: null, beat: Date.now(), isAsking: false };
  const views = new Set();

  return {
    // Once per model and page: one store for all views of it.
    initialize({ model }) {
      const ask = () => {
        if (store.isAsking) return;
        store.isAsking = true;
        setTimeout(() => (store.isAsking = false), 1000);
        model.send({ type: "sync", after: store.last });
      };
      const receive = (message) => {
        store.beat = Date.now();
        if (message.type === "rows") takeRows(message, ask);
        else if (message.type === "beat" && message.newest > store.last) ask();
        else if (message.type === "state") store.state = message;
        else if (message.type === "refused") views.forEach((view) => view.refuse(message));
        if (message.type !== "rows") views.forEach((view) => view.showState());
      };
      model.on("msg:custom", receive);
      const watch = setInterval(() => views.forEach((view) => view.showState()), 4000);
      ask();
      return () => {
        model.off("msg:custom", receive);
        clearInterval(watch);
      };
    },

    // Once per output cell.
    render({ model, el }) {
      const view = makeView(el, (text) => model.send({ type: "say", text }));
      views.add(view);
      view.addRows(store.rows);
      view.showState();
      return () => views.delete(view);
    },
  };

  function takeRows(message, ask) {
    if (message.after > store.last) return ask(); // one got lost on the way
    store.isAsking = false;
    const fresh = message.rows.filter((row) => row.n > store.last);
    if (!fresh.length) return;
    store.last = fresh[fresh.length - 1].n;
    store.rows.push(...fresh);
    if (store.rows.length > KEPT) store.rows.splice(0, store.rows.length - KEPT);
    views.forEach((view) => view.addRows(fresh));
  }

  function makeView(el, say) {
    const log = element("div", { class: "nbchat-log", role: "log", "aria-label": "Messages", tabindex: "0" });
    const box = element("textarea", {
      class: "nbchat-box", "aria-label": "Message", rows: "1", placeholder: "Write a message…",
    });
    const button = element("button", { class: "nbchat-send", type: "button" }, "Send");
    const problem = element("div", { class: "nbchat-problem", role: "alert" });
    const status = element("div", { class: "nbchat-status", role: "status", "aria-label": "Connection" });
    const heading = element("div", { class: "nbchat-heading" });
    const members = element("ul", { class: "nbchat-members", role: "list", "aria-label": "Members" });
    const root = element(
      "div", { class: "nbchat", role: "group", "aria-label": "Chat", "data-lm-suppress-shortcuts": "true" },
      element("div", { class: "nbchat-main" }, log, element("div", { class: "nbchat-side" }, heading, members)),
      problem,
      element("div", { class: "nbchat-write" }, box, button),
      status,
    );
    el.append(root);

    const send = () => {
      if (!box.value.trim()) return;
      say(box.value);
      box.value = "";
      problem.textContent = "";
      grow();
    };
    const grow = () => {
      box.style.height = ""; // one line, by panel.css
      if (box.scrollHeight > box.clientHeight) box.style.height = `${box.scrollHeight + 2}px`;
    };
    box.addEventListener("input", grow);
    box.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the notebook's shortcuts are not meant
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
    });
    button.addEventListener("click", () => {
      send();
      box.focus();
    });

    let author = null; // of the last row, when it was a message
    return {
      addRows(rows) {
        const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
        for (const row of rows) {
          log.append(row.kind === "said" ? said(row, row.name === author) : line(row));
          author = row.kind === "said" ? row.name : null;
        }
        while (log.childElementCount > KEPT) log.firstElementChild.remove();
        if (isAtEnd) log.scrollTop = log.scrollHeight;
      },
      showState() {
        const { state } = store;
        const isAlive = Date.now() - store.beat < DEAD;
        root.dataset.status = isAlive ? (state?.status ?? "connecting") : "gone";
        setText(status, words(state, isAlive));
        if (!state) return;
        setText(heading, `Members (${state.members.length})`);
        const key = JSON.stringify(state.members);
        if (members.dataset.key !== key) {
          members.dataset.key = key;
          members.replaceChildren(...state.members.map((each) => member(each, state.name)));
        }
      },
      refuse({ text, why }) {
        problem.textContent = why;
        if (!box.value) box.value = text; // nothing typed is lost
        grow();
      },
    };
  }
};

function said(row, isSameAuthor) {
  const time = new Date(row.ms);
  return element(
    "div", { class: isSameAuthor ? "nbchat-said nbchat-goes-on" : "nbchat-said" },
    element(
      "div", { class: "nbchat-by" },
      element("span", { class: "nbchat-name" }, row.name),
      element(
        "time", { datetime: time.toISOString() },
        time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
      ),
    ),
    element("div", { class: "nbchat-text", dir: "auto" }, row.text),
  );
}

function line(row) {
  const words = {
    joined: `${row.name} joined`,
    left: `${row.name} left`,
    reset: "The chat was started anew; what was said before is not in it.",
    notice: row.text,
  };
  return element("div", { class: "nbchat-line" }, words[row.kind] ?? "");
}

function member(each, me) {
  const marks = [each.name === me && "you", each.role === "host" && "host", each.plain && "plain text"];
  const mark = marks.filter(Boolean).join(", ");
  return element(
    "li", { role: "listitem" },
    element("span", { class: "nbchat-name" }, each.name),
    ...(mark ? [element("span", { class: "nbchat-mark" }, ` (${mark})`)] : []),
  );
}

function words(state, isAlive) {
  if (!isAlive) return "The kernel does not answer. If it was restarted, run the cell again.";
  if (!state) return "Connecting…";
  if (state.status === "connected") return `Connected as ${state.name} in ${state.room}`;
  if (state.status === "closed") return `Closed: ${state.reason}`;
  return `Reconnecting… ${state.reason}`;
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text nodes
  return made;
}

function setText(made, text) {
  if (made.textContent !== text) made.textContent = text; // no announcement where nothing changed
}
