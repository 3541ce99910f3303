// A chart of ECharts whose colours are the page's: they change with the page between dark and light.
import { echarts } from "nicegui-echart";

function coloured(value, root) {
  if (typeof value === "string" && value.startsWith("var(--")) {
    root.style.color = value;
    return getComputedStyle(root).color;
  }
  if (Array.isArray(value)) return value.map((part) => coloured(part, root));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, coloured(part, root)]));
  }
  return value;
}

export default {
  template: `<div class="chart" role="img" :aria-label="label"><i hidden></i><div></div></div>`,
  props: { options: Object, label: String },
  mounted() {
    this.chart = echarts.init(this.$el.lastChild, null, { renderer: "canvas" });
    this.draw();
    this.sizes = new ResizeObserver(() => this.chart.resize());
    this.sizes.observe(this.$el);
    this.themes = new MutationObserver(() => this.draw());
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.system = matchMedia("(prefers-color-scheme: dark)");
    this.system.addEventListener("change", this.draw);
  },
  beforeUnmount() {
    this.sizes.disconnect();
    this.themes.disconnect();
    this.system.removeEventListener("change", this.draw);
    this.chart.dispose();
  },
  watch: {
    options() {
      this.draw();
    },
  },
  methods: {
    draw() {
      if (!Object.keys(this.options).length) return;
      const options = coloured(this.options, this.$el.firstChild);
      const zoom = this.chart.getOption()?.dataZoom?.[0];
      if (zoom && options.dataZoom) {
        options.dataZoom.forEach((one) => Object.assign(one, { start: zoom.start, end: zoom.end }));
      }
      this.chart.setOption(options, { notMerge: true });
    },
  },
};
