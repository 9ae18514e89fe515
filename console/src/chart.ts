/** A small line over the last minutes, drawn by uPlot. */
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

const pointsMax = 180;

/** Remembers one value a second (by the answers that come), and draws them. */
export function Trend({
  value,
  label,
  format,
}: {
  value: number | null;
  label: string;
  format: (n: number) => string;
}) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const times = useRef<number[]>([]);
  const values = useRef<(number | null)[]>([]);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    // A canvas knows no custom properties: the colours are those of the line's host and of its caption.
    const ink = () => getComputedStyle(element).color;
    const faint = () => getComputedStyle(element.previousElementSibling ?? element).color;
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: 96,
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1, high ?? 1) * 1.15] } },
        axes: [
          { show: false },
          {
            size: 64,
            stroke: faint,
            font: "11px system-ui",
            grid: { show: false },
            ticks: { show: false },
            splits: (u) => [0, u.scales.y?.max ?? 1].map((n, i) => (i ? n / 1.15 : n)),
            values: (_, splits) => splits.map(format),
          },
        ],
        series: [
          {},
          {
            label,
            stroke: ink,
            width: 1.6,
            fill: () => `color-mix(in srgb, ${ink()} 14%, transparent)`,
            points: { show: false },
          },
        ],
      },
      [[], []],
      element,
    );
    plot.current = chart;
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: 96 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    times.current = [...times.current, Date.now() / 1_000].slice(-pointsMax);
    values.current = [...values.current, value].slice(-pointsMax);
    plot.current?.setData([times.current, values.current]);
  });

  return html`<figure class="trend"><figcaption>${label}<b>${value === null ? "–" : format(value)}</b></figcaption><div ref=${host}></div></figure>`;
}
