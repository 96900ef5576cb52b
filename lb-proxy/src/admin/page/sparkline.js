// The last values of a figure, kept in the memory of the page while it is open, and a line through them.

/** How many values are kept: at one in 2 s, those of the last 2 minutes. */
const KEPT = 60;

const SVG = "http://www.w3.org/2000/svg";

/** The last values of a figure. A missing value is a gap. */
export class Series {
  constructor() {
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > KEPT) this.values.shift();
  }

  /** The path of a line through the values in a box of KEPT by 16, from zero to the largest value. */
  path() {
    let largest = 1;
    for (const value of this.values) {
      if (value !== undefined && value > largest) largest = value;
    }
    const offset = KEPT - this.values.length;
    let path = "";
    let drawn = false;
    this.values.forEach((value, i) => {
      if (value === undefined) {
        drawn = false;
        return;
      }
      const y = (15 - (14 * value) / largest).toFixed(1);
      // A lone value shows as a dot as long as a step.
      path += drawn ? `L${offset + i} ${y}` : `M${offset + i} ${y}h.5`;
      drawn = true;
    });
    return path;
  }
}

/** A picture of a series. The figure beside it says the last value, so it is hidden from screen readers. */
export class Sparkline {
  constructor() {
    this.node = document.createElementNS(SVG, "svg");
    this.node.setAttribute("viewBox", `0 0 ${KEPT} 16`);
    this.node.setAttribute("preserveAspectRatio", "none");
    this.node.setAttribute("class", "sparkline");
    this.node.setAttribute("aria-hidden", "true");
    this.line = document.createElementNS(SVG, "path");
    this.node.append(this.line);
    this.drawn = "";
  }

  draw(series) {
    const path = series.path();
    if (path === this.drawn) return;
    this.drawn = path;
    this.line.setAttribute("d", path);
  }
}
