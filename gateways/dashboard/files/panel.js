// Markup that changes in place: what is the same stays, so focus, selection, scrolling and open details stay too.
function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;
}

function become(now, next) {
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  if (now.dataset.own !== undefined) return; // a script fills it
  for (const { name } of [...now.attributes]) {
    const kept = name === "open" || name.startsWith("data-v-"); // a reader opened it
    if (!kept && !next.hasAttribute(name)) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open" && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  if (now.nodeName === "SELECT" || now.nodeName === "OPTION") {
    if (now.nodeName === "OPTION" && document.activeElement !== now.parentNode) now.selected = next.hasAttribute("selected");
  }
  fill(now, next);
}

function fill(now, next) {
  const keyed = new Map([...now.children].filter((one) => one.dataset.key).map((one) => [one.dataset.key, one]));
  let place = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    const moved = wanted.dataset?.key && keyed.get(wanted.dataset.key);
    if (moved && moved !== place) {
      now.insertBefore(moved, place);
      place = moved;
    }
    if (place && same(place, wanted)) {
      become(place, wanted);
      place = place.nextSibling;
    } else {
      now.insertBefore(wanted, place);
    }
  }
  while (place) {
    const rest = place.nextSibling;
    place.remove();
    place = rest;
  }
}

export default {
  template: `<component :is="tag" @click="told" @change="told"></component>`,
  props: { html: String, tag: String },
  emits: ["act"],
  mounted() {
    this.$el.innerHTML = this.html;
  },
  updated() {
    this.renew();
  },
  watch: {
    html() {
      this.renew();
    },
  },
  methods: {
    renew() {
      const next = document.createElement("template");
      next.innerHTML = this.html;
      fill(this.$el, next.content);
    },
    told(event) {
      const source = event.target.closest("[data-act]");
      const isChoice = source?.nodeName === "SELECT";
      if (!source || isChoice !== (event.type === "change")) return;
      event.preventDefault();
      this.$emit("act", { act: source.dataset.act, arg: isChoice ? source.value : source.dataset.arg });
    },
  },
};
