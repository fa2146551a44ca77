// What makes the pages quicker to use. Each of them works without it.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Listened for on the document, which is there before the page is: a page is sent in pieces.
  const closest = (event, what) => event.target instanceof Element ? event.target.closest(what) : null;
  // With a pointer, a choice is made when it is chosen. Keys walk through the choices: there it is made by Enter, or by going on from the form.
  let key = null;
  let walked = null;
  const submit = (select, focused = select) => { walked = null; remember(focused); select.form.requestSubmit(); };
  document.addEventListener("pointerdown", () => { key = null; }, true);
  document.addEventListener("keydown", (event) => {
    key = event.key;
    // The buttons are shown to whoever goes by keyboard.
    if (key === "Tab" || key.startsWith("Arrow")) root.classList.add("keys");
    if (key === "Enter" && walked && event.target === walked) { event.preventDefault(); submit(walked); }
  }, true);
  document.addEventListener("change", (event) => {
    const select = closest(event, "[data-submits]");
    if (!select) return;
    if (key === null || key === "Enter") submit(select);
    else walked = select;
  });
  document.addEventListener("focusout", (event) => {
    const to = event.relatedTarget;
    // Without a target, somebody looks at another window.
    if (walked && to && !walked.form.contains(to)) submit(walked, to.id ? to : walked);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.asks && !window.confirm(form.dataset.asks)) event.preventDefault();
    if (form.matches(".filters, .theme") && form.contains(document.activeElement)) remember(document.activeElement);
    // What is not chosen does not stand in the address.
    if (form.matches(".filters")) for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
  });
  document.addEventListener("focusin", (event) => {
    const field = closest(event, "[data-copies]");
    if (field) field.select();
  });
  document.addEventListener("keydown", (event) => {
    const details = document.querySelector(".filters details[open]");
    if (event.key === "Escape" && details) { details.open = false; details.querySelector("summary").focus(); }
  });
  document.addEventListener("DOMContentLoaded", () => { restore(); watch(); draw(); });

  // What had the focus has it again when the page is there anew.
  const FOCUS = "gatewaycore-focus";
  const remember = (element) => {
    const known = [location.pathname, element.id, root.classList.contains("keys")];
    try { sessionStorage.setItem(FOCUS, JSON.stringify(known)); } catch { /* It is kept nowhere: so be it. */ }
  };
  const restore = () => {
    try {
      const [path, id, keys] = JSON.parse(sessionStorage.getItem(FOCUS)) || [];
      sessionStorage.removeItem(FOCUS);
      if (path !== location.pathname) return;
      if (keys) root.classList.add("keys");
      // Whoever has gone somewhere meanwhile stays there.
      if (id && document.activeElement === document.body) document.getElementById(id)?.focus({ preventScroll: true });
    } catch { /* Nothing was kept. */ }
  };

  // The last events, every five seconds while somebody looks.
  const watch = () => {
    const feed = document.getElementById("feed");
    if (!feed) return;
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
  };

  // Charts to point at, where there is room for them and nobody saves data; the drawn ones stay until these are there.
  const draw = () => {
    const figures = [...document.querySelectorAll("figure[data-chart]")];
    const saves = navigator.connection && navigator.connection.saveData;
    if (!figures.length || saves || !window.matchMedia("(min-width: 720px)").matches) return;
    const options = { ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true } };
    const drawOne = async (figure) => {
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
      script.addEventListener("load", async () => { for (const figure of figures) await drawOne(figure); });
      document.head.append(script);
    };
    window.addEventListener("load", () => (window.requestIdleCallback || setTimeout)(load));
  };
})();
