"""Wires of the shipped graphs are led around nodes: the ways, without a page."""

import numpy as np
import pytest

from face_anonymizer.tools.workflows.wires import curves, lead

AROUND = [-50, -300, 750, 300]  # a group, within which wires stay


def drawn(*boxes, ends, titles=(), groups=(AROUND,)) -> dict:
    """A wire from the first to the last node."""
    nodes = [{"id": number, "name": f"node {number}", "box": list(box)} for number, box in enumerate(boxes)]
    wires = [{"id": 7, "ends": ends, "nodes": [0, len(boxes) - 1]}]
    return {"nodes": nodes, "wires": wires, "groups": list(groups), "titles": list(titles)}


def touches(points: list, box: tuple) -> bool:
    along = curves(np.array([points], float))[0]
    return bool(((along > box[:2]) & (along < box[2:])).all(1).any())


def test_a_wire_without_reroutes_is_the_page_s_spline():
    along = curves(np.array([[[0, 0], [400, 0]]], float))[0]
    assert along[0].tolist() == [0, 0] and along[-1].tolist() == [400, 0] and not along[:, 1].any()
    middle = curves(np.array([[[0, 0], [300, 400]]], float))[0]
    assert np.allclose(middle[len(middle) // 2], [150, 200]), "its handles are alike"


def test_a_wire_that_meets_nothing_is_left_alone():
    assert lead(drawn((0, 0, 100, 100), (300, 0, 400, 100), ends=[[100, 50], [300, 50]])) == []


def test_a_wire_goes_around_what_stands_between():
    ends, between = [[100, 50], [600, 50]], (200, 0, 500, 100)
    assert touches(ends, between)
    ((wire, points),) = lead(drawn((0, 0, 100, 100), between, (600, 0, 700, 100), ends=ends))
    assert wire == 7 and points and not touches([ends[0], *points, ends[1]], between)


def test_a_wire_goes_around_the_title_of_a_group():
    ends, title = [[100, 50], [600, 50]], (200, 20, 500, 60)
    ((_, points),) = lead(drawn((0, 0, 100, 100), (600, 0, 700, 100), ends=ends, titles=[title]))
    assert points and not touches([ends[0], *points, ends[1]], title)


def test_a_wire_stays_within_the_graph():
    """Outside of it there would be room, and the page would open the graph smaller."""
    ends, between = [[100, 50], [600, 50]], (200, 0, 500, 100)
    boxes = (0, 0, 100, 100), between, (600, 0, 700, 100)
    with pytest.raises(ValueError, match="No way for the wire"):
        lead(drawn(*boxes, ends=ends, groups=[]))
    ((_, points),) = lead(drawn(*boxes, ends=ends, groups=[[0, -100, 700, 100]]))
    assert points and not touches([ends[0], *points, ends[1]], between)
    assert all(-100 <= y <= 100 for _, y in points)


def test_a_wire_goes_around_what_the_page_covers():
    ends, covered = [[100, 50], [600, 50]], (200, 20, 500, np.inf)
    ((_, points),) = lead(drawn((0, 0, 100, 100), (600, 0, 700, 100), ends=ends), covered)
    assert points and not touches([ends[0], *points, ends[1]], covered)


def test_two_wires_do_not_share_a_point():
    boxes = (0, 0, 100, 100), (200, 0, 500, 100), (600, 0, 700, 100)
    both = drawn(*boxes, ends=[[100, 50], [600, 50]])
    both["wires"].append(both["wires"][0] | {"id": 8, "ends": [[100, 70], [600, 70]]})
    (_, first), (_, second) = lead(both)
    assert not {tuple(point) for point in first} & {tuple(point) for point in second}


def test_where_there_is_no_room_the_maker_is_told():
    walled = drawn((0, 0, 100, 100), (103, -200, 580, 200), (600, 0, 700, 100), ends=[[100, 50], [600, 50]])
    with pytest.raises(ValueError, match="No way for the wire node 0 -> node 2"):
        lead(walled)
