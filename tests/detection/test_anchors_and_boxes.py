"""Anchors and box deltas."""

import math

import torch
from torch.testing import assert_close

from alrp_ref.detection.anchors import base_anchors, level_anchors, pyramid_anchors
from alrp_ref.detection.backbones import DeformableConv2d
from alrp_ref.detection.boxes import MAX_LOG_RATIO, decode, decode_distances, encode, encode_distances


def test_base_anchors_are_ordered_by_ratio_first():
    """Two scales and the ratios 1/4, 1 and 4 give six anchors of area side^2, with h / w as asked."""
    anchors = base_anchors(8, 4.0, 2, (0.25, 1.0, 4.0))
    w, h = (anchors[:, 2:] - anchors[:, :2]).unbind(1)
    small, large = 32.0, 32.0 * math.sqrt(2)
    assert_close(w.tolist(), [2 * small, 2 * large, small, large, small / 2, large / 2])
    assert_close((h / w).tolist(), [0.25, 0.25, 1.0, 1.0, 4.0, 4.0])
    assert_close(anchors[:, :2], -anchors[:, 2:])


def test_anchors_stand_on_multiples_of_the_stride():
    """On a 2 x 3 map of stride 8 the centres are (0, 0), (8, 0), (16, 0), (0, 8), ..., row by row."""
    anchors = level_anchors(base_anchors(8, 4.0, 1, (1.0,)), (2, 3), 8)
    assert anchors[0].tolist() == [-16, -16, 16, 16]  # sticks out of the image, and stays
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]


def test_side_of_an_anchor_doubles_from_level_to_level():
    """Each level's anchors are twice as large as those of the level below."""
    levels = pyramid_anchors([(4, 4), (2, 2), (1, 1)], (8, 16, 32), 4.0, 1, (1.0,))
    assert [len(level) for level in levels] == [16, 4, 1]
    assert [(level[0, 2] - level[0, 0]).item() for level in levels] == [32, 64, 128]


def test_delta_of_a_shifted_doubled_box_by_hand():
    """An anchor of side 10 moved by 5 and doubled has deltas 0.5 / 0.1 and log(2) / 0.2."""
    anchor = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    box = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
    assert_close(encode(box, anchor), torch.tensor([[5.0, 5.0, math.log(2) / 0.2, math.log(2) / 0.2]]))


def test_decode_undoes_encode():
    """Decoding the deltas of a box gives the box."""
    corners = torch.rand(2, 50, 2, dtype=torch.float64) * 100
    sizes = 1 + torch.rand(2, 50, 2, dtype=torch.float64) * 100
    anchors, boxes = torch.cat([corners, corners + sizes], dim=2)
    assert_close(decode(encode(boxes, anchors), anchors), boxes)


def test_decoded_boxes_cannot_explode():
    """However large its deltas, a box is at most 62.5 times, and at least 1/62.5 times, as large as its anchor."""
    anchor = torch.tensor([[0.0, 0.0, 16.0, 16.0]]).expand(2, 4)
    boxes = decode(torch.tensor([[0.0, 0.0, 1e4, 1e4], [0.0, 0.0, -1e4, -1e4]]), anchor)
    assert_close((boxes[:, 2:] - boxes[:, :2])[:, 0], torch.tensor([1000.0, 0.256]))
    assert math.isclose(MAX_LOG_RATIO, math.log(62.5))
    boxes = decode_distances(torch.tensor([[1e4] * 4, [-1e4] * 4]), anchor)
    assert_close((boxes[:, 2:] - boxes[:, :2])[:, 0], torch.tensor([1000.0, 0.256]))


def test_distances_of_a_box_by_hand():
    """From the centre of an anchor of side 20 a box that ends 5 and 20 away has distances log 1/2 and log 2."""
    anchor, box = torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.tensor([[5.0, -10.0, 30.0, 15.0]])
    expected = torch.tensor([[0.5, 2.0, 2.0, 0.5]]).log()
    assert_close(encode_distances(box, anchor), expected)
    assert_close(decode_distances(expected, anchor), box)


def test_distances_are_bounded_before_they_are_learnt():
    """A side that is closer than 1/16 of the anchor's half side, or beyond the centre, is learnt as 1/16."""
    anchor, box = torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.tensor([[9.9, 12.0, 400.0, 20.0]])
    assert_close(encode_distances(box, anchor).exp(), torch.tensor([[1 / 16, 1 / 16, 16.0, 1.0]]))


def test_a_deformable_convolution_starts_as_half_of_the_plain_one():
    """Without training, no tap moves and each counts one half."""
    conv, x = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False), torch.rand(2, 4, 9, 8)
    assert_close(DeformableConv2d(conv)(x), conv(x) / 2)
