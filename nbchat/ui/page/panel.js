// The panel's side in the page. The kernel keeps the transcript and makes the HTML of messages (render.py);
// everything else that people wrote, names among it, goes in as text.

const HERE_EVERY = 60000; // ms between two words to the kernel that somebody uses this page

export default () => {
  let store = null;
  return {
    // Once per model and page: one store for all views of it.
    initialize({ model }) {
      store = makeStore((message) => model.send(message));
      const receive = (message) => message.type === "news" && store.receive(message);
      model.on("msg:custom", receive);
      let today = dayOf(Date.now());
      const clock = setInterval(() => {
        if (today !== dayOf(Date.now())) store.tell("showDays"); // "Today" is "Yesterday" now
        today = dayOf(Date.now());
        store.tell("showState");
        if (store.pending.size) store.tell("showPending");
      }, 1000);
      const end = new AbortController();
      let hereAt = Date.now();
      const here = () => {
        if (Date.now() - hereAt < HERE_EVERY || document.visibilityState !== "visible") return;
        hereAt = Date.now();
        model.send({ type: "here" });
      };
      for (const name of ["pointermove", "pointerdown", "keydown", "visibilitychange"]) {
        document.addEventListener(name, here, { signal: end.signal, passive: true, capture: true });
      }
      store.ask();
      model.send({ type: "zone", zone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "" });
      return () => {
        model.off("msg:custom", receive);
        clearInterval(clock);
        end.abort();
      };
    },

    // Once per output cell.
    render({ el }) {
      const view = makeView(store, el);
      store.views.add(view);
      view.showState();
      return () => {
        store.views.delete(view);
        view.end();
      };
    },
  };
};

function makeView(store, el) {
  const root = element("div", {
    class: "nbchat", role: "group", "aria-label": "Chat", "data-lm-suppress-shortcuts": "true",
  });
  const log = makeLog(store);
  const header = makeHeader(store);
  const typing = makeTyping(store);
  const box = makeBox(store, () => giveBack(el), log.log);
  const members = makeMembers(store, box.call);
  const status = makeStatus(store, root);
  const keep = makeKeep(store);
  root.append(
    header.area,
    element(
      "div", { class: "nbchat-main" },
      element("div", { class: "nbchat-talk" }, log.area, typing.area, box.problem, box.area),
      members.area,
      members.menu,
    ),
    element("div", { class: "nbchat-foot" }, status.area, keep.area),
  );
  const frame = element("div", { class: "nbchat-frame" }, root);
  el.append(frame);

  let isNarrow = null;
  const size = new ResizeObserver(() => {
    if (!frame.clientWidth || isNarrow === frame.clientWidth < NARROW) return;
    isNarrow = frame.clientWidth < NARROW;
    root.classList.toggle("nbchat-narrow", isNarrow);
    members.area.open = !isNarrow;
  });
  size.observe(frame);
  const showTheme = () => (root.dataset.theme = isDark(el.parentElement ?? el) ? "dark" : "light");
  const theme = new MutationObserver(showTheme);
  const attributes = { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-theme", "style"] };
  theme.observe(document.body, attributes);
  theme.observe(document.documentElement, attributes);
  requestAnimationFrame(showTheme); // when it stands in the page
  showTheme();

  return {
    append: log.append,
    prepend: log.prepend,
    redraw: log.redraw,
    showDays: log.showDays,
    restart: log.restart,
    showPending: log.showPending,
    said: log.said,
    isAtEnd: log.isAtEnd,
    recall: box.recall,
    showState() {
      root.toggleAttribute("data-live", store.state !== null);
      for (const each of [header, log, members, typing, box, status, keep]) each.showState();
    },
    end() {
      log.end();
      box.end();
      size.disconnect();
      theme.disconnect();
      frame.remove();
    },
  };
}

// The keyboard goes back to the notebook, in its command mode.
function giveBack(el) {
  el.closest(".jp-Notebook, .jp-WindowedPanel-outer, [tabindex]")?.focus();
}
