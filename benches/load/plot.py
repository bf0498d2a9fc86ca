"""A bar for each proxy: microseconds of CPU for a request, as SVG."""

from html import escape

from measure import Row

WIDTH, BAR, GAP, LABELS, RIGHT, TOP = 860, 22, 10, 330, 90, 64

# One colour a program. Readable on white and on black.
COLOURS = {"Cognigate": "#e8590c", "nginx": "#2b8a3e", "HAProxy": "#1c7ed6", "Envoy": "#ae3ec9", "pingap": "#868e96"}


def svg(rows: list[Row], title: str, subtitle: str) -> str:
    rows = sorted((row for row in rows if not row.left_out), key=lambda row: row.cpu_us)
    widest = max(row.cpu_us for row in rows)
    height = TOP + len(rows) * (BAR + GAP) + 8
    bars = "\n".join(bar(row, TOP + at * (BAR + GAP), widest) for at, row in enumerate(rows))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">
<style>
text {{ font: 14px system-ui, sans-serif; fill: #222 }}
.title {{ font-size: 17px; font-weight: 600 }}
.small {{ font-size: 12px; fill: #666 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #eee }} .small {{ fill: #aaa }} }}
</style>
<text class="title" x="8" y="24">{escape(title)}</text>
<text class="small" x="8" y="44">{escape(subtitle)}</text>
{bars}
</svg>
"""


def bar(row: Row, y: int, widest: float) -> str:
    program = row.name.partition(",")[0]
    length = row.cpu_us / widest * (WIDTH - LABELS - RIGHT)
    text = y + BAR - 6
    return (
        f'<text x="{LABELS - 10}" y="{text}" text-anchor="end">{escape(row.name)}</text>\n'
        f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{COLOURS[program]}"/>\n'
        f'<text x="{LABELS + length + 8:.1f}" y="{text}">{row.cpu_us:.1f} µs</text>'
    )
