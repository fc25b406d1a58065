"""Faster R-CNN: the first stage proposes boxes, the second stage classifies and refines them."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from alrp_ref.batch import IGNORED, flatten_anchors
from alrp_ref.detection.assigners import ASSIGNERS, Assigned, iou_assign, sampled
from alrp_ref.detection.backbones import Backbone
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import Losses
from alrp_ref.detection.detector import Detector, ImageSizes, Sizes, at_least_float32
from alrp_ref.detection.postprocess import Detections, best_anchors, best_detections
from alrp_ref.detection.recipe_losses import CrossEntropy
from alrp_ref.detection.recipes import Recipe
from alrp_ref.detection.targets import Target, assign
from alrp_ref.machine.device import queue_copy

RPN_TAU = 0.7
"""An anchor is positive in the first stage from this IoU on; also tau of its localisation error."""

RPN_WEIGHT = 0.2
"""Weight of the first stage's aLRP Loss."""

CANDIDATES_PER_LEVEL = {True: 2000, False: 1000}
"""Anchors of a level that enter non-maximum suppression: in training (True), in evaluation (False)."""

PROPOSALS = 1000
PROPOSAL_NMS_IOU = 0.7

ROI_SIZE = 7
ROI_LEVEL_SIDE = 56
"""In pixels. Boxes with sides below twice this are pooled from P2, below 4 times from P3, below 8 times from P4."""


class FasterRCNN(Detector):
    """A two-stage detector; its losses are `loss_rpn_cls`, `loss_rpn_loc`, `loss_cls` and `loss_loc`.

    With aLRP Loss both stages rank all their examples. There is no sampling, and no ratio of positives to negatives to
    set. Each stage has its own self-balance. The baselines sample as usual, and add the ground-truth boxes to the
    proposals of the second stage.

    Args: as for `RetinaNet`. Source: the paper's Table 8, as the release has it.
    """

    def __init__(self, recipe: Recipe, backbone: Backbone, num_classes: int, *, self_balance_period: int | None = None):
        super().__init__(recipe, backbone, num_classes, 4, LastLevelMaxPool())
        self.is_ranking = not recipe.loss.has_background
        self.assigner = ASSIGNERS[recipe.assigner]
        self.box_assigner = partial(
            iou_assign, positive_iou=0.5, negative_iou=0.5, rescue_iou=2.0
        )  # no IoU reaches 2: no claims
        if self.is_ranking:
            self.rpn_coder = self.coder
            self.rpn_criterion = recipe.loss.build(self.rpn_coder, self_balance_period, tau=RPN_TAU)
        else:
            self.rpn_coder = CODERS["raw deltas"]
            self.rpn_criterion = CrossEntropy().build(self.rpn_coder)
            self.assigner = sampled(self.assigner, 256, positive_fraction=0.5)
            self.box_assigner = sampled(self.box_assigner, 512, positive_fraction=0.25)
        self.criterion = recipe.loss.build(self.coder, self_balance_period)
        width = recipe.head_channels
        self.rpn_head = RPNHead(recipe.fpn_channels, self.num_anchors)
        self.box_head = TwoMLPHead(recipe.fpn_channels * ROI_SIZE**2, width)
        self.cls_logits = nn.Linear(width, num_classes + (not self.is_ranking))  # softmax: the last class is background
        self.box_deltas = nn.Linear(width, num_classes * 4)
        nn.init.normal_(self.cls_logits.weight, std=0.01)
        nn.init.normal_(self.box_deltas.weight, std=0.001)

    @property
    def criteria(self) -> dict[str, nn.Module]:
        return {"rpn_": self.rpn_criterion, "": self.criterion}

    def assigned(self, sizes: Sizes, targets: Sequence[Target], image_sizes: ImageSizes, like: Tensor) -> Assigned:
        """As for every detector. The first stage has one class."""
        objects = [{**target, "labels": torch.zeros_like(target["labels"])} for target in targets]
        return super().assigned(sizes, objects, image_sizes, like)

    def losses(
        self, levels: list[Tensor], targets: Sequence[Target], image_sizes: ImageSizes, assigned: Assigned
    ) -> Losses:
        logits, deltas = self.rpn(levels)
        with torch.autocast(logits[0].device.type, enabled=False):
            rpn = self.rpn_criterion(torch.cat(logits, dim=1), torch.cat(deltas, dim=1), assigned)

        proposals = self.proposals(levels, logits, deltas, image_sizes)
        if not self.is_ranking:
            truth = [queue_copy(t["boxes"], p.device).to(p.dtype) for p, t in zip(proposals, targets, strict=True)]
            proposals = [torch.cat(pair) for pair in zip(truth, proposals, strict=True)]
        each = [assign(self.box_assigner, [p], [t]) for p, t in zip(proposals, targets, strict=True)]
        keep = [one.labels[0] != IGNORED for one in each]
        labels = torch.cat([one.labels[0][k] for one, k in zip(each, keep, strict=True)])
        logits, deltas = self.boxes(levels, [p[k] for p, k in zip(proposals, keep, strict=True)])
        deltas = deltas[torch.arange(len(labels)), labels.clamp(min=0)]  # (K, 4): the deltas of the assigned class
        with torch.autocast(logits.device.type, enabled=False):
            anchors, boxes = (torch.cat([getattr(one, name) for one in each]) for name in ("anchors", "boxes"))
            assigned = Assigned(labels[None], anchors, boxes)
            box = self.criterion(logits[None], deltas[None], assigned)
        weight = RPN_WEIGHT if self.is_ranking else 1.0
        return {name.replace("loss_", "loss_rpn_"): weight * loss for name, loss in rpn.items()} | box

    def detections(self, levels: list[Tensor], image_sizes: ImageSizes, score_threshold: float) -> list[Detections]:
        proposals = self.proposals(levels, *self.rpn(levels), image_sizes)
        logits, deltas = self.boxes(levels, proposals)
        scores = logits.sigmoid() if self.is_ranking else logits.softmax(dim=1)[:, :-1]
        counts, found = [len(boxes) for boxes in proposals], []
        parts = zip(proposals, scores.split(counts), deltas.split(counts), image_sizes, strict=True)
        for boxes, score, delta, size in parts:
            anchors = boxes[:, None].expand_as(delta).reshape(-1, 4)
            refined = self.coder.decode(delta.reshape(-1, 4), anchors)
            refined = clip_boxes_to_image(refined, size).view_as(delta)
            found.append(best_detections(score, refined, score_threshold, self.recipe.max_detections))
        return found

    def rpn(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The first stage: for each level logits (B, A, 1) and deltas (B, A, 4)."""
        logits, deltas = self.rpn_head(levels)
        return (
            [at_least_float32(flatten_anchors(x, 1)) for x in logits],
            [at_least_float32(flatten_anchors(x, 4)) for x in deltas],
        )

    @torch.no_grad()
    def proposals(
        self, levels: list[Tensor], logits: list[Tensor], deltas: list[Tensor], image_sizes: ImageSizes
    ) -> list[Tensor]:
        """Proposals of each image, (n, 4): at most the best 1000 after non-maximum suppression on each level."""
        most, found = CANDIDATES_PER_LEVEL[self.training], []
        outputs = self.outputs_of_images(levels, logits, deltas, image_sizes)
        for one, size in zip(outputs, image_sizes, strict=True):
            kept = [best_anchors(*level, size, self.rpn_coder, most) for level in zip(*one, strict=True)]
            level = torch.cat(
                [boxes.new_full(boxes.shape[:1], i, dtype=torch.int64) for i, (_, boxes) in enumerate(kept)]
            )
            scores, boxes = (torch.cat(parts) for parts in zip(*kept, strict=True))
            best = batched_nms(boxes, scores[:, 0], level, PROPOSAL_NMS_IOU)[:PROPOSALS]
            found.append(boxes[best])
        return found

    def boxes(self, levels: list[Tensor], proposals: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The second stage: logits (K, C) and deltas (K, C, 4) of the proposals, concatenated over the images."""
        x = self.box_head(pool(levels[:4], proposals, self.strides[:4]))
        logits, deltas = at_least_float32(self.cls_logits(x)), at_least_float32(self.box_deltas(x))
        return logits, deltas.unflatten(1, (-1, 4))


def pool(levels: Sequence[Tensor], proposals: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    r"""Features of each proposal, from the level that fits its size: (K, channels, 7, 7).

    .. math:: \mathrm{level} = \left\lfloor \log_2 \frac{\sqrt{w h}}{56} \right\rfloor, \quad 0 \dots 3

    torchvision's `MultiScaleRoIAlign` samples half a cell away, since it lacks `aligned=True`.
    """
    boxes = torch.cat(list(proposals))
    image = torch.cat([boxes.new_full((len(p), 1), i) for i, p in enumerate(proposals)])
    side = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
    chosen = (side / ROI_LEVEL_SIDE + 1e-6).log2().floor().clamp(0, len(levels) - 1)
    pooled = levels[0].new_zeros(len(boxes), levels[0].shape[1], ROI_SIZE, ROI_SIZE)
    for i, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        here = (chosen == i).nonzero().flatten()
        rois = torch.cat([image[here], boxes[here]], dim=1).to(level)
        pooled[here] = roi_align(level, rois, ROI_SIZE, 1 / stride, aligned=True)
    return pooled
