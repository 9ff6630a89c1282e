"""The data flow of a program as SVG: its instructions, and arcs from results to where they are read."""

from __future__ import annotations

import html
from typing import NamedTuple

from azero_jax import dataflow
from azero_jax.program import Program
from azero_jax.text import COMPONENT_FUNCTIONS

_ROW, _HEAD, _LEFT, _WIDTH, _MOST_BEND = 26, 34, 150, 560, 130


class _Node(NamedTuple):
    """An instruction, or what a component function is given."""

    text: str
    function: str
    reads: tuple[str, ...]
    writes: str
    y: float


def flow_graph(program: Program, vector_labels: bool = False) -> str:
    """A picture of a program.

    Arcs on the left lead down, to later lines of the same pass. Those on the right are what
    memory carries: from Setup, and from Learn to the next example.

    Args:
      program: without dead instructions.
      vector_labels: whether labels and predictions are v1 and v2.
    """
    given = {"Predict": ["v0"], "Learn": ["v0", dataflow.label_address(vector_labels)], "Setup": []}
    nodes, heads, y = [], [], 4.0
    for function in COMPONENT_FUNCTIONS:
        lines = dataflow.instructions_of(program, function)
        if not lines:
            continue
        heads.append(f'<text class="head" x="{_LEFT}" y="{y + 18:.0f}">{function}</text>')
        y += _HEAD
        read = {name for line in lines for name in dataflow.reads_of(line)}
        for name in given[function]:
            if name in read:
                words = "features" if name == "v0" else "label"
                nodes.append(_Node(f"{name}  ({words})", function, (), name, y))
                y += _ROW
        for line in lines:
            nodes.append(_Node(str(line), function, dataflow.reads_of(line), dataflow.output_of(line), y))
            y += _ROW
    arcs = [_arc(source, target) for source, target in _edges(nodes)]
    dots = [
        f'<circle class="node {node.function}" cx="{_LEFT - 12}" cy="{node.y:.1f}" r="5"/>'
        f'<text class="code" x="{_LEFT}" y="{node.y + 4:.1f}">{html.escape(node.text)}</text>'
        for node in nodes
    ]
    label = f"Data flow of a program of {sum(bool(node.reads) for node in nodes)} instructions that read something"
    inside = "".join([*heads, *arcs, *dots])
    return f'<svg class="flow" role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {y:.0f}">{inside}</svg>'


def _edges(nodes: list[_Node]) -> list[tuple[_Node, _Node]]:
    """From each result to the instructions that read it."""
    edges = []
    last = _last_writes(nodes)
    for function in COMPONENT_FUNCTIONS:
        held: dict[str, list[_Node]] = {}
        for name in {name for node in nodes for name in node.reads}:
            held[name] = _before(function, name, last)
        for node in nodes:
            if node.function != function:
                continue
            for name in dict.fromkeys(node.reads):
                edges += [(source, node) for source in held.get(name, [])]
            held[node.writes] = [node]
    return edges


def _last_writes(nodes: list[_Node]) -> dict[tuple[str, str], _Node]:
    """The last instruction of each component function that writes an address."""
    return {(node.function, node.writes): node for node in nodes if node.writes}


def _before(function: str, name: str, last: dict[tuple[str, str], _Node]) -> list[_Node]:
    """What an address may hold when a component function begins.

    Predict follows Setup or Learn, Learn follows Predict.
    """
    if function == "Setup":
        return []
    found = []
    if function == "Learn" and (node := last.get(("Predict", name))):
        return [node]
    if (node := last.get(("Learn", name))) or (function == "Predict" and (node := last.get(("Predict", name)))):
        found.append(node)
    if node := last.get(("Setup", name)):
        found.append(node)
    return found


def _arc(source: _Node, target: _Node) -> str:
    bend = min(_MOST_BEND, 18 + 0.35 * abs(target.y - source.y))
    same_pass = source.function == target.function and source.y < target.y
    follows = source.function == "Predict" and target.function == "Learn"
    if same_pass or follows:
        x, to, style = _LEFT - 16, _LEFT - 16 - bend, "now"
    else:
        x, to, style = _WIDTH - 160, _WIDTH - 160 + bend, "carried"
    return (
        f'<path class="arc {style}" d="M{x} {source.y:.1f}C{to:.1f} {source.y:.1f} {to:.1f} {target.y:.1f} '
        f'{x} {target.y:.1f}"/>'
    )
