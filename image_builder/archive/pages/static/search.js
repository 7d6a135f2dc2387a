// Answers as one types, from the index beside it. Without JavaScript the server answers; in files there are the lists by name.
"use strict";
(() => {
  const shown = 200;
  const longest = 200;
  const {labels, packages} = globalThis.searchIndex;
  const known = packages === "" ? [] : packages.split("\n").map((line) => {
    const [source, numbers, binaries, page] = line.split("\t");
    const states = numbers.split(",").map((number) => labels[number]);
    return {source, states, page, text: `${source} ${binaries} ${states.join(" ")}`.toLowerCase()};
  });
  const place = (one) => {
    const prefix = one.source.startsWith("lib") && one.source.length > 3 ? one.source.slice(0, 4) : one.source.slice(0, 1);
    return one.page ?? `package/${prefix}/${one.source}.html`;
  };
  const distance = (source, word) => source === word ? 0 : source.startsWith(word) ? 1 : source.includes(word) ? 2 : 3;
  const find = (question) => {
    const words = question.slice(0, longest).toLowerCase().split(/\s+/).filter((word) => word !== "");
    if (words.length === 0) return [];
    return known.filter((one) => words.every((word) => one.text.includes(word)))
      .map((one) => ({...one, near: distance(one.source.toLowerCase(), words[0])}))
      .sort((a, b) => a.near - b.near || (a.source < b.source ? -1 : 1));
  };
  const list = document.getElementById("found");
  const said = document.getElementById("said");
  const field = document.getElementById("question");
  const answer = () => {
    const found = find(field.value);
    list.replaceChildren(...found.slice(0, shown).map((one) => {
      const entry = document.createElement("li");
      const link = document.createElement("a");
      link.href = place(one);
      link.textContent = one.source;
      const state = document.createElement("span");
      state.className = "faint";
      state.textContent = one.states.join(", ");
      entry.append(link, " ", state);
      return entry;
    }));
    const more = found.length > shown ? `; the first ${shown} are shown` : "";
    said.textContent = field.value.trim() === "" ? "" : `${found.length} found${more}`;
  };
  if (field.value === "") field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", answer);
  answer();
})();
