"""Before and after in one picture."""

import pytest
import torch

from face_anonymizer.modules.faces.sheet import ABOVE, AUTO, BESIDE, before_and_after


@pytest.mark.parametrize(
    ("height", "width", "layout", "shape"),
    [
        (200, 300, AUTO, (2, 403, 300, 3)),
        (300, 200, AUTO, (2, 300, 403, 3)),
        (200, 200, AUTO, (2, 200, 402, 3)),
        (200, 300, BESIDE, (2, 200, 603, 3)),
        (300, 200, ABOVE, (2, 603, 200, 3)),
    ],
)
def test_both_are_there_as_they_are(height, width, layout, shape):
    before, after = torch.rand(2, height, width, 4), torch.rand(2, height, width, 3)
    both = before_and_after(before, after, layout)
    assert both.shape == shape and both.dtype == torch.float32
    assert torch.equal(both[:, :height, :width], before[..., :3])
    assert torch.equal(both[:, -height:, -width:], after)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="before has 1 of 30x20 pixels, after 1 of 30x21"):
        before_and_after(torch.rand(1, 20, 30, 3), torch.rand(1, 21, 30, 3))
    with pytest.raises(ValueError, match="layout is one of"):
        before_and_after(torch.rand(1, 2, 2, 3), torch.rand(1, 2, 2, 3), "sideways")
