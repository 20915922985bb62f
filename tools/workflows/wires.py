"""Wires that run behind a node they do not belong to, or over the title of a group, and ways around both.

A wire is looked at as ComfyUI's page draws it.

A wire is led by reroutes, LiteGraph's points that it passes: they are part of the link and change no prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Nodes with their titles, groups and their titles, and the ends of all wires, in the graph's units.
DRAWN = """() => {
    const graph = app.rootGraph;
    const nodes = graph.nodes.map((node) => {
        const [x, y, width, height] = node.boundingRect;
        return {id: node.id, name: node.title || node.type, box: [x, y, x + width, y + height]};
    });
    const wires = [...graph.links.values()].map((link) => {
        const from = graph.getNodeById(link.origin_id), to = graph.getNodeById(link.target_id);
        return {
            id: link.id,
            ends: [[...from.getOutputPos(link.origin_slot)], [...to.getInputPos(link.target_slot)]],
            nodes: [from.id, to.id],
        };
    });
    const groups = graph.groups.map(({pos: [x, y], size: [width, height]}) => [x, y, x + width, y + height]);
    const titles = graph.groups.map(({pos: [x, y], size, titleHeight}) => [x, y, x + size[0], y + titleHeight]);
    return {nodes, groups, titles, wires};
}"""
LEAD = """(ways) => {
    const graph = app.rootGraph;
    for (const [id, points] of ways)
        for (const point of points) graph.createReroute(point, graph.links.get(id));
}"""
# "wire behind node": each wire, as it is drawn, is stroked again, and looked at on a lattice over each node and title.
HIDDEN = """() => {
    const graph = app.rootGraph, context = document.createElement("canvas").getContext("2d"), found = [];
    context.lineWidth = 3;
    window.stayAwake();
    app.canvas.draw(true, true);
    const name = (node) => node.title || node.type;
    for (const link of graph.links.values()) {
        const from = graph.getNodeById(link.origin_id), to = graph.getNodeById(link.target_id);
        const points = [];
        for (let id = link.parentId; id !== undefined; id = graph.reroutes.get(id).parentId)
            points.push(graph.reroutes.get(id));
        const paths = [link, ...points].map((part) => part.path);
        if (paths.some((path) => !path)) throw new Error(`a wire of ${name(from)} is not drawn`);
        const wire = `${name(from)}.${from.outputs[link.origin_slot].name} -> ` +
            `${name(to)}.${to.inputs[link.target_slot].name}`;
        const crosses = ([left, top, width, height]) => {
            for (let x = left; x <= left + width; x += 3)
                for (let y = top; y <= top + height; y += (x === left || x + 3 > left + width) ? 3 : height)
                    if (paths.some((path) => context.isPointInStroke(path, x, y))) return true;
            return false;
        };
        for (const node of graph.nodes)
            if (node !== from && node !== to && crosses(node.boundingRect)) found.push(`${wire} behind ${name(node)}`);
        for (const {title, pos, size, titleHeight} of graph.groups)
            if (crosses([...pos, size[0], titleHeight])) found.push(`${wire} over the title ${title}`);
    }
    return found;
}"""

_CURVES = np.linspace(0, 1, 49)[:, None]
_MOST_HANDLE = 20  # of a reroute: LiteGraph.Reroute.SplineOffset of the page's settings
_BESIDE = np.array([10, 22, 35, 48])  # a point stands from the edge of a node
_AWAY = 4  # of a wire from a node, so that both edges are seen
_MOST_OUTSIDE = 10  # of a wire, of the whole graph, which opens as large as the page


def _handles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each piece of wires begins and ends with; points: [wires, points of each, 2]."""
    steps = np.diff(points, axis=1)
    quarter = np.linalg.norm(steps, axis=2) * 0.25
    angles = np.arctan2(steps[..., 1], steps[..., 0])
    away = (angles[:, :-1] - angles[:, 1:]) * 0.5
    away = np.where(np.abs(away) > np.pi / 2, away + np.pi, away)
    inner = angles[:, :-1] - away
    inner = np.stack([np.cos(inner), np.sin(inner)], axis=-1)
    right = np.zeros_like(points[:, :1])
    right[..., 0] = 1
    begins, ends = np.concatenate([right, inner], 1), np.concatenate([inner, right], 1)
    capped = np.minimum(quarter, _MOST_HANDLE)
    first = np.concatenate([quarter[:, :1], capped[:, 1:]], 1)[..., None]
    last = np.concatenate([capped[:, :-1], quarter[:, -1:]], 1)[..., None]
    return begins * first, -ends * last


def curves(points: np.ndarray) -> np.ndarray:
    """Wires as the page draws them: splines between the ends and the reroutes.

    Args:
        points: [wires, points of each, 2].

    Returns:
        [wires, places, 2].
    """
    begins, ends = _handles(points)
    a, d = points[:, :-1, None], points[:, 1:, None]
    b, c = a + begins[:, :, None], d + ends[:, :, None]
    t = _CURVES
    drawn = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return drawn.reshape(len(points), -1, 2)


def _lanes(boxes: np.ndarray, axis: int, whole: np.ndarray) -> np.ndarray:
    """Where points may stand along an axis: beside the edges of all boxes, and not outside of the whole graph."""
    before, behind = boxes[:, axis, None] - _BESIDE, boxes[:, axis + 2, None] + _BESIDE
    values = np.unique(np.concatenate([before.ravel(), behind.ravel()]).round())
    values = values[(values >= whole[axis]) & (values <= whole[axis + 2])]
    return values[np.diff(values, prepend=-np.inf) >= 3]


def _ways(ends: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> Iterator[np.ndarray]:
    """Points to pass, [ways, points, 2]: none; one; two on a line; six, around what lies between."""
    yield np.zeros((1, 0, 2))
    both = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    yield both[:, None]
    near = [xs[np.abs(xs - end) <= 60] for end in ends[:, 0]]
    first, last, y = (part.ravel() for part in np.meshgrid(*near, ys))
    yield np.stack([np.stack([first, y], -1), np.stack([last, y], -1)], 1)
    for x in near:
        x, above, below = (part.ravel() for part in np.meshgrid(x, ys, ys))
        yield np.stack([np.stack([x, above], -1), np.stack([x, below], -1)], 1)
    for bend in (10, 20):  # a corner is two points, or the spline swings out into the nodes
        first, last, y = (part.ravel() for part in np.meshgrid(*near, ys))
        over = np.sign(last - first) * bend
        sides = [np.sign(y - end) * bend for end in ends[:, 1]]
        begin, end = ends[0, 1] + sides[0] * 1.5, ends[1, 1] + sides[1] * 1.5
        rows = [
            (first, begin),
            (first, y - sides[0]),
            (first + over, y),
            (last - over, y),
            (last, y - sides[1]),
            (last, end),
        ]
        yield np.stack([np.stack(row, -1) for row in rows], 1)


def lead(drawn: dict, *covered: list[float]) -> list[tuple[int, list[list[float]]]]:
    """The points that each wire passes so that it runs behind no node, (id of the wire, points), where it needs any.

    Args:
        drawn: what DRAWN gives of the graph that stands in a page.
        *covered: boxes of the graph that the page covers.

    Raises:
        ValueError: a wire finds no way: the nodes stand too close.
    """
    found, taken = [], np.zeros((0, 2))
    every = np.array([node["box"] for node in drawn["nodes"]], float)
    titles = np.array([*drawn["titles"], *covered], float).reshape(-1, 4)
    whole = np.concatenate([every, np.array(drawn["groups"], float).reshape(-1, 4)])
    whole = np.concatenate([whole[:, :2].min(0), whole[:, 2:].max(0)])
    xs, ys = (_lanes(np.concatenate([every, titles]), axis, whole) for axis in (0, 1))
    for wire in drawn["wires"]:
        ends = np.array(wire["ends"], float)
        others = [box for box, node in zip(every, drawn["nodes"], strict=True) if node["id"] not in wire["nodes"]]
        best = None
        for ways in filter(len, _ways(ends, xs, ys)):
            best = _shortest(ends, ways, np.concatenate([np.array(others).reshape(-1, 4), titles]), taken, whole)
            if best is not None:
                break
        if best is None:
            names = {node["id"]: node["name"] for node in drawn["nodes"]}
            raise ValueError(f"No way for the wire {' -> '.join(names[node] for node in wire['nodes'])}: more room")
        taken = np.concatenate([taken, best])
        if len(best):
            found.append((wire["id"], best.tolist()))
    return found


def _shortest(
    ends: np.ndarray, ways: np.ndarray, boxes: np.ndarray, taken: np.ndarray, whole: np.ndarray
) -> np.ndarray | None:
    """The shortest of ways that runs behind no box, nor outside; None where each does.

    Args:
        ends: of the wire.
        ways: the points of each.
        boxes: what it must not run behind.
        taken: points of others, which are avoided.
        whole: the box of the graph.
    """
    best, least = None, np.inf
    for part in np.array_split(ways, max(1, len(ways) // 1000)):
        ones = np.ones((len(part), 1, 1))
        points = np.concatenate([ones * ends[0], part, ones * ends[1]], 1)
        drawn = curves(points)
        free = np.ones(len(part), bool)
        for left, top, right, bottom in boxes:
            x, y = drawn[..., 0], drawn[..., 1]
            behind = (x > left - _AWAY) & (x < right + _AWAY) & (y > top - _AWAY) & (y < bottom + _AWAY)
            free &= ~behind.any(1)
        outside = (drawn < whole[:2] - _MOST_OUTSIDE) | (drawn > whole[2:] + _MOST_OUTSIDE)
        free &= ~outside.any((1, 2))
        cost = np.linalg.norm(np.diff(drawn, axis=1), axis=2).sum(1)
        if len(taken) and part.shape[1]:
            near = np.linalg.norm(part[:, :, None] - taken, axis=-1).min(-1)
            cost = cost + 200 * (near < 12).sum(1)
        cost[~free] = np.inf
        if cost.min() < least:
            least, best = cost.min(), part[cost.argmin()]
    return best
