// What makes the pages quicker to use. Each of them works without it.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // A choice is made when it is chosen.
  for (const select of document.querySelectorAll("[data-submits]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
  // What is not chosen does not stand in the address.
  for (const form of document.querySelectorAll(".filters")) {
    form.addEventListener("submit", () => {
      for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
    });
    const details = form.querySelector("details");
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && details && details.open) { details.open = false; details.querySelector("summary").focus(); }
    });
  }
  for (const field of document.querySelectorAll("[data-copies]")) field.addEventListener("focus", () => field.select());
  for (const form of document.querySelectorAll("form[data-asks]")) {
    form.addEventListener("submit", (event) => { if (!window.confirm(form.dataset.asks)) event.preventDefault(); });
  }

  // The last events, every five seconds while somebody looks.
  const feed = document.getElementById("feed");
  if (feed) {
    const news = document.getElementById("feed-news");
    let tag = null;
    const renew = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(feed.dataset.feed, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
        if (answer.status !== 200) return;
        const known = new Set([...feed.querySelectorAll("tbody tr")].map((row) => row.textContent));
        const first = tag === null;
        tag = answer.headers.get("ETag");
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        feed.replaceChildren(...parsed.body.childNodes);
        const fresh = [...feed.querySelectorAll("tbody tr")].filter((row) => !known.has(row.textContent));
        for (const row of fresh) row.classList.add("fresh");
        if (fresh.length && !first) news.textContent = fresh.length === 1 ? "One new event" : `${fresh.length} new events`;
      } catch { /* The next turn asks again. */ }
    };
    setInterval(renew, 5000);
    document.addEventListener("visibilitychange", renew);
  }

  // Charts to point at, where there is room for them and nobody saves data; the drawn ones stay until these are there.
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const saves = navigator.connection && navigator.connection.saveData;
  if (figures.length && !saves && window.matchMedia("(min-width: 720px)").matches) {
    const options = { ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true } };
    const draw = async (figure) => {
      const answer = await fetch(figure.dataset.chart);
      if (!answer.ok) return;
      const holder = document.createElement("div");
      holder.className = "vega";
      const drawn = figure.firstElementChild;
      // It has to be somewhere to know how wide it is.
      figure.append(holder);
      try {
        await window.gatewaycoreEmbed(holder, await answer.json(), options);
        drawn.remove();
        const label = drawn.getAttribute("aria-label");
        if (label && holder.querySelector("svg")) { const svg = holder.querySelector("svg"); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label); }
        figure.dataset.drawn = "vega";
      } catch { holder.remove(); }
    };
    const load = () => {
      const script = document.createElement("script");
      script.src = document.body.dataset.vega;
      script.addEventListener("load", async () => { for (const figure of figures) await draw(figure); });
      document.head.append(script);
    };
    window.addEventListener("load", () => (window.requestIdleCallback || setTimeout)(load));
  }
})();
