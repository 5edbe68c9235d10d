// The output area. Only a window of the rows is in the page; it moves as one scrolls, and follows the newest
// while one is at the end.

const WINDOW = 1000; // messages in the page at the most
const ELEMENTS = 25000; // and elements: a message of code may have hundreds
const STEP = 100; // rows by which the window moves
const NEAR = 600; // pixels from its edge at which it does
const GROUP = 5 * 60000; // ms in which messages of one author stand under one name
const READ = 10000; // ms for which the line over the new ones stays after they were read

function makeLog(store) {
  const rows = element("div", { class: "nbchat-rows" });
  const start = element("div", { class: "nbchat-line nbchat-start" });
  const waiting = element("div", { class: "nbchat-waiting", "aria-live": "off" });
  const log = element(
    "div", { class: "nbchat-log", role: "log", "aria-label": "Messages", tabindex: "0" }, start, rows, waiting,
  );
  const jump = element("button", { class: "nbchat-jump", type: "button", hidden: "" });
  const area = element("div", { class: "nbchat-area" }, log, jump);

  let drawn = []; // {item, node, size}, in order: a part of store.items without a gap
  let elements = 0;
  let isFollowing = true; // at the end, and to stay there
  let unread = 0;
  let unreadKey = null; // of the row over which the line stands
  let top = 0; // where it was scrolled to when it could be seen
  let height = 0; // and how high it was then
  let readAt = null; // when what is under the line was read
  let shownPending = "";
  let busy = 0; // changes that are not to be read out

  const view = { area, log, append, prepend, redraw, restart, showPending, said, showDays, showState, isAtEnd: () => isFollowing };
  jump.addEventListener("click", () => {
    const over = unread ? drawn.find((each) => each.item.key === unreadKey)?.node.offsetTop : undefined;
    const isFarAhead = over > log.scrollTop + 10 && log.scrollHeight - over > log.clientHeight;
    if (isFarAhead) moveTo(over - 8); // to the first new one; once more, to the end
    else toEnd();
    log.focus();
  });
  log.addEventListener("scroll", onScroll, { passive: true });
  rows.addEventListener("nbchat-fold", onScroll);
  const sizes = new ResizeObserver(() => {
    if (!log.clientHeight) return; // its tab is hidden
    if (isFollowing) moveTo(log.scrollHeight);
    else if (log.scrollTop !== top) moveTo(top);
    onScroll();
  });
  for (const each of [log, rows, waiting]) sizes.observe(each); // what grows below is followed, too
  const onShown = () => isSeen() && isFollowing && markRead();
  document.addEventListener("visibilitychange", onShown);
  view.end = () => {
    sizes.disconnect();
    document.removeEventListener("visibilitychange", onShown);
  };
  restart();
  return view;

  // ── what the store tells ──

  function restart() {
    quietly(() => {
      drawn = [];
      elements = 0;
      rows.replaceChildren();
      draw(store.items.slice(-STEP), 0);
      showPending();
      toEnd();
    });
  }

  function append(items) {
    if (hasScrolledUp()) onScroll();
    const isTail = drawn.length === 0 || store.items.at(-items.length - 1) === drawn.at(-1).item;
    countUnread(items);
    const isRoom = isFollowing || drawn.length + items.length <= WINDOW;
    if (isTail && isRoom) {
      draw(items.slice(-WINDOW), drawn.length);
      if (isFollowing) {
        shrink("top");
        moveTo(log.scrollHeight);
      }
    }
    showJump();
  }

  function prepend(items) {
    const old = drawn[0];
    const changed = drawn.slice(0, drawn.findIndex(({ item }) => item.kind === "said") + 1 || 1);
    quietly(() => {
      if (items.length && old && store.items[items.length] === old.item) {
        extendUp();
        for (const { item } of changed) redraw(item); // something stands before it now
      }
    });
    if (isFollowing) moveTo(log.scrollHeight);
    onScroll();
  }

  function redraw(item) {
    const at = drawn.findIndex((each) => each.item === item);
    if (at < 0) return;
    keepPlace(() => {
      const made = makeRow(item);
      drawn[at].node.replaceWith(made.node);
      elements += made.size - drawn[at].size;
      drawn[at] = made;
    }, isFollowing);
  }

  function said() {
    takeLine();
    toEnd();
  }

  // The line over the new ones goes.
  function takeLine() {
    const line = unreadKey;
    unreadKey = readAt = null;
    const over = drawn.find((each) => each.item.key === line);
    if (over) quietly(() => redraw(over.item));
  }

  // The day has changed.
  function showDays() {
    quietly(() => {
      for (const { item, node } of drawn) {
        const day = node.querySelector(".nbchat-day > span");
        if (day) setText(day, dayInWords(item.ms));
      }
    });
  }

  function showState() {
    onScroll();
    if (readAt !== null && isFollowing && isSeen() && Date.now() - readAt > READ) takeLine();
  }

  function showPending() {
    const entries = [...store.pending].map(([mark, each]) => [mark, each.text, whyPending(each)]);
    const key = JSON.stringify(entries);
    if (key === shownPending) return;
    shownPending = key;
    waiting.replaceChildren(...entries.map(([mark, text, why]) => pale(mark, text, why)));
    if (isFollowing) moveTo(log.scrollHeight);
  }

  function pale(mark, text, why) {
    const note = element("div", { class: "nbchat-why" }, why);
    if (store.pending.get(mark).why) {
      const discard = element("button", { class: "nbchat-discard", type: "button" }, "Discard");
      discard.addEventListener("click", () => {
        store.pending.delete(mark);
        store.tell("showPending");
      });
      note.append(discard);
    }
    return element(
      "div", { class: "nbchat-pale" }, element("div", { class: "nbchat-text", dir: "auto" }, text), note,
    );
  }

  function whyPending({ isKnown, at, why }) {
    if (why) return why;
    if (!store.isAlive()) return "not sent: the kernel does not answer";
    if (!isKnown) return Date.now() - at > 1000 ? "waiting for the kernel" : "sending";
    return store.state?.status === "connected" ? "sending" : "waiting for the connection";
  }

  // ── the window ──

  function onScroll() {
    if (!log.clientHeight) return;
    // Nobody has scrolled where the box has grown, or a message: the newest stay in sight.
    if (isFollowing && log.clientHeight !== height) moveTo(log.scrollHeight);
    height = log.clientHeight;
    top = log.scrollTop;
    const below = log.scrollHeight - top - log.clientHeight;
    const isTail = drawn.at(-1)?.item === store.items.at(-1);
    isFollowing = isTail && below < 30;
    if (isFollowing && isSeen()) markRead();
    if (top < NEAR) {
      if (drawn.length && drawn[0].item !== store.items[0]) extendUp();
      else store.askOlder();
    }
    if (below < NEAR && !isTail) extendDown();
    showStart();
    showJump();
  }

  function showStart() {
    const text = store.isAtStart ? "This is the beginning of the chat." : "";
    if (start.textContent !== text) keepPlace(() => (start.textContent = text), isFollowing);
  }

  function extendUp() {
    const at = drawn.length ? find(drawn[0].item) : store.items.length;
    quietly(() => {
      keepPlace(() => draw(store.items.slice(Math.max(0, at - STEP), at), 0));
      if (!isFollowing) shrink("bottom");
    });
  }

  function extendDown() {
    const at = find(drawn.at(-1).item) + 1;
    quietly(() => {
      draw(store.items.slice(at, at + STEP), drawn.length);
      keepPlace(() => shrink("top"));
    });
  }

  // Rows that come into the page and go because the window moves are no news: not to be read out.
  function quietly(change) {
    log.setAttribute("aria-busy", "true");
    change();
    busy += 1;
    requestAnimationFrame(() => requestAnimationFrame(() => --busy || log.removeAttribute("aria-busy")));
  }

  function toEnd() {
    if (drawn.at(-1)?.item !== store.items.at(-1)) {
      quietly(() => {
        drawn = [];
        elements = 0;
        rows.replaceChildren();
        draw(store.items.slice(-STEP), 0);
      });
    }
    isFollowing = true;
    moveTo(log.scrollHeight);
    onScroll();
  }

  function draw(items, at) {
    const made = items.map(makeRow);
    const nodes = made.map((each) => each.node);
    if (at === 0) rows.prepend(...nodes);
    else rows.append(...nodes);
    drawn.splice(at, 0, ...made);
    for (const each of made) elements += each.size;
  }

  // Take rows away where nobody looks, until the window has its size again.
  function shrink(where) {
    while (drawn.length > 1 && (drawn.length > WINDOW || elements > ELEMENTS)) {
      const gone = where === "top" ? drawn.shift() : drawn.pop();
      elements -= gone.size;
      gone.node.remove();
    }
  }

  function moveTo(place) {
    log.scrollTop = place;
    top = log.scrollTop;
  }

  // Somebody has scrolled up just now; the browser says so only with its next frame.
  function hasScrolledUp() {
    return log.clientHeight > 0 && log.scrollTop < top - 4;
  }

  // Change something above what is being read, without moving it.
  function keepPlace(change, isAtEnd = false) {
    const before = log.scrollHeight - log.scrollTop;
    change();
    moveTo(isAtEnd ? log.scrollHeight : log.scrollHeight - before);
  }

  // ── what is unread ──

  function isSeen() {
    return document.visibilityState === "visible" && log.clientHeight > 0;
  }

  function countUnread(items) {
    if (isFollowing && isSeen()) return;
    const me = store.state?.name;
    const news = items.filter((item) => item.kind === "said" && item.by !== me);
    if (!news.length) return;
    if (!unread) {
      const over = drawn.find((each) => each.item.key === unreadKey);
      unreadKey = news[0].key;
      readAt = null;
      if (over) redraw(over.item);
    }
    unread += news.length;
  }

  function markRead() {
    if (unread) readAt = Date.now();
    unread = 0;
    showJump();
  }

  function showJump() {
    jump.hidden = isFollowing;
    setText(jump, unread ? `${unread} new ↓` : "Newest ↓");
    jump.classList.toggle("nbchat-has-news", unread > 0);
  }

  // ── one row ──

  function makeRow(item) {
    const row = element("div", { class: "nbchat-row" });
    const over = dividers(item);
    if (item.kind === "said") drawSaid(row, item, over.length > 0);
    else {
      const words = item.kind === "presence" ? presenceInWords(item.steps) : [item.text];
      const isList = item.text?.includes("\n");
      row.append(
        element("div", { class: isList ? "nbchat-line nbchat-list" : "nbchat-line", dir: "auto" }, ...words),
      );
    }
    const node = element("div", { class: "nbchat-item" }, ...over, row);
    return { item, node, size: node.getElementsByTagName("*").length + 1 };
  }

  // What stands over a row.
  function dividers(item) {
    const divider = (kind, words) => element("div", { class: `nbchat-${kind}` }, element("span", {}, words));
    return [
      ...(beginsDay(item) ? [divider("day", dayInWords(item.ms))] : []),
      ...(item.key === unreadKey ? [divider("unread", "New")] : []),
    ];
  }

  function drawSaid(node, item, isUnderDivider) {
    const before = store.items[find(item) - 1];
    const goesOn =
      before?.kind === "said" && before.by === item.by && before.says === item.says &&
      item.ms - before.ms < GROUP && !isUnderDivider;
    if (goesOn) node.classList.add("nbchat-goes-on");
    else {
      node.append(
        store.face(item.by),
        element(
          "div", { class: "nbchat-by" },
          element("bdi", { class: "nbchat-name" }, item.by),
          ...(item.says ? [element("span", { class: `nbchat-says nbchat-says-${item.says}` }, item.says)] : []),
          element("time", { datetime: new Date(item.ms).toISOString() }, timeInWords(item.ms)),
        ),
      );
    }
    if (item.isMention) node.classList.add("nbchat-mention");
    item.opened ??= new Set();
    const text = element(
      "div", { class: "nbchat-text", dir: "auto", title: `${momentInWords(item.ms)} · message ${item.seq}` },
      item.html
        ? rendered(item.html, item.opened)
        : element("i", { class: "nbchat-mark" }, "A host took this message away."),
    );
    node.append(text, ...foldOf(text, item.html, item.opened));
  }

  // Whether something is the first of its day. A line has this machine's time, a message the server's: where the two
  // clocks differ, a line begins a later day only, and a message no day twice.
  function beginsDay(item) {
    if (!item.ms) return false;
    let at = find(item);
    let line = null; // the last line with a time since the message before
    while (--at >= 0 && store.items[at].kind !== "said") line ??= store.items[at].ms ? store.items[at] : null;
    const isSaid = item.kind === "said";
    const days = [store.items[at], line].filter(Boolean).map((each) => dayOf(each.ms));
    return days.every((day) => (isSaid ? day !== dayOf(item.ms) : day < dayOf(item.ms)));
  }

  // Keys rise, so halving finds it.
  function find(item) {
    let low = 0;
    let high = store.items.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (store.items[middle].key < item.key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
