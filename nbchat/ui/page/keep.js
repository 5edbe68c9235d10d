// What the notebook keeps of what is said here: told where one joins, with a switch.

function makeKeep(store) {
  const box = element("input", { type: "checkbox" });
  const heading = element("summary", {});
  const area = element(
    "details", { class: "nbchat-keep", hidden: "" },
    heading,
    element("label", {}, box, " Keep the last messages in this notebook"),
    element(
      "div", {},
      "The newest 50 are saved in its file, with who said them and when. Whoever gets the file can read them.",
    ),
  );
  let key = null; // of a switch that was turned off, in the browser's storage: the kernel may be restarted

  box.addEventListener("change", () => {
    stored((storage) => (box.checked ? storage.removeItem(key) : storage.setItem(key, "off")));
    store.send({ type: "save", on: box.checked });
  });

  return {
    area,
    showState() {
      const { state } = store;
      const saves = state?.saves ?? null;
      if (saves !== null && key === null) {
        key = `nbchat save ${state.log} ${state.room} ${state.name}`;
        if (saves && stored((storage) => storage.getItem(key)) === "off") store.send({ type: "save", on: false });
      }
      area.hidden = saves === null;
      if (box.dataset.shown === String(saves)) return; // what is being switched stays as it is
      box.dataset.shown = String(saves);
      box.checked = saves === true;
      setText(heading, saves ? "The last messages are kept in this notebook" : "Nothing is kept in this notebook");
    },
  };
}
