"""One picture of a run, for a README or a talk: its fitness curve, and the program that it found."""

from __future__ import annotations

import html
import pathlib

from azero_jax.files import write_atomically
from azero_jax.report.run_files import RunFiles, read_run

_WIDTH, _HEIGHT, _ROW = 860, 320, 17
_PLOT_LEFT, _PLOT_RIGHT, _PLOT_TOP, _PLOT_BOTTOM = 46, 470, 40, 276
_CODE_LEFT = 510
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.soft{fill:#57606a;font-size:12px}"
    ".code{font-family:ui-monospace,DejaVu Sans Mono,monospace;white-space:pre}"
)


def write_picture(output_dir: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    """Writes an SVG file of a run.

    Args:
      output_dir: of the run.
      output: the file.

    Returns:
      The file.

    Raises:
      ValueError: there is no run, or nothing was found yet, or a file is damaged.
      OSError: a file cannot be read or written.
    """
    run = read_run(output_dir)
    if not run.improvements or not run.program:
        raise ValueError(f"{output_dir}: no program was found yet: nothing to show")
    write_atomically(output, _picture(run).encode())
    return output


def _picture(run: RunFiles) -> str:
    lines = (run.program or "").splitlines()
    height = max(_HEIGHT, 56 + _ROW * len(lines))
    final = run.result["final_fitness"]
    found = f"what it found{f': final fitness {final:.4f}' if isinstance(final, float) else ''}"
    shown = [html.escape(line).replace("  ", "&#160;&#160;") for line in lines]
    code = "".join(
        f'<text class="code" x="{_CODE_LEFT}" y="{56 + _ROW * number}">{line}</text>'
        for number, line in enumerate(shown)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height}">'
        f"<title>Best fitness against programs made, and the program that was found</title><style>{_STYLE}</style>"
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>'
        f'<text x="{_PLOT_LEFT}" y="24">best fitness so far</text><text x="{_CODE_LEFT}" y="24">{found}</text>'
        f"{_curve(run)}{code}</svg>\n"
    )


def _curve(run: RunFiles) -> str:
    """The axes, the curve and its points."""
    steps = run.improvements
    own = run.of_experiment(run.experiment or 1)
    most = max([step.individuals for step in steps] + [record["individuals"] for record in own])

    def place(individuals: float, fitness: float) -> str:
        x = _PLOT_LEFT + (_PLOT_RIGHT - _PLOT_LEFT) * individuals / most
        return f"{x:.1f} {_PLOT_BOTTOM - (_PLOT_BOTTOM - _PLOT_TOP) * fitness:.1f}"

    parts = []
    for fitness in (0.0, 0.5, 1.0):
        y = place(0, fitness).split()[1]
        parts.append(f'<path d="M{_PLOT_LEFT} {y}H{_PLOT_RIGHT}" stroke="#d0d7de"/>')
        parts.append(f'<text class="soft" x="{_PLOT_LEFT - 6}" y="{y}" text-anchor="end" dy="4">{fitness:g}</text>')
    at, drawn = place(steps[0].individuals, steps[0].fitness), []
    drawn.append(f"M{at}")
    for step in steps[1:]:
        x, y = place(step.individuals, step.fitness).split()
        drawn.append(f"H{x}V{y}")
    parts.append(f'<path d="{"".join(drawn)}H{_PLOT_RIGHT}" fill="none" stroke="#0757b8" stroke-width="2"/>')
    for step in steps:
        x, y = place(step.individuals, step.fitness).split()
        parts.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="#ffffff" stroke="#0757b8" stroke-width="2"/>')
    middle, below = (_PLOT_LEFT + _PLOT_RIGHT) // 2, _PLOT_BOTTOM + 20
    parts.append(f'<text class="soft" x="{_PLOT_LEFT}" y="{below}">0</text>')
    parts.append(f'<text class="soft" x="{_PLOT_RIGHT}" y="{below}" text-anchor="end">{most:,}</text>')
    parts.append(f'<text class="soft" x="{middle}" y="{below}" text-anchor="middle">programs made</text>')
    return "".join(parts)
