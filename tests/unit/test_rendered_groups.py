"""tools/demo_model/rendered.py: groups on a device are those of the lists on disk, and batches are true triples."""

import pytest
import torch

from face_anonymizer.modules.synthetic.groups import group_pictures, picture_parameters
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.tools.demo_model.rendered import BLOCK, SIDE, EncodedGroups, render_groups

SIZE = 64


@pytest.fixture(scope="module")
def groups():
    (part,) = render_groups(range(3, 5), 1, SIZE, "cpu")
    return part


def test_they_show_the_people_and_scenes_of_the_lists(groups):
    identity, attributes = picture_parameters([*group_pictures(3, SIDE), *group_pictures(4, SIDE)], 1)
    expected = render(identity, attributes, SIZE)
    assert torch.equal(groups.truth, torch.cat([identity.values, attributes.values], 1))
    assert torch.equal(groups.images, (expected.images * 255).round().byte().movedim(-1, 1))


def test_what_is_clear_is_nobodys_with_the_blocks_around(groups):
    identity, attributes = picture_parameters(group_pictures(4, SIDE), 1)
    background = render(identity, attributes, SIZE).background_mask.view(SIDE, SIDE, SIZE, SIZE)
    for scene, clear in enumerate(groups.clear[SIDE:]):
        touched = (background[:, scene] < 1 - 1 / 255).any(0)
        for row, column in torch.nonzero(clear).tolist():
            around = [slice(max(0, (at - 1) * BLOCK), (at + 2) * BLOCK) for at in (row, column)]
            assert not touched[around[0], around[1]].any()
    assert groups.clear.any()


def test_source_and_truth_share_the_person_driving_image_and_truth_the_scene():
    count = 3 * SIDE**2
    numbers = torch.arange(count, dtype=torch.float16).view(-1, 1, 1, 1)
    clear = torch.arange(3 * SIDE).view(-1, 1, 1) % 2 == 0
    encoded = EncodedGroups(numbers, numbers[:, :, 0], clear)
    batch, open_ = encoded.batch(500, torch.Generator().manual_seed(0))
    source, driving, truth = (part.flatten().long() for part in batch[:3])
    for one, other in ((source, truth), (driving, truth)):
        assert torch.equal(one // SIDE**2, other // SIDE**2)
    assert torch.equal(source // SIDE, truth // SIDE) and torch.equal(driving % SIDE, truth % SIDE)
    assert (driving // SIDE != truth // SIDE).all() and (source % SIDE != truth % SIDE).all()
    assert torch.equal(batch.source_embeds.flatten().long(), source)
    assert torch.equal(batch.driving_embeds.flatten().long(), driving)
    scenes = truth // SIDE**2 * SIDE + truth % SIDE
    assert torch.equal(open_.flatten(), (scenes % 2 == 0).float())
    assert len(torch.unique(truth)) > 100
