"use strict";
// Frames of a recording: by its slider, its timeline (hover, click, arrow keys), and links to frames.
const begin = (section) => {
  const data = JSON.parse(section.querySelector("script[type='application/json']").textContent);
  const image = section.querySelector(".picture img");
  const caption = section.querySelector(".picture figcaption");
  const slider = section.querySelector(".picture input");
  const plot = section.querySelector(".timeline .plot");
  const cursor = plot && plot.querySelector(".cursor");
  const scroll = section.querySelector(".scroll[data-timeline]");
  let shown = data.first;

  const nearest = (frame) => {
    let best = 0;
    data.pictures.forEach(([index], k) => {
      if (Math.abs(index - frame) < Math.abs(data.pictures[best][0] - frame)) best = k;
    });
    return data.pictures[best];
  };
  const rounded = (frame) => {
    const steps = Math.round((frame - data.first) / data.step);
    return Math.min(data.last, Math.max(data.first, data.first + steps * data.step));
  };
  const show = (frame) => {
    shown = rounded(frame);
    slider.value = String(shown);
    const picture = nearest(shown);
    let said = "frame " + shown;
    if (picture) {
      const uri = "data:image/webp;base64," + picture[1];
      if (image.getAttribute("src") !== uri) image.setAttribute("src", uri);
      image.alt = "Labels of frame " + picture[0];
      if (picture[0] !== shown) said += " (the picture nearest to it is of frame " + picture[0] + ")";
    }
    caption.textContent = said;
    slider.setAttribute("aria-valuetext", said);
    if (cursor) {
      const x = (shown - data.first) / data.step + 0.5;
      cursor.setAttribute("x1", String(x));
      cursor.setAttribute("x2", String(x));
    }
    for (const row of section.querySelectorAll("tr[data-frame]")) {
      row.classList.toggle("on", row.dataset.frame === String(shown));
    }
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  if (plot) {
    const at = (event) => {
      const box = plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      return data.first + Math.floor(share * data.columns) * data.step;
    };
    let chosen = shown;
    plot.addEventListener("pointermove", (event) => show(at(event)));
    plot.addEventListener("pointerleave", () => show(chosen));
    plot.addEventListener("click", (event) => { chosen = rounded(at(event)); show(chosen); });
    scroll.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
      if (way) show(shown + way * data.step);
      else if (event.key === "Home") show(data.first);
      else if (event.key === "End") show(data.last);
      else return;
      chosen = shown;
      event.preventDefault();
    });
    slider.addEventListener("input", () => { chosen = shown; });
    section.addEventListener("frame", () => { chosen = shown; });
  }
  section.showFrame = (frame) => { show(frame); section.dispatchEvent(new Event("frame")); };
  show(data.first);
};

// A recording begins when it comes near, so that a page of many opens at once.
const begun = (section) => {
  if (!section.showFrame && section.querySelector(".picture")) begin(section);
  return section;
};
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) near.unobserve(begun(entry.target));
}, { rootMargin: "1000px" });
for (const section of document.querySelectorAll("section[data-source]")) near.observe(section);

// Links as #s0-f40: frame 40 of the first recording.
const follow = () => {
  const found = /^#(s\d+)-f(\d+)$/.exec(location.hash);
  const section = found && document.getElementById(found[1]);
  if (!section || !begun(section).showFrame) return;
  section.showFrame(Number(found[2]));
  section.querySelector(".picture").scrollIntoView({ block: "nearest" });
};
window.addEventListener("hashchange", follow);
document.addEventListener("click", (event) => {
  if (event.target.closest && event.target.closest("a[href^='#s']")) setTimeout(follow);
});
follow();
