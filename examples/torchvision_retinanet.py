"""aLRP Loss in torchvision's RetinaNet, and in its FCOS.

What is replaced: `compute_loss` of the head, that is, focal loss and L1 (RetinaNet), or focal loss, GIoU loss and the
loss of the centre-ness (FCOS). Backbone, anchors, matching, decoding and inference stay torchvision's.

- Both have sigmoid logits, so nothing else changes at inference.
- FCOS multiplies its scores by a centre-ness. aLRP Loss ranks well localised boxes first by itself and has no loss for
  that branch, so the branch is taken out: its output becomes a large constant, whose sigmoid is 1. torchvision takes
  the square root of the product; the order stays that of the class scores.
- torchvision's classes of a COCO model start at 1. Here they start at 0, as in `alrp_ref`.

    python examples/torchvision_retinanet.py --steps 40
    python examples/torchvision_retinanet.py --model fcos --steps 40

AP on 100 validation images, from .000 with random weights, training on 1,600 images (`--images 1600`, seed 0, a CPU):
RetinaNet .076 after 1,500 steps (AP50 .229, 5 minutes), FCOS .080 after 1,000 (AP50 .181, 3 minutes).
"""

from collections.abc import Callable

import torch
from shapes import SIZE, datasets, loader, parser, train
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import resnet18

from alrp_ref import ALRPLoss, flatten_batch
from alrp_ref.losses import BalancedALRP


class ALRPHead(nn.Module):
    """A head of torchvision whose `compute_loss` is aLRP Loss. Its `forward` is unchanged.

    Args: `head`, of a RetinaNet or an FCOS; `decode`, from deltas (P, 4) and anchors (P, 4) to boxes; `criterion`,
        which is now a part of the model: of its `state_dict()`, and switched by `model.train()` and `model.eval()`.
    """

    def __init__(self, head: nn.Module, decode: Callable[[Tensor, Tensor], Tensor], criterion: ALRPLoss):
        super().__init__()
        self.head, self.decode, self.criterion = head, decode, criterion
        self.out: BalancedALRP | None = None  # the parts of the last loss, for the log

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        return self.head(features)

    def compute_loss(self, targets, head_outputs, anchors, matched_idxs) -> dict[str, Tensor]:
        # For each anchor its object, or -1 or -2, which mean the same to torchvision's matchers and to flatten_batch.
        matched, anchors = torch.stack(matched_idxs), torch.stack(anchors)
        labels, boxes = [], []
        for target, match in zip(targets, matched, strict=True):  # a last row is for images without objects
            rows = match.clamp(min=-1)
            labels.append(torch.cat([target["labels"], match.new_zeros(1)])[rows])
            boxes.append(torch.cat([target["boxes"], anchors.new_zeros(1, 4)])[rows])
        labels, boxes = torch.where(matched < 0, matched, torch.stack(labels)), torch.stack(boxes)

        def decoded(positives: Tensor) -> Tensor:
            return self.decode(head_outputs["bbox_regression"][positives], anchors[positives])

        self.out = self.criterion(*flatten_batch(head_outputs["cls_logits"], labels, decoded, boxes))
        return {"classification": self.out.cls, "bbox_regression": self.out.loc_weight * self.out.loc}


def use_alrp(model: RetinaNet | FCOS, period: int | None) -> None:
    """Replace the losses of a model of torchvision by aLRP Loss, in place."""
    if isinstance(model, FCOS):
        centre_ness = model.head.regression_head.bbox_ctrness
        nn.init.zeros_(centre_ness.weight)
        nn.init.constant_(centre_ness.bias, 20.0)  # its sigmoid is 1 in float32
        centre_ness.requires_grad_(False)
        decode = model.box_coder.decode
    else:
        decode = model.box_coder.decode_single
    model.head = ALRPHead(model.head, decode, ALRPLoss(period))


def small_model(name: str, num_classes: int) -> RetinaNet | FCOS:
    """A ResNet-18 with a pyramid of 64 channels, from random weights, for images of `SIZE` pixels."""
    layers = {"layer2": "8", "layer3": "16", "layer4": "32"}
    backbone = BackboneWithFPN(resnet18(), layers, [128, 256, 512], 64)
    backbone.fpn.extra_blocks = None  # three levels
    options = {"min_size": SIZE, "max_size": SIZE, "score_thresh": 0.01, "topk_candidates": 300}
    if name == "fcos":
        points = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
        return FCOS(backbone, num_classes, anchor_generator=points, **options)
    anchors = AnchorGenerator(((16, 22), (32, 45), (64, 90)), ((0.5, 1.0, 2.0),) * 3)
    return RetinaNet(backbone, num_classes, anchor_generator=anchors, **options)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", choices=("retinanet", "fcos"), default="retinanet")
    args = options.parse_args()
    torch.manual_seed(0)
    data = datasets(args)
    model = small_model(args.model, num_classes=len(data[0].class_names))
    use_alrp(model, period=len(loader(data[0])))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=0.02, momentum=0.9, weight_decay=1e-4)

    def losses_of(images, targets) -> tuple[Tensor, BalancedALRP]:
        return sum(model(images, targets).values()), model.head.out

    train(args, model, losses_of, model, data, optimiser, clip_norm=4.0)


if __name__ == "__main__":
    main()
