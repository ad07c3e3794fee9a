"use strict";
(() => {
  const DASHES = ["solid", "dot", "dashdot", "longdash", "dash", "solid", "dot", "dashdot"];
  const FEW = 60; // points up to which each is marked
  const PRINT_WIDTH = 318; // pixels: two charts beside each other on A4
  let data = null;
  let steps = [0, 1];
  let printing = false;
  const hidden = new Set(); // runs that are switched off

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const several = () => data.runs.length > 1;
  const colour = (number) => css(`--c${number % 10}`);
  const faint = (hex) => `${hex}26`;
  const paint = (series) => colour(several() ? series.run : series.line);
  const partColour = (figure, line) => (line === figure.lines.length - 1 ? css("--masked-edge") : colour(line));

  const styleOf = (series) => {
    const dash = several() ? DASHES[series.line] : "solid";
    if (series.set === "validation") return { dash: "dash", width: 1.4, color: paint(series) };
    return { dash, width: series.x.length > 200 ? 1.2 : 2, color: paint(series) };
  };

  const nameOf = (figure, series) => {
    const words = [several() ? data.runs[series.run] : "", figure.lines[series.line], series.set];
    return escaped(words.filter(Boolean).join(", "));
  };

  const line = (figure, series) => {
    const marked = series.set === "validation" || series.x.length <= FEW;
    return {
      x: series.x,
      y: series.y,
      name: nameOf(figure, series),
      mode: marked ? "lines+markers" : "lines",
      line: styleOf(series),
      marker: {
        symbol: series.set === "validation" ? "diamond" : "circle",
        size: series.set === "validation" ? 8 : 4,
        color: paint(series),
      },
      showlegend: false,
    };
  };

  const band = (series) => [
    { x: series.x, y: series.low, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false },
    {
      x: series.x, y: series.high, mode: "lines", line: { width: 0 }, fill: "tonexty",
      fillcolor: faint(paint(series)), hoverinfo: "skip", showlegend: false,
    },
  ];

  const across = (figure, series) => ({
    ...line(figure, { ...series, x: margin(steps), y: [series.y[0], series.y[0]] }),
    mode: "lines",
    line: { dash: "dot", width: 2, color: paint(series) },
  });

  const shown = (figure, value) =>
    figure.unit === "share" ? `${(100 * value).toFixed(1)}%` : String(Number(value.toPrecision(4)));

  const bars = (figure) =>
    figure.series.map((series) => ({
      type: "bar",
      x: [escaped(data.runs[series.run] + (figure.lines[series.line] ? `, ${figure.lines[series.line]}` : ""))],
      y: series.y,
      name: nameOf(figure, series),
      marker: { color: paint(series) },
      text: [shown(figure, series.y[0])], // a bar of 0 cannot be seen
      textposition: "outside", cliponaxis: false,
      error_y: series.low && series.low.length
        ? { type: "data", symmetric: false, array: [series.high[0] - series.y[0]],
            arrayminus: [series.y[0] - series.low[0]], color: css("--quiet") }
        : undefined,
      showlegend: false,
    }));

  // One entry for each line of a figure that has several.
  const legend = (figure, used) =>
    figure.lines.flatMap((label, number) =>
      figure.lines.length > 1 && used.has(number)
        ? [{ x: [null], y: [null], mode: "lines", name: escaped(label), showlegend: true, hoverinfo: "skip",
             line: several() ? { color: css("--quiet"), dash: DASHES[number] } : { color: colour(number) } }]
        : []);

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  const stack = (figure) =>
    figure.series.map((series) => {
      const common = { name: escaped(figure.lines[series.line]), legendgroup: `${series.line}` };
      if (!several() && series.x.length === 1) // a line of one point cannot be seen
        return { ...common, type: "bar", x: series.x, y: series.y, width: 0.4, marker: { color: partColour(figure, series.line) } };
      if (!several())
        return { ...common, x: series.x, y: series.y, stackgroup: "one", mode: "lines",
                 line: { width: 0.5, color: partColour(figure, series.line) }, fillcolor: `${partColour(figure, series.line)}b0` };
      const first = figure.series.find((other) => other.line === series.line);
      return { ...common, type: "bar", x: [escaped(data.runs[series.run])], y: [mean(series.y)],
               marker: { color: partColour(figure, series.line) }, showlegend: first === series };
    });

  const traces = (figure) => {
    if (figure.kind === "stack") return stack(figure);
    if (figure.series.every((series) => series.set === "evaluation")) return bars(figure);
    const drawn = figure.series.flatMap((series) =>
      series.set === "evaluation"
        ? [across(figure, series)]
        : [...(series.low ? band(series) : []), line(figure, series)]);
    return [...drawn, ...legend(figure, new Set(figure.series.map((series) => series.line)))];
  };

  const axis = () => ({
    gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true,
    tickfont: { size: 11 },
  });

  const layout = (figure) => {
    const named = figure.series.every((series) => series.set === "evaluation") || (figure.kind === "stack" && several());
    const y = { ...axis(), rangemode: "tozero", nticks: 6, exponentformat: "e" };
    if (figure.unit === "share") y.tickformat = ".2~%";
    if (figure.unit === "seconds") y.ticksuffix = " s";
    if (figure.log) y.type = "log";
    return {
      autosize: !printing, width: printing ? PRINT_WIDTH : undefined, height: (printing ? 190 : 230) + (figure.kind === "stack" ? 50 : 0),
      margin: { l: 8, r: 12, t: figure.series.every((series) => series.set === "evaluation") ? 22 : 8, b: 8 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css("--font"), size: 12, color: css("--ink") },
      xaxis: named ? { ...axis(), type: "category" } : { ...axis(), range: margin(steps), tickformat: "d", ...ticks() },
      yaxis: y,
      barmode: "stack",
      hovermode: named ? "closest" : "x unified",
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), size: 12 } },
      legend: { orientation: "h", x: 0, y: -0.15, font: { size: 11 }, itemclick: false, itemdoubleclick: false },
    };
  };

  // Left to itself an axis of a few steps has ticks between them, which read as the same number.
  const ticks = () => (steps[1] - steps[0] < 7 ? { dtick: 1, tick0: 0 } : { nticks: 7 });

  const margin = ([low, high]) => {
    const pad = Math.max(0.3, (high - low) * 0.025);
    return [low - pad, high + pad];
  };

  const draw = (box) => {
    const whole = data.figures.find((one) => one.id === box.dataset.figure);
    const figure = { ...whole, series: whole.series.filter((series) => !hidden.has(series.run)) };
    const plot = box.querySelector(".plot");
    if (!plot) return;
    Plotly.react(plot, traces(figure), layout(figure), { responsive: true, displaylogo: false, displayModeBar: false });
    box.dataset.state = "drawn";
    if (!performance.getEntriesByName("first-chart").length) performance.mark("first-chart");
  };

  const charts = () => [...document.querySelectorAll(".chart:not(.noted)")];
  const redraw = () => charts().filter((box) => box.dataset.state === "drawn").forEach(draw);

  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    if (data && window.Plotly) redraw();
  };

  const watchPrinting = () => {
    let before = "light";
    addEventListener("beforeprint", () => {
      before = document.documentElement.dataset.theme;
      printing = true;
      document.documentElement.dataset.theme = "light";
      charts().forEach(draw);
    });
    addEventListener("afterprint", () => {
      printing = false;
      setTheme(before);
    });
  };

  const start = async () => {
    data = await retool.unpack("figures");
    retool.runs = data.runs;
    const seen = data.figures.flatMap((figure) => figure.series)
      .filter((series) => series.set !== "evaluation")
      .flatMap((series) => [series.x[0], series.x[series.x.length - 1]]);
    if (seen.length) steps = [Math.min(...seen), Math.max(...seen)];
    const library = document.createElement("script");
    library.textContent = await retool.unpackText("plotly");
    document.head.append(library);
    watchPrinting();
    const seer = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        seer.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "200px" });
    charts().forEach((box) => seer.observe(box));
    document.documentElement.dataset.charts = "ready";
  };

  document.querySelectorAll("nav .run").forEach((button) => button.addEventListener("click", () => {
    const run = Number(button.dataset.run);
    const on = hidden.delete(run) || !hidden.add(run);
    button.setAttribute("aria-pressed", String(on));
    if (data && window.Plotly) redraw();
  }));
  document.getElementById("theme").addEventListener("click", () =>
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) =>
    setTheme(event.matches ? "dark" : "light"));
  retool.started = start();
  retool.started.catch(retool.trouble);
})();
